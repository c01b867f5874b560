"""What is forgotten, and when: peers that were not seen for long, and the quietest where there are too many.

In slices of `SLICE` rows, each a transaction of its own with room for others between them, so that a round over a
million peers holds nobody up. Peers with a waiver are not forgotten, nor what was done about them. The room that
becomes free is given back to the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.daybook import DAY
from mailtls.edge.arrivalschema import ARRIVALS, MESSAGES
from mailtls.edge.helloschema import HELLOS
from mailtls.edge.storebatch import HEAVIEST
from mailtls.edge.storefile import StoreFile
from mailtls.edge.storeschema import DAYS, DECISIONS, PEERS, STEPS, WAIVERS

SLICE = 200  # peers; some 20 ms
RANGE = 10_000  # identifiers of peers whose days are looked through at once
SLACK = 20  # where there are too many, one in so many goes, so that it is not counted at every commit
FREED = 500  # pages that are given back to the disk after a slice


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows there may be. `strangers`: peers that never got anything through; they count as peers, too."""

    peers: int = 2_000_000
    strangers: int = 500_000
    decisions: int = 50_000


class Retention:
    """Keeps count of the tables, as far as the bounds need it."""

    def __init__(self, file: StoreFile, bounds: Bounds) -> None:
        self._file = file
        self._bounds = bounds
        self._peers = 0
        self._strangers = 0  # at most: those that got something through meanwhile are still counted
        self._decisions = 0
        self._shrinking = False
        self._looked_through: int | None = None

    async def count(self, connection: AsyncConnection) -> None:
        """Count what is there."""
        query = select(PEERS.c.proven, func.count()).group_by(PEERS.c.proven)
        rows: dict[int, int] = {row[0]: row[1] for row in await connection.execute(query)}
        self._peers, self._strangers = sum(rows.values()), rows.get(0, 0)
        self._decisions = int((await connection.execute(select(func.count()).select_from(DECISIONS))).scalar_one())

    async def grown(self, peers: int, decisions: int) -> None:
        """Take note of new rows, and forget as many, and some more, where there are too many now."""
        self._peers += peers
        self._strangers += peers
        self._decisions += decisions
        if not self._shrinking and self._excess(0) > 0:
            await self._file.recall(self.count)
            self._shrinking = self._excess(0) > 0
        if self._shrinking:
            await self._shrink(max(SLICE, 2 * peers))
        excess = self._decisions - self._bounds.decisions
        if excess > 0:
            excess += self._bounds.decisions // SLACK
            self._decisions -= await self._file.write(lambda connection: _drop_decisions(connection, excess))

    def _excess(self, slack: int) -> int:
        """Say how many peers are too many, for bounds that are lower by one part of `slack`."""
        bounds = self._bounds
        peers, strangers = (most - (most // slack if slack else 0) for most in (bounds.peers, bounds.strangers))
        return max(self._peers - peers, self._strangers - strangers)

    async def _shrink(self, most: int) -> None:
        """Forget at most so many of the quietest, strangers before others, until there is room for a while."""
        quietest = select(PEERS.c.id).order_by(PEERS.c.proven, PEERS.c.last_seen)
        while most > 0 and (excess := self._excess(SLACK)) > 0:
            gone = await self._slice(quietest, min(excess, SLICE, most))
            if not gone:
                break  # all that are left have a waiver
            most -= gone
        self._shrinking = most <= 0

    async def forget(self, now: datetime, peers: timedelta, strangers: timedelta) -> int:
        """Forget what was not seen for so long; say how many peers."""
        gone = 0
        for proven, age in ((0, min(peers, strangers)), (1, peers)):
            old = select(PEERS.c.id).where(PEERS.c.proven == proven, PEERS.c.last_seen < int((now - age).timestamp()))
            while some := await self._slice(old.order_by(PEERS.c.last_seen), SLICE):
                gone += some
                await self._file.give_back(FREED)
        before = (now - peers).timestamp()
        await self._file.write(lambda connection: _drop_before(connection, before))
        await self._look_through_days(int(before) // DAY)
        await self._file.give_back(FREED)
        await self._file.read(self.count)
        return gone

    async def _slice(self, query: Select[Any], most: int) -> int:
        """Forget at most so many of these peers."""
        return await self._file.write(lambda connection: self._drop(connection, query, most))

    async def _drop(self, connection: AsyncConnection, query: Select[Any], most: int) -> int:
        peers = (await connection.execute(query.where(*_not_waived(PEERS.c.ip)).limit(most))).scalars().all()
        if peers:
            await _drop_peers(connection, peers)
            self._peers -= len(peers)
            self._strangers -= len(peers)
        return len(peers)

    async def _look_through_days(self, before: int) -> None:
        """Forget days before this one, once a day: of peers that still come, too."""
        if self._looked_through == before:
            return
        last = await self._file.read(_last_peer_of_days)
        for start in range(0, last + 1, RANGE):
            for table in (DAYS, MESSAGES):
                old = delete(table).where(table.c.peer.between(start, start + RANGE - 1), table.c.day < before)
                await self._file.write(lambda connection, old=old: connection.execute(old))  # type: ignore[misc]
        self._looked_through = before


async def _drop_peers(connection: AsyncConnection, peers: Sequence[Any]) -> None:
    ips = select(PEERS.c.ip).where(PEERS.c.id.in_(peers))
    await connection.execute(delete(DECISIONS).where(DECISIONS.c.first.in_(ips), DECISIONS.c.first == DECISIONS.c.last))
    for table in (DAYS, MESSAGES, ARRIVALS, HELLOS):
        await connection.execute(delete(table).where(table.c.peer.in_(peers)))
    await connection.execute(delete(PEERS).where(PEERS.c.id.in_(peers)))


async def _drop_before(connection: AsyncConnection, before: float) -> None:
    await connection.execute(delete(DECISIONS).where(DECISIONS.c.at < before))
    await connection.execute(delete(STEPS).where(STEPS.c.at < before, *_not_waived(STEPS.c.first)))


async def _drop_decisions(connection: AsyncConnection, excess: int) -> int:
    """Forget the oldest advice, then the oldest proposals; what was done stays until its time is over."""
    oldest = select(DECISIONS.c.id).where(DECISIONS.c.weight < HEAVIEST).order_by(DECISIONS.c.weight, DECISIONS.c.at)
    done = await connection.execute(delete(DECISIONS).where(DECISIONS.c.id.in_(oldest.limit(excess))))
    return int(getattr(done, "rowcount", 0))


async def _last_peer_of_days(connection: AsyncConnection) -> int:
    last = [select(func.coalesce(func.max(table.c.peer), 0)) for table in (DAYS, MESSAGES)]
    return max([int((await connection.execute(query)).scalar_one()) for query in last])


def _not_waived(ip: ColumnElement[bytes]) -> tuple[ColumnElement[bool], ...]:
    """Two questions, because each has an index: is there a waiver for this address, or one for a network around it?"""
    wide = WAIVERS.c.first < WAIVERS.c.last
    return (
        ~exists().where(WAIVERS.c.first == ip),
        ~exists().where(wide, WAIVERS.c.first <= ip, WAIVERS.c.last >= ip),
    )
