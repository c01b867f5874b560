"""Arrivals in the store: written with the batch that they belong to, and read when mailtlsd starts or is asked.

A peer whose messages Postfix told of has a row in `peers`, also where no log tells of its sessions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.arrival import Arrival, ArrivalBook, MessageKind
from mailtls.core.controlprotocol import LastArrival, MessageCount
from mailtls.core.daybook import Daybook, Seen
from mailtls.core.peerkey import ip_of, key_of
from mailtls.core.proof import Standing
from mailtls.edge.arrivalschema import ARRIVALS, MESSAGE_KINDS, MESSAGES, PUT_ARRIVAL, PUT_MESSAGES
from mailtls.edge.storeschema import PEERS

MOST_KINDS = 5_000
OTHER = "other"
"""Stands for versions and ciphers beyond MOST_KINDS."""
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)


def see_arrivals(book: Daybook, arrivals: ArrivalBook) -> None:
    """Put the peers of arrivals among those of the batch; sessions are counted by the log alone."""
    for key, arrival in arrivals.last.items():
        at = int(arrival.at.timestamp())
        seen = book.peers.get(key)
        if seen is None:
            seen = book.peers[key] = Seen(at, at)
        seen.last = max(seen.last, at)
        seen.name = seen.name or arrival.peer.name
        seen.tls_version = seen.tls_version or arrival.kind.tls_version
        seen.got_through = seen.got_through or arrival.version is not None


class ArrivalTables:
    """Knows the kinds of messages by their number."""

    def __init__(self) -> None:
        self._kinds: dict[MessageKind, int] = {}

    async def learn(self, connection: AsyncConnection) -> None:
        """Take the kinds of a database that was just opened."""
        rows = (await connection.execute(select(MESSAGE_KINDS))).all()
        self._kinds = {MessageKind(*row[1:]): row.id for row in rows}

    def committed(self, fresh: dict[MessageKind, int]) -> None:
        """Take note of kinds that `put` made, once they are committed."""
        self._kinds |= fresh

    async def put(self, connection: AsyncConnection, book: ArrivalBook) -> dict[MessageKind, int]:
        """Write a batch whose peers are stored; give the kinds that were new, known only once this is committed."""
        meant = {kind: kind for _, _, kind in book.messages} | {each.kind: each.kind for each in book.last.values()}
        fresh: dict[MessageKind, int] = {}
        for kind in sorted(meant.keys() - self._kinds.keys(), key=str):
            if len(self._kinds) + len(fresh) >= MOST_KINDS:
                meant[kind] = kind._replace(tls_version=kind.tls_version and OTHER, cipher=kind.cipher and OTHER)
            if meant[kind] not in self._kinds and meant[kind] not in fresh:
                row = insert(MESSAGE_KINDS).values(meant[kind]._asdict()).returning(MESSAGE_KINDS.c.id)
                fresh[meant[kind]] = (await connection.execute(row)).scalar_one()
        known = self._kinds | fresh
        numbers = {kind: known[stored] for kind, stored in meant.items()}
        counts = [
            {"ip": key, "day": day, "kind": numbers[kind], "messages": count}
            for (key, day, kind), count in book.messages.items()
        ]
        last = [_row(key, each, book.alarms.get(key), numbers[each.kind]) for key, each in book.last.items()]
        for bulk, rows in ((PUT_MESSAGES, counts), (PUT_ARRIVAL, last)):
            if rows:
                await connection.exec_driver_sql(bulk.sql, bulk.values(rows))
        return fresh


def _row(key: bytes, last: Arrival, alarm: Arrival | None, kind: int) -> dict[str, Any]:
    standing = last.standing
    return {
        "ip": key, "at": int(last.at.timestamp()), "kind": kind, "helo": last.helo,
        "sender_domain": last.sender_domain, "subject": last.subject, "fingerprint": last.fingerprint,
        "good_sessions": standing.sessions, "good_version": standing.version,
        "good_at": int(standing.at.timestamp()) if standing.at is not None else 0,
        "alarm": alarm.alarm if alarm is not None else None,
        "alarm_at": int(alarm.at.timestamp()) if alarm is not None else None,
    }  # fmt: skip


async def standings(connection: AsyncConnection, since: datetime, most: int) -> list[tuple[str, Standing]]:
    """Give what peers have proven since this time, who was heard of last at the end."""
    query = (
        select(PEERS.c.ip, ARRIVALS.c.good_sessions, ARRIVALS.c.good_version, ARRIVALS.c.good_at)
        .join(PEERS, PEERS.c.id == ARRIVALS.c.peer)
        .where(ARRIVALS.c.good_at >= int(since.timestamp()), ARRIVALS.c.good_sessions > 0)
        .order_by(ARRIVALS.c.good_at.desc())
        .limit(most)
    )
    rows = (await connection.execute(query)).all()
    return [(ip_of(key), Standing(sessions, version, _time(at))) for key, sessions, version, at in reversed(rows)]


async def last_arrival(connection: AsyncConnection, ip: str) -> LastArrival | None:
    """Give what a peer's last message came with."""
    query = (
        select(ARRIVALS, MESSAGE_KINDS)
        .join(MESSAGE_KINDS, MESSAGE_KINDS.c.id == ARRIVALS.c.kind)
        .where(ARRIVALS.c.peer == select(PEERS.c.id).where(PEERS.c.ip == key_of(ip)).scalar_subquery())
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    return LastArrival(
        at=_time(row.at), door=row.door, tls_version=row.tls_version, cipher=row.cipher, keysize=row.keysize,
        certificate=row.certificate, subject=row.subject, fingerprint=row.fingerprint, helo=row.helo,
        sender_domain=row.sender_domain, good_sessions=row.good_sessions,
        good_at=_time(row.good_at) if row.good_at else None, alarm=row.alarm,
        alarm_at=_time(row.alarm_at) if row.alarm_at is not None else None,
    )  # fmt: skip


async def messages(connection: AsyncConnection, ip: str) -> list[MessageCount]:
    """Count a peer's messages by day and kind, the latest day first."""
    query = (
        select(MESSAGES.c.day, func.sum(MESSAGES.c.messages).label("number"), *MESSAGE_KINDS.c)
        .join(MESSAGE_KINDS, MESSAGE_KINDS.c.id == MESSAGES.c.kind)
        .where(MESSAGES.c.peer == select(PEERS.c.id).where(PEERS.c.ip == key_of(ip)).scalar_subquery())
        .group_by(MESSAGES.c.day, MESSAGES.c.kind)
        .order_by(MESSAGES.c.day.desc(), MESSAGES.c.kind)
    )
    return [
        MessageCount(
            day=(_FIRST_DAY + timedelta(days=row.day)).date().isoformat(), door=row.door, tls_version=row.tls_version,
            cipher=row.cipher, keysize=row.keysize, certificate=row.certificate, messages=row.number,
        )
        for row in (await connection.execute(query)).all()
    ]  # fmt: skip


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
