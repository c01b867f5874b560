"""The answer of the store to `mailtlsctl floor`: who negotiated what, in the last days, at the strict door of port 25.

The kinds of sessions are few and are judged first (`core.floor`), so that of a large history only the rows of what is
touched are read. docs/decisions/0009 has the tables.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.cause import Door, Outcome, Service
from mailtls.core.controlprotocol import AskFloor, FloorForecast, FloorPeer
from mailtls.core.floor import Floor, Loss, Use, losses
from mailtls.core.peerkey import ip_of
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import number_of
from mailtls.edge.storeschema import DAYS, KINDS, NOBODY, PEERS

_FIRST_DAY = date(1970, 1, 1)
_PORT_25 = (Service.SMTPD, Service.POSTSCREEN)
_LOT = 500  # peers asked for at once


async def forecast(connection: AsyncConnection, ask: AskFloor, now: datetime) -> FloorForecast:
    """Say who would be lost; `now`: the days are counted back from it."""
    floor = Floor(
        number_of(ask.version) if ask.version is not None else None,
        frozenset(ask.ciphers) if ask.ciphers is not None else None,
        KeyType.RSA if ask.without_rsa else None,
    )
    since = (now.astimezone(UTC).date() - _FIRST_DAY).days - ask.days + 1
    kinds = {row.id: row for row in await connection.execute(_strict_kinds())}
    touched = [number for number, kind in kinds.items() if floor.touches(kind.tls_version, kind.cipher)]
    window = and_(DAYS.c.day >= since, DAYS.c.peer != NOBODY)
    every = select(func.sum(DAYS.c.sessions)).where(window, DAYS.c.kind.in_(kinds))
    sessions = (await connection.execute(every)).scalar() or 0
    rows = (await connection.execute(_used(window, touched))).all()
    totals = await _totals(connection, window, list(kinds), sorted({row.id for row in rows}))
    found = losses([_use(row, kinds[row.kind]) for row in rows], totals, floor)
    return FloorForecast(
        days=ask.days,
        sessions=sessions,
        touched=len(found),
        peers=tuple(_peer(loss) for loss in found[: ask.limit]),
    )


def _strict_kinds() -> Any:
    there = and_(KINDS.c.door == Door.STRICT, KINDS.c.outcome == Outcome.TLS_OK, KINDS.c.service.in_(_PORT_25))
    return select(KINDS).where(there)


def _used(window: Any, kinds: list[int]) -> Any:
    counts = func.sum(DAYS.c.sessions).label("sessions"), func.sum(DAYS.c.mails).label("mails")
    query = select(PEERS.c.id, PEERS.c.ip, PEERS.c.name, DAYS.c.kind, *counts, func.max(DAYS.c.day).label("day"))
    joined = query.join(PEERS, PEERS.c.id == DAYS.c.peer).where(window, DAYS.c.kind.in_(kinds))
    return joined.group_by(PEERS.c.id, DAYS.c.kind)


async def _totals(connection: AsyncConnection, window: Any, kinds: list[int], peers: list[int]) -> dict[str, int]:
    """Count the sessions with TLS of these peers, by address."""
    found: dict[str, int] = {}
    for start in range(0, len(peers), _LOT):
        some = and_(DAYS.c.peer.in_(peers[start : start + _LOT]), DAYS.c.kind.in_(kinds))
        query = select(PEERS.c.ip, func.sum(DAYS.c.sessions)).join(PEERS, PEERS.c.id == DAYS.c.peer)
        for ip, sessions in await connection.execute(query.where(window, some).group_by(PEERS.c.ip)):
            found[ip_of(ip)] = sessions
    return found


def _use(row: Row[Any], kind: Row[Any]) -> Use:
    last = _FIRST_DAY + timedelta(days=row.day)
    return Use(ip_of(row.ip), row.name, kind.tls_version, kind.cipher, row.sessions, row.mails, last)


def _peer(loss: Loss) -> FloorPeer:
    return FloorPeer(
        ip=loss.ip,
        name=loss.name,
        fate=loss.fate,
        used=loss.used,
        sessions=loss.sessions,
        all_sessions=loss.of,
        mails=loss.mails,
        last_day=loss.last.isoformat(),
    )
