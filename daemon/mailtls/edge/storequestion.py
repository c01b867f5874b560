"""The answers of the store to what mailtlsctl asks: peers, days, history, waivers, as models of the control socket.

`whom` is an address, a network, a name, or `.domain` for every name below, as on the command line. Names are compared
without case; what is no address is compared as a name, and finds nobody where nobody has it.

SECURITY: whatever is asked, a limit bounds the answer. What is read was written by this program, but the file may be
damaged: rows that make no sense are left out, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, func, literal, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.controlprotocol import DayCount, KnownPeer, PastStep
from mailtls.core.keeperprotocol import Event, LiveWaiver
from mailtls.core.peerkey import ip_of, key_of, span_of
from mailtls.core.peerstate import PeerState
from mailtls.edge.storeschema import DAYS, DECISIONS, KINDS, NOBODY, PEERS, STEPS, WAIVERS

T = TypeVar("T")

_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)


async def peers(connection: AsyncConnection, failing: bool, whom: str | None, limit: int) -> list[KnownPeer]:
    """List peers, the latest first."""
    rows: list[Row[Any]] = []
    for proven in (0, 1):  # the two halves of the index by time
        query = select(PEERS).where(PEERS.c.proven == proven, _is(whom))
        if failing:
            query = query.where(PEERS.c.state == PeerState.FAILING)
        rows += (await connection.execute(query.order_by(PEERS.c.last_seen.desc()).limit(limit))).all()
    rows.sort(key=lambda row: row.last_seen, reverse=True)
    return await _with_waivers(connection, rows[:limit])


async def days(connection: AsyncConnection, ip: str | None) -> list[DayCount]:
    """Count sessions by day and kind, the latest day first."""
    peer: ColumnElement[Any] | int = NOBODY
    if ip is not None:
        peer = select(PEERS.c.id).where(PEERS.c.ip == key_of(ip)).scalar_subquery()
    query = select(DAYS, KINDS).join(KINDS, KINDS.c.id == DAYS.c.kind).where(DAYS.c.peer == peer)
    rows = (await connection.execute(query.order_by(DAYS.c.day.desc(), KINDS.c.id))).all()
    return [
        DayCount(
            day=(_FIRST_DAY + timedelta(days=row.day)).date().isoformat(),
            service=row.service,
            door=row.door,
            outcome=row.outcome,
            cause=row.cause,
            tls_version=row.tls_version,
            cipher=row.cipher,
            sessions=row.sessions,
            mails=row.mails,
        )
        for row in rows
    ]


async def history(connection: AsyncConnection, whom: str | None, limit: int) -> list[PastStep]:
    """List decisions and steps of waivers, the latest first."""
    decided = select(DECISIONS).where(_speaks_of(DECISIONS, whom, DECISIONS.c.name))
    done = select(STEPS).where(_speaks_of(STEPS, whom, None))
    found = _sensible((await connection.execute(_latest(decided, DECISIONS, limit))).all(), _decision)
    found += _sensible((await connection.execute(_latest(done, STEPS, limit))).all(), _step)
    found.sort(key=lambda step: step.at or _FIRST_DAY, reverse=True)
    return found[:limit]


async def waivers(connection: AsyncConnection) -> list[LiveWaiver]:
    """List the waivers as they were last known."""
    rows = (await connection.execute(select(WAIVERS.c.waiver).order_by(WAIVERS.c.first))).scalars()
    return [waiver for text in rows if (waiver := _waiver(text)) is not None]


async def counts(connection: AsyncConnection) -> dict[str, int]:
    """Count peers by state, `waived` those that a waiver covers."""
    every = select(PEERS.c.state, func.count()).group_by(PEERS.c.state)
    alone = select(PEERS.c.id).join(WAIVERS, PEERS.c.ip == WAIVERS.c.first)
    wide = select(PEERS.c.id).join(WAIVERS, PEERS.c.ip.between(WAIVERS.c.first, WAIVERS.c.last)).where(_WIDE)
    found = {state.value: 0 for state in PeerState}
    for state, number in await connection.execute(every):
        found[state] = found.get(state, 0) + number
    for state, number in await connection.execute(every.where(PEERS.c.id.in_(alone.union(wide)))):
        found[state] -= number
        found[PeerState.WAIVED.value] += number
    return found


# --- whom ---------------------------------------------------------------------------------------------------------

_WIDE = WAIVERS.c.first < WAIVERS.c.last


def _is(whom: str | None) -> ColumnElement[bool]:
    """Choose the peers that are meant."""
    if whom is None:
        return true()
    span = span_of(whom)
    if span is None:
        return _named(PEERS.c.name, whom)
    return PEERS.c.ip == span[0] if span[0] == span[1] else PEERS.c.ip.between(*span)


def _named(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    name = name.lower()
    if name.startswith("."):
        return func.substr(func.lower(column), literal(-len(name))) == name
    return func.lower(column) == name


def _speaks_of(table: FromClause, whom: str | None, name: ColumnElement[Any] | None) -> ColumnElement[bool]:
    """Choose the rows about an address or network: what it covers, and what covers it; or about a name.

    A waiver has no name: its steps are found by the addresses that are known by that name.
    """
    if whom is None:
        return true()
    span = span_of(whom)
    if span is None:
        known = table.c.first.in_(select(PEERS.c.ip).where(_named(PEERS.c.name, whom)))
        return known if name is None else or_(_named(name, whom), known)
    first, last = span
    wide = and_(table.c.first < table.c.last, table.c.first <= last, table.c.last >= first)
    return or_(table.c.first == first if first == last else table.c.first.between(first, last), wide)


# --- rows to models -----------------------------------------------------------------------------------------------


def _latest(query: Select[Any], table: FromClause, limit: int) -> Select[Any]:
    return query.order_by(table.c.at.desc(), table.c.id.desc()).limit(limit)


async def _with_waivers(connection: AsyncConnection, rows: list[Row[Any]]) -> list[KnownPeer]:
    wide = (await connection.execute(select(WAIVERS).where(_WIDE))).all()
    alone = {}
    for start in range(0, len(rows), 500):
        keys = [row.ip for row in rows[start : start + 500]]
        for waiver in await connection.execute(select(WAIVERS).where(WAIVERS.c.first.in_(keys), ~_WIDE)):
            alone[waiver.first] = waiver.waiver

    def peer(row: Row[Any]) -> KnownPeer:
        text = alone.get(row.ip) or next((each.waiver for each in wide if each.first <= row.ip <= each.last), None)
        return _peer(row, _waiver(text) if text is not None else None)

    return _sensible(rows, peer)


def _peer(row: Row[Any], waiver: LiveWaiver | None) -> KnownPeer:
    return KnownPeer(
        ip=ip_of(row.ip),
        name=row.name,
        state=PeerState.WAIVED if waiver is not None else row.state,
        first_seen=_time(row.first_seen),
        last_seen=_time(row.last_seen or None),
        sessions=row.sessions,
        failures=row.failures,
        mails=row.mails,
        cause=row.cause,
        reason=row.reason,
        tls_version=row.tls_version,
        waiver=waiver,
    )


def _sensible(rows: Sequence[Row[Any]], read: Callable[[Row[Any]], T]) -> list[T]:
    """Read rows, and leave out those that cannot be read."""
    found = []
    for row in rows:
        with suppress(ValueError, TypeError):  # pydantic's and JSON's errors are ValueErrors
            found.append(read(row))
    return found


def _decision(row: Row[Any]) -> PastStep:
    reasons, evidence, alternatives = json.loads(row.said)
    return PastStep(
        at=_time(row.at),
        kind="decision",
        ip=row.who,
        name=row.name,
        action=row.action,
        rule=row.rule,
        cause=row.cause,
        level=row.level,
        until=_time(row.until),
        reasons=reasons,
        evidence=evidence,
        alternatives=alternatives,
    )


def _step(row: Row[Any]) -> PastStep:
    event = Event.model_validate_json(row.event)
    waiver = event.waiver
    return PastStep(
        at=event.at,
        kind="waiver",
        ip=waiver.network,
        step=event.step,
        by=event.by,
        cause=waiver.cause,
        level=waiver.level,
        until=waiver.until,
        reasons=tuple(dict.fromkeys(text for text in (event.why, waiver.reason) if text)),
    )


def _waiver(text: str) -> LiveWaiver | None:
    try:
        return LiveWaiver.model_validate_json(text)
    except ValidationError:
        return None


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else _FIRST_DAY + timedelta(seconds=seconds)
