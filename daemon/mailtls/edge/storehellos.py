"""Hellos in the store: written with the batch that their sessions belong to, and recalled with the peer's conduct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.hellobook import HeardHello
from mailtls.core.hellotext import read_hello_text, write_hello_text
from mailtls.core.peerkey import key_of
from mailtls.edge.helloschema import HELLOS
from mailtls.edge.storeschema import PEERS

AT_ONCE = 500  # addresses of one query


def hello_rows(hellos: Mapping[str, HeardHello]) -> list[dict[str, Any]]:
    """Give the rows of hellos by address; one that is too long to be kept has none."""
    rows = []
    for ip, heard in hellos.items():
        key, text = key_of(ip), write_hello_text(heard.hello)
        if key is not None and text is not None:
            rows.append({"ip": key, "at": int(heard.at), "hello": text, "alert": heard.alert})
    return rows


async def recalled(connection: AsyncConnection, keys: Mapping[bytes, str]) -> dict[str, HeardHello]:
    """Recall the hellos of these addresses, given by their keys; what cannot be read is left out."""
    found: dict[str, HeardHello] = {}
    wanted = list(keys)
    for start in range(0, len(wanted), AT_ONCE):
        query = select(PEERS.c.ip, HELLOS).join(HELLOS, HELLOS.c.peer == PEERS.c.id)
        rows = await connection.execute(query.where(PEERS.c.ip.in_(wanted[start : start + AT_ONCE])))
        for row in rows:
            hello = read_hello_text(row.hello) if isinstance(row.hello, str) else None
            if hello is not None:
                found[keys[row.ip]] = HeardHello(float(row.at), hello, row.alert)
    return found


async def has_hellos(connection: AsyncConnection) -> bool:
    """Tell whether there is any."""
    return (await connection.execute(select(HELLOS.c.peer).limit(1))).first() is not None
