"""The table of hellos: what each peer offered when it was last heard (core/hellotext.py), one row per peer.

Only hellos of sessions that the log tells of come here, so that there are no more rows than peers, and they are
forgotten with them.
"""

from __future__ import annotations

from sqlalchemy import Column, Integer, SmallInteger, Table, Text, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from mailtls.edge.storeschema import METADATA, PEERS, Bulk

HELLOS = Table(
    "hellos",
    METADATA,
    Column("peer", Integer, primary_key=True),
    Column("at", Integer, nullable=False),  # seconds since 1970
    Column("hello", Text, nullable=False),  # JSON: core.hellotext
    Column("alert", SmallInteger),  # with which it answered (RFC 8446 section 6); NULL: none was seen
)

_OWN = ("at", "hello", "alert")
_HEARD = insert(HELLOS).from_select(
    ["peer", *_OWN],
    select(PEERS.c.id, *(bindparam(name) for name in _OWN)).where(PEERS.c.ip == bindparam("ip")),
)
PUT_HELLO = Bulk(
    _HEARD.on_conflict_do_update(index_elements=[HELLOS.c.peer], set_={name: _HEARD.excluded[name] for name in _OWN})
)
"""Put what a peer offers in place of what was known; `ip`: its key. Of a peer that is not stored nothing is kept."""
