"""The answer of the store to `mailtlsctl inventory`: what peers use at port 25, by kind and day.

Two books about the same mail stand beside each other and are never added up (docs/decisions/0024): what Postfix itself
told of messages, and what the log told of sessions. Rows are few, however many peers there are: kinds times days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.cause import Door, Outcome, Service
from mailtls.core.controlprotocol import AskInventory, Inventory, InventoryDay, InventoryRow
from mailtls.core.suite import key_exchange_of, key_type_of
from mailtls.edge.arrivalschema import MESSAGE_KINDS, MESSAGES
from mailtls.edge.storeschema import DAYS, KINDS, NOBODY

_FIRST_DAY = date(1970, 1, 1)
_PORT_25 = (Service.SMTPD, Service.POSTSCREEN)

_Kind = tuple[str, str | None, str | None, str | None, bool]  # door, version, cipher, client's certificate, encrypted


async def inventory(connection: AsyncConnection, ask: AskInventory, now: datetime) -> Inventory:
    """Say what was used; `now`: the days are counted back from it."""
    since = (now.astimezone(UTC).date() - _FIRST_DAY).days - ask.days + 1
    told = and_(MESSAGES.c.day >= since, MESSAGES.c.kind == MESSAGE_KINDS.c.id)
    here = and_(DAYS.c.day >= since, DAYS.c.peer != NOBODY, DAYS.c.kind == KINDS.c.id, KINDS.c.service.in_(_PORT_25))
    came = and_(here, KINDS.c.outcome.in_((Outcome.TLS_OK, Outcome.NO_STARTTLS)))
    rows = [
        *await _rows(connection, "postfix", _of_messages(told), MESSAGES.c.day, MESSAGES.c.peer),
        *await _rows(connection, "log", _of_sessions(came), DAYS.c.day, DAYS.c.peer),
    ]
    rows.sort(key=_place)
    everybody = union(select(MESSAGES.c.peer).where(told), select(DAYS.c.peer).where(here)).subquery()
    failed = select(func.sum(DAYS.c.sessions)).where(here, KINDS.c.outcome == Outcome.TLS_FAILED)
    return Inventory(
        days=ask.days,
        peers=(await connection.execute(select(func.count()).select_from(everybody))).scalar() or 0,
        failed_sessions=(await connection.execute(failed)).scalar() or 0,
        found=len(rows),
        rows=tuple(rows[: ask.limit]),
    )


def _of_messages(window: ColumnElement[bool]) -> Select[Any]:
    """Ask what Postfix told: the kind first, then the counts."""
    kind = MESSAGE_KINDS.c
    encrypted = kind.tls_version.is_not(None) | (kind.door == Door.SSLV3)  # the gateway's TLS is not Postfix's
    words = [kind.door, kind.tls_version, kind.cipher, kind.certificate, encrypted.label("encrypted")]
    counts = literal(0).label("sessions"), func.sum(MESSAGES.c.messages).label("messages")
    return select(*words, *counts).where(window).group_by(*words)


def _of_sessions(window: ColumnElement[bool]) -> Select[Any]:
    """Ask what the log told, in the same columns."""
    kind, nothing = KINDS.c, literal(None).label("certificate")
    encrypted = (kind.outcome == Outcome.TLS_OK).label("encrypted")
    counts = func.sum(DAYS.c.sessions).label("sessions"), func.sum(DAYS.c.mails).label("messages")
    words = [kind.door, kind.tls_version, kind.cipher]
    return select(*words, nothing, encrypted, *counts).where(window).group_by(*words, encrypted)


async def _rows(
    connection: AsyncConnection,
    source: Literal["postfix", "log"],
    query: Select[Any],
    day: ColumnElement[Any],
    peer: ColumnElement[Any],
) -> list[InventoryRow]:
    """Count by kind, and by kind and day; the peers of several days are counted once."""
    counted = query.add_columns(func.count(peer.distinct()).label("peers"))
    by_day: dict[_Kind, list[InventoryDay]] = {}
    for row in await connection.execute(counted.add_columns(day).group_by(day).order_by(day)):
        by_day.setdefault(_kind(row), []).append(_day(row))
    found = await connection.execute(counted)
    return [_row(source, _kind(row), row.peers, by_day.get(_kind(row), ())) for row in found]


def _place(row: InventoryRow) -> tuple[Any, ...]:
    return row.source == "log", -row.messages, -row.sessions, row.tls_version or "", row.cipher or ""


def _kind(row: Any) -> _Kind:
    return row.door, row.tls_version, row.cipher, row.certificate, bool(row.encrypted)


def _day(row: Any) -> InventoryDay:
    when = (_FIRST_DAY + timedelta(days=row.day)).isoformat()
    return InventoryDay(day=when, peers=row.peers, sessions=row.sessions, messages=row.messages)


def _row(source: Literal["postfix", "log"], kind: _Kind, peers: int, by_day: Iterable[InventoryDay]) -> InventoryRow:
    door, version, cipher, certificate, encrypted = kind
    total = Counter[str]()
    for day in by_day:
        total.update(sessions=day.sessions, messages=day.messages)
    return InventoryRow(
        source=source,
        door=door,
        encrypted=encrypted,
        tls_version=version,
        cipher=cipher,
        key_exchange=key_exchange_of(cipher),
        server_key=key_type_of(cipher),
        client_certificate=certificate,
        peers=peers,
        sessions=total["sessions"],
        messages=total["messages"],
        by_day=tuple(by_day),
    )
