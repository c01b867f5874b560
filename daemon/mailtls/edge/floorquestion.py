"""The answer of the store to `mailtlsctl floor`: who negotiated what, in the last days, at the strict door of port 25.

The kinds of sessions are few and are judged first (`core.floor`), so that of a large history only the rows of what is
touched are read, and hellos of these only. docs/decisions/0009 has the tables.

Hellos are read and judged in lots, so that whoever waits for mailtlsd meanwhile waits for one lot at most.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.cause import Door, Outcome, Service
from mailtls.core.controlprotocol import AskFloor, FloorForecast, FloorPeer
from mailtls.core.floor import Floor, Foretold, Loss, Use, losses
from mailtls.core.floorhello import HelloJudge
from mailtls.core.peerkey import ip_of
from mailtls.core.serverprofile import ServerProfile
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import TLS13, number_of
from mailtls.edge.helloschema import HELLOS
from mailtls.edge.storeschema import DAYS, KINDS, NOBODY, PEERS

_FIRST_DAY = date(1970, 1, 1)
_PORT_25 = (Service.SMTPD, Service.POSTSCREEN)
_LOT = 500  # peers asked for at once
_HELLOS = 100  # hellos judged at once: 5 ms where no two are alike


async def forecast(
    connection: AsyncConnection, ask: AskFloor, now: datetime, strict: ServerProfile | None = None
) -> FloorForecast:
    """Say who would be lost; `now`: the days are counted back from it.

    `strict`: what the strict door offers; None: hellos say nothing.
    """
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
    rows = list((await connection.execute(_used(window, touched))).all())
    foretold: dict[str, Foretold] = {}
    if strict is not None:
        judge = HelloJudge(floor, strict)
        foretold = await _foretold(connection, judge, sorted({row.id for row in rows}))
        more, lost = await _told_by_hellos_alone(connection, judge, window, _silent(kinds, floor))
        rows, foretold = rows + more, foretold | lost
    totals = await _totals(connection, window, list(kinds), sorted({row.id for row in rows}))

    def judged() -> tuple[list[Loss], int]:
        uses = [_use(row, kinds[row.kind]) for row in rows]
        found = losses(uses, totals, floor, foretold)
        return found, len({use.ip for use in uses} - {loss.ip for loss in found})

    found, spared = await to_thread(judged)  # of a large history it takes a second, and nobody else need wait
    return FloorForecast(
        days=ask.days,
        sessions=sessions,
        touched=len(found),
        spared=spared,
        peers=tuple(_peer(loss) for loss in found[: ask.limit]),
    )


def _silent(kinds: dict[int, Row[Any]], floor: Floor) -> list[int]:
    """Give the kinds that a floor may touch, and whose log does not tell: TLS 1.3, where a certificate is to go."""
    if floor.without is None:
        return []
    return [number for number, kind in kinds.items() if number_of(kind.tls_version or "") == TLS13]


async def _told_by_hellos_alone(
    connection: AsyncConnection, judge: HelloJudge, window: Any, silent: list[int]
) -> tuple[list[Row[Any]], dict[str, Foretold]]:
    """Give what was used by those who would be lost by their hellos, and whose log does not show it."""
    rows: list[Row[Any]] = []
    found: dict[str, Foretold] = {}
    for peers in await _of_these_kinds(connection, window, silent):
        lost = {ip: each for ip, each in (await _foretold(connection, judge, peers)).items() if each.refused}
        rows += await _uses_of(connection, window, silent, peers, lost)
        found |= lost
    return rows, found


async def _of_these_kinds(connection: AsyncConnection, window: Any, kinds: list[int]) -> list[list[int]]:
    """Give the peers with a hello that have used them, in lots."""
    if not kinds:
        return []
    query = select(HELLOS.c.peer).distinct().join(DAYS, DAYS.c.peer == HELLOS.c.peer)
    peers = list((await connection.execute(query.where(window, DAYS.c.kind.in_(kinds)))).scalars())
    return [peers[start : start + _LOT] for start in range(0, len(peers), _LOT)]


async def _foretold(connection: AsyncConnection, judge: HelloJudge, peers: list[int]) -> dict[str, Foretold]:
    """Judge the hellos of these peers, as far as they have any; by address."""
    found: dict[str, Foretold] = {}
    for start in range(0, len(peers), _HELLOS):
        query = select(PEERS.c.ip, HELLOS.c.hello).join(PEERS, PEERS.c.id == HELLOS.c.peer)
        some = HELLOS.c.peer.in_(peers[start : start + _HELLOS])
        for ip, text in await connection.execute(query.where(some)):
            said = judge.read(text) if isinstance(text, str) else None
            if said is not None:
                found[ip_of(ip)] = said
    return found


async def _uses_of(
    connection: AsyncConnection, window: Any, kinds: list[int], peers: list[int], ips: Collection[str]
) -> list[Row[Any]]:
    """Give what those of these peers that have one of these addresses did."""
    if not ips:
        return []
    rows = await connection.execute(_used(and_(window, DAYS.c.peer.in_(peers)), kinds))
    return [row for row in rows if ip_of(row.ip) in ips]


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
        by_hello=loss.by_hello,
    )
