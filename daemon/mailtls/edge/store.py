"""The store: mailtlsd's memory, in one SQLite file. docs/decisions/0009 says what is lost when.

What is seen is committed with the position up to which it was seen, in one transaction: whoever is killed reads the
rest again, and nothing is counted twice. Nothing here decides: a store that is lost, damaged or full costs memory,
never a waiver, which is the keeper's.

SECURITY: strangers fill it. Its tables are bounded (`storeretention.Bounds`): strangers are forgotten first, the
quietest of them before the others, then peers that ever got something through; those with a waiver never.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Self

from sqlalchemy import Executable, Select, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mailtls.core.arrival import MessageKind, write_arrivals
from mailtls.core.conduct import Conduct
from mailtls.core.conductrecord import distrusted, read_conduct
from mailtls.core.controlprotocol import (
    AskFloor,
    AskInventory,
    DayCount,
    FloorForecast,
    Inventory,
    KnownPeer,
    LastArrival,
    MessageCount,
    PastStep,
)
from mailtls.core.daybook import Daybook, SessionKind, write_daybook
from mailtls.core.hellobook import HeardHello
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.peerkey import key_of
from mailtls.core.proof import Standing
from mailtls.core.serverprofile import ServerProfile
from mailtls.edge import storequestion as question
from mailtls.edge.floorquestion import forecast
from mailtls.edge.helloschema import PUT_HELLO
from mailtls.edge.inventoryquestion import inventory
from mailtls.edge.storearrivals import ArrivalTables, last_arrival, messages, see_arrivals, standings
from mailtls.edge.storebatch import Change, Position, decision_rows, peer_rows, position_rows, step_rows, waiver_rows
from mailtls.edge.storefile import StoreFile, Work, to_its_end
from mailtls.edge.storehellos import has_hellos, hello_rows, recalled
from mailtls.edge.storeretention import Bounds, Retention
from mailtls.edge.storeschema import (
    DECISIONS,
    KINDS,
    PEERS,
    POSITIONS,
    PUT_DAY,
    PUT_PEER,
    PUT_POSITION,
    PUT_STEP,
    PUT_WAIVER,
    STEPS,
    WAIVERS,
    Bulk,
)
from mailtls.errors import StoreError

__all__ = ["Change", "Position", "Store"]

AT_ONCE = 500  # addresses of one query
MOST_KINDS = 5_000
COUNT_QUICK = 0.02  # seconds: counting that takes less is done whenever it is asked
COUNT_PAUSE = 200  # times as long as the counting took
Fresh = tuple[dict[SessionKind, int], dict[MessageKind, int], int]
"""Kinds that a commit made, and how many peers."""
OTHER = "other"  # stands for versions and ciphers beyond MOST_KINDS


class Store:
    """The memory. Every method raises StoreError where the file does not serve, and has then changed nothing.

    `damaged`: conducts that could not be read; `clock`: aware, dates what has no time of its own.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime], bounds: Bounds) -> None:
        self._file = StoreFile(path, self._learn)
        self._clock = clock
        self._retention = Retention(self._file, bounds)
        self._kinds: dict[SessionKind, int] = {}
        self._arrivals = ArrivalTables()
        self._standing: dict[str, LiveWaiver] | None = None
        self._has_hellos = False  # where nobody observes, nobody need look
        self._counts: dict[str, int] = {}
        self._count_again = 0.0
        self.damaged = 0

    @classmethod
    async def open(
        cls, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC), bounds: Bounds | None = None
    ) -> Self:
        """Open the memory in this file, which is made if it is missing; its directory must be there."""
        store = cls(path, clock, bounds or Bounds())
        await store._file.open()
        return store

    async def close(self) -> None:
        """Close the file; nothing that was committed is lost without it."""
        await self._file.close()

    async def _learn(self, connection: AsyncConnection) -> None:
        """Take what is in a database that was just opened."""
        kinds = (await connection.execute(select(KINDS))).all()
        self._kinds = {SessionKind(*row[1:]): row.id for row in kinds}
        await self._arrivals.learn(connection)
        self._has_hellos = await has_hellos(connection)
        standing, self._standing = self._standing, None
        if standing is not None:  # the file was begun anew under way
            await self._put_waivers(connection, tuple(standing.values()))
            self._standing = standing
        await self._retention.count(connection)

    # --- for the watcher ------------------------------------------------------------------------------------------

    async def conducts(self, ips: Collection[str]) -> dict[str, Conduct]:
        """Recall the conducts of these addresses; those not stored are absent.

        One that cannot be read is given as `distrusted`, and counted in `damaged`.
        """
        keys = {key: ip for ip in ips if (key := key_of(ip)) is not None}
        rows = await self._file.recall(lambda connection: _conduct_rows(connection, list(keys)))
        return {keys[key]: self._conduct(text) for key, text in rows}

    async def hellos(self, ips: Collection[str]) -> dict[str, HeardHello]:
        """Recall what these addresses offered last, as far as that is stored."""
        keys = {key: ip for ip in ips if (key := key_of(ip)) is not None} if self._has_hellos else {}
        return await self._file.recall(lambda connection: recalled(connection, keys)) if keys else {}

    def _conduct(self, text: object) -> Conduct:
        conduct = read_conduct(text) if isinstance(text, str) else None
        if conduct is None:
            self.damaged += 1
            return distrusted()
        return conduct

    async def commit(self, change: Change) -> None:
        """Remember everything in the change, in one transaction, and leave the change empty.

        On StoreError nothing was remembered, and everything is in the change again, in front of what came meanwhile.
        """
        taken = change.take()
        now = self._clock()
        book, arrivals = write_daybook(taken.sessions, now), write_arrivals(taken.arrivals)
        see_arrivals(book, arrivals)
        peers, hellos = peer_rows(book, taken.conducts), hello_rows(taken.hellos)

        async def work(connection: AsyncConnection) -> Fresh:
            last = await _last_peer(connection)
            await _put_many(connection, PUT_PEER, peers)
            kinds = await self._put_days(connection, book)
            message_kinds = await self._arrivals.put(connection, arrivals)
            await _put_many(connection, PUT_HELLO, hellos)
            await _put(connection, insert(DECISIONS), decision_rows(taken.decisions, now))
            await _put(connection, PUT_STEP, step_rows(taken.events))
            await self._put_waivers(connection, taken.waivers)
            await _put(connection, PUT_POSITION, position_rows(taken.positions))
            return kinds, message_kinds, await _last_peer(connection) - last

        await to_its_end(self._commit(change, taken, work))

    async def _commit(self, change: Change, taken: Change, work: Work[Fresh]) -> None:
        """Do what `commit` has prepared; also if nobody waits for it any more."""
        try:
            kinds, message_kinds, new_peers = await self._file.write(work)
        except StoreError:
            change.put_back(taken)
            raise
        self._kinds |= kinds
        self._arrivals.committed(message_kinds)
        self._has_hellos = self._has_hellos or bool(taken.hellos)
        if taken.waivers is not None:
            self._standing = {waiver.network: waiver for waiver in taken.waivers}
        with suppress(StoreError):  # it was committed; the next one will tell
            await self._retention.grown(new_peers, len(taken.decisions))

    async def _put_days(self, connection: AsyncConnection, book: Daybook) -> dict[SessionKind, int]:
        """Write the counts of the days; give the kinds that were new, known only once this is committed."""
        new = sorted({kind for _, _, kind in book.days} - self._kinds.keys(), key=str)
        room = max(0, MOST_KINDS - len(self._kinds))
        instead = {kind: _without_words(kind) for kind in new[room:]}
        fresh: dict[SessionKind, int] = {}
        for kind in {*new[:room], *instead.values()} - self._kinds.keys():
            done = await connection.execute(insert(KINDS).values(kind._asdict()).returning(KINDS.c.id))
            fresh[kind] = done.scalar_one()
        numbers = self._kinds | fresh
        rows = [
            {
                "ip": key,
                "day": day,
                "kind": numbers[instead.get(kind, kind)],
                "sessions": tally.sessions,
                "mails": tally.mails,
            }
            for (key, day, kind), tally in book.days.items()
        ]
        await _put_many(connection, PUT_DAY, rows)
        return fresh

    async def _put_waivers(self, connection: AsyncConnection, waivers: tuple[LiveWaiver, ...] | None) -> None:
        """Make the list equal to this one; what did not change is not written again."""
        if waivers is None:
            return
        known = self._standing
        if known is None:
            await connection.execute(delete(WAIVERS))
            known = {}
        gone = known.keys() - {waiver.network for waiver in waivers}
        for network in gone:
            await connection.execute(delete(WAIVERS).where(WAIVERS.c.network == network))
        await _put(connection, PUT_WAIVER, waiver_rows(each for each in waivers if known.get(each.network) != each))

    async def position(self, source: str) -> Position | None:
        """Say how far a source was read when what was read of it was last committed."""
        query = select(POSITIONS).where(POSITIONS.c.source == source)
        row = await self._file.recall(lambda connection: _first(connection, query))
        if row is None:
            return None
        return Position(row.position, row.open_sessions, datetime.fromtimestamp(row.at, UTC))

    async def last_event(self) -> int:
        """Give the number of the keeper's event that was stored last, 0 where there is none."""
        query = select(STEPS.c.number).order_by(STEPS.c.id.desc()).limit(1)
        row = await self._file.recall(lambda connection: _first(connection, query))
        return int(row.number) if row is not None else 0

    async def standings(self, since: datetime, most: int) -> list[tuple[str, Standing]]:
        """Give what peers have proven at the strict door since this time, the latest at the end."""
        return await self._file.recall(lambda connection: standings(connection, since, most))

    async def forget(self, now: datetime, peers: timedelta, strangers: timedelta) -> int:
        """Forget peers that were not seen for so long, with their counts and decisions; say how many."""
        return await self._retention.forget(now, peers, strangers)

    # --- for those who ask ----------------------------------------------------------------------------------------

    async def peers(self, failing: bool = False, whom: str | None = None, limit: int = 1000) -> list[KnownPeer]:
        """List peers, the latest first. `whom`: an address, a network, a name, or `.domain`."""
        return await self._file.read(lambda connection: question.peers(connection, failing, whom, limit))

    async def peer(self, ip: str) -> KnownPeer | None:
        """Give one peer by its address."""
        return next(iter(await self.peers(whom=ip, limit=1)), None)

    async def days(self, ip: str | None) -> list[DayCount]:
        """Count a peer's sessions by day and kind, the latest day first; None: those of nobody that can be named."""
        return await self._file.read(lambda connection: question.days(connection, ip))

    async def last_arrival(self, ip: str) -> LastArrival | None:
        """Give what a peer's last message came with, as Postfix itself told."""
        return await self._file.read(lambda connection: last_arrival(connection, ip))

    async def messages(self, ip: str) -> list[MessageCount]:
        """Count a peer's messages by day and kind, as Postfix itself told, the latest day first."""
        return await self._file.read(lambda connection: messages(connection, ip))

    async def history(self, whom: str | None = None, limit: int = 200) -> list[PastStep]:
        """List what was decided and done, the latest first. `whom`: as for `peers`."""
        return await self._file.read(lambda connection: question.history(connection, whom, limit))

    async def floor(self, ask: AskFloor, now: datetime, strict: ServerProfile | None = None) -> FloorForecast:
        """Say who would be lost by a higher floor; `strict`: what the strict door offers, where that is known."""
        known = strict if self._has_hellos else None
        return await self._file.read(lambda connection: forecast(connection, ask, now, known))

    async def inventory(self, ask: AskInventory, now: datetime) -> Inventory:
        """Say what peers use at port 25."""
        return await self._file.read(lambda connection: inventory(connection, ask, now))

    async def waivers(self) -> list[LiveWaiver]:
        """List the waivers as they were last known."""
        return await self._file.read(question.waivers)

    async def counts(self) -> dict[str, int]:
        """Count peers by state; those whom a waiver covers are `waived` and nothing else.

        Among a million peers this takes a third of a second; the answer is then given again for a minute, so that
        whoever asks every few seconds costs less than a hundredth of a core.
        """
        if monotonic() >= self._count_again:
            begun = monotonic()
            self._counts = await self._file.read(question.counts)
            taken = monotonic() - begun
            self._count_again = monotonic() + (taken * COUNT_PAUSE if taken > COUNT_QUICK else 0.0)
        return dict(self._counts)


def _without_words(kind: SessionKind) -> SessionKind:
    return kind._replace(tls_version=kind.tls_version and OTHER, cipher=kind.cipher and OTHER)


async def _put(connection: AsyncConnection, statement: Executable, rows: list[dict[str, Any]]) -> None:
    if rows:
        await connection.execute(statement, rows)


async def _put_many(connection: AsyncConnection, bulk: Bulk, rows: list[dict[str, Any]]) -> None:
    if rows:
        await connection.exec_driver_sql(bulk.sql, bulk.values(rows))


async def _first(connection: AsyncConnection, query: Select[Any]) -> Any:
    return (await connection.execute(query)).first()


async def _last_peer(connection: AsyncConnection) -> int:
    """Identifiers count up, so that the difference of two is the number of new peers."""
    return int((await connection.execute(select(func.coalesce(func.max(PEERS.c.id), 0)))).scalar_one())


async def _conduct_rows(connection: AsyncConnection, keys: list[bytes]) -> list[Any]:
    rows: list[Any] = []
    for start in range(0, len(keys), AT_ONCE):
        some = PEERS.c.ip.in_(keys[start : start + AT_ONCE])
        query = select(PEERS.c.ip, PEERS.c.conduct).where(some, PEERS.c.conduct.is_not(None))
        rows += (await connection.execute(query)).all()
    return rows
