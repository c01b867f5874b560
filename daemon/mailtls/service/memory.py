"""The memory of mailtlsd: what the store holds, and what is not stored yet.

What was seen is committed at most `EVERY` seconds after it, together with the position up to which it was seen, in one
transaction; a process that is killed reads the rest again and comes to the same. A store that cannot be written is
said, and tried again; meanwhile up to `MOST_SESSIONS` sessions wait. A store that cannot be read makes the decider
forgetful, so that it gives nothing by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime
from time import monotonic

from mailtls.core.arrival import Arrival
from mailtls.core.conduct import Conduct
from mailtls.core.decision import Decision
from mailtls.core.hellobook import HeardHello
from mailtls.core.keeperprotocol import Event, LiveWaiver
from mailtls.core.livedecider import LiveDecider
from mailtls.core.peer import is_address
from mailtls.core.session import Session
from mailtls.edge.store import Change, Position, Store
from mailtls.errors import StoreError

LOG = logging.getLogger("mailtls.memory")
EVERY = 1.0  # seconds
MOST_SESSIONS = 200_000
MANY = 5_000  # sessions that make a commit due at once
REOPEN = 15.0  # seconds between attempts to open a store that could not be opened
RETENTION = 3600.0  # seconds between rounds of forgetting


class Memory:
    """Holds the store. `opener` opens it; `places` are asked at each commit how far each log was read."""

    def __init__(self, opener: Callable[[], Awaitable[Store]], forget: Callable[[Store], Awaitable[int]]) -> None:
        self._opener = opener
        self._forget = forget
        self.store: Store | None = None
        self.trouble = ""
        self.lost = 0
        self.places: dict[str, Callable[[], Position | None]] = {}
        self._change = Change()
        self._due = asyncio.Event()
        self._turn = asyncio.Lock()
        self._moved = False
        self._next_open = 0.0

    @property
    def remembers(self) -> bool:
        """Tell whether the store takes what it is given."""
        return not self.trouble

    async def open(self) -> None:
        """Open the store, if it can be; never raises for what the disk does."""
        self._next_open = monotonic() + REOPEN
        try:
            self.store = await self._opener()
        except StoreError as error:
            self._say(str(error))
        else:
            self._say("")

    async def close(self) -> None:
        """Commit and close."""
        await self.commit()
        if self.store is not None:
            with suppress(StoreError):
                await self.store.close()

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            LOG.error("%s Watching goes on; nothing is remembered until this is mended.", trouble)
        elif self.trouble and not trouble:
            LOG.info("the store takes what it is given again")
        self.trouble = trouble

    # --- reading ---------------------------------------------------------------------------------------------

    async def recall(self, decider: LiveDecider, ips: Collection[str]) -> None:
        """Give the decider what is remembered of these addresses and not in its hands yet."""
        wanted = [ip for ip in ips if not decider.remembers(ip) and is_address(ip)]
        if self.store is None:
            decider.forgetful = True
            return
        if not wanted:
            return
        try:
            conducts, hellos = await self.store.conducts(wanted), await self.store.hellos(wanted)
        except StoreError as error:
            decider.forgetful = True
            self._say(str(error))
            return
        decider.forgetful = False
        for ip, conduct in conducts.items():
            decider.recall(ip, self._change.conducts.get(ip, conduct))
        for ip, heard in hellos.items():
            decider.hellos.recall(ip, self._change.hellos.get(ip, heard))
        for ip in wanted:
            if ip not in conducts and ip in self._change.conducts:
                decider.recall(ip, self._change.conducts[ip])

    # --- writing ---------------------------------------------------------------------------------------------

    def add_session(
        self, session: Session, ip: str | None, conduct: Conduct | None, heard: HeardHello | None = None
    ) -> None:
        """Keep a session for the store, with what is now remembered of its peer, and with a hello that is news."""
        if len(self._change.sessions) >= MOST_SESSIONS:
            self.lost += 1
            return
        self._change.sessions.append(session)
        if ip is not None and conduct is not None:
            self._change.conducts[ip] = conduct
        if ip is not None and heard is not None:
            self._change.hellos[ip] = heard
        if len(self._change.sessions) >= MANY:
            self._due.set()

    def add_hello(self, ip: str, heard: HeardHello) -> None:
        """Keep what a peer offered in a session that was kept before."""
        self._change.hellos[ip] = heard

    def add_decision(self, decision: Decision) -> None:
        """Keep a decision for the store."""
        if len(self._change.decisions) < MOST_SESSIONS:
            self._change.decisions.append(decision)

    def add_event(self, event: Event) -> None:
        """Keep a step in a waiver's life."""
        self._change.events.append(event)

    def add_waivers(self, standing: tuple[LiveWaiver, ...]) -> None:
        """Keep what stands now."""
        self._change.waivers = standing

    def add_conduct(self, ip: str, conduct: Conduct) -> None:
        """Keep what is remembered of a peer, without a session of it."""
        self._change.conducts[ip] = conduct

    def add_arrival(self, arrival: Arrival) -> None:
        """Keep what Postfix told of a message."""
        if len(self._change.arrivals) < MOST_SESSIONS:
            self._change.arrivals.append(arrival)

    def moved(self) -> None:
        """Some log was read further."""
        self._moved = True

    @property
    def turn(self) -> asyncio.Lock:
        """Held by whoever reads a batch: position and counts belong together."""
        return self._turn

    async def commit(self) -> bool:
        """Store everything that is waiting, in one transaction; False where that is not possible now."""
        async with self._turn:
            return await self._commit()

    async def _commit(self) -> bool:
        if self.store is None:
            return False
        change = self._change
        for source, place in self.places.items():
            position = place() if self._moved else None
            if position is not None:
                change.positions[source] = position
        news = change.sessions or change.decisions or change.events or change.positions or change.conducts
        if not news and not change.arrivals and change.waivers is None:
            return True
        try:
            await self.store.commit(change)
        except StoreError as error:
            self._say(str(error))
            return False
        self._moved = False
        self._say("")
        return True

    async def run(self, before: Callable[[], Awaitable[object]]) -> None:
        """Commit now and then until cancelled; `before` each commit something may be waited for."""
        forgotten = monotonic()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), EVERY)
            self._due.clear()
            if self.store is None and monotonic() >= self._next_open:
                await self.open()
            await before()
            await self.commit()
            if self.store is not None and monotonic() - forgotten > RETENTION:
                forgotten = monotonic()
                await self._forget_old(self.store)

    async def _forget_old(self, store: Store) -> None:
        try:
            gone = await self._forget(store)
        except StoreError as error:
            self._say(str(error))
            return
        if gone:
            LOG.info("%d peers were forgotten: they were not seen for longer than mailtls.toml keeps them", gone)


def place_at(position: str, open_sessions: str | None, at: datetime) -> Position:
    """Say how far a log was read, and what was open there."""
    return Position(position=position, open_sessions=open_sessions, at=at)
