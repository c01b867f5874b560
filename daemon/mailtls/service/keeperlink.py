"""The link to the keeper: mailtlsd adopts its list, hears what happens to it, and asks for what was decided.

The keeper's list is the authority. At every connection the whole list is adopted, and then each event as it happens;
events of the time when mailtlsd was not there are only remembered. Requests wait in a queue and are asked one after
the other over a second connection, so that a slow keeper never holds up the reading of the log. A request that finds
no keeper is asked again when it is back, as long as it is `FRESH`; its id makes that safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic

from mailtls.core.decision import Decision
from mailtls.core.keeperprotocol import Event, Grant, Health, KeeperStatus, ListWaivers, Renew, Reply, Step, Withdraw
from mailtls.core.livedecider import LiveDecider
from mailtls.core.printable import printable
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.errors import MailtlsError, UnreachableError

LOG = logging.getLogger("mailtls.keeperlink")
FRESH = 600.0  # seconds for which a request waits for a keeper that is not there
QUEUE = 1000  # requests that wait
RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts to connect
LOOK = 5.0  # seconds between looks at how the keeper fares
BETWEEN_LISTS = 0.1  # seconds, at least, between two words about the list


@dataclass(frozen=True, slots=True)
class Wish:
    """What a decision asks of the keeper. `readable_at`: monotonic time at which its last line could be read."""

    decision: Decision
    request: Grant | Renew | Withdraw
    readable_at: float
    born: float


class KeeperLink:
    """Keeps `decider` equal to the keeper's list.

    `on_event` is told every event, with True where it is new to the list, before the list changes; `on_list` when the
    whole list was adopted; `on_answer` every reply to a wish, None where the keeper was not there in time; `on_health`
    how the keeper fares, None while it does not answer.
    """

    def __init__(
        self,
        keeper: Callable[[], KeeperSocket],
        decider: LiveDecider,
        on_event: Callable[[Event, bool], Awaitable[None]],
        on_answer: Callable[[Wish, Reply | None], None],
        on_list: Callable[[], None] = lambda: None,
        on_health: Callable[[Health | None], None] = lambda _: None,
    ) -> None:
        self._keeper = keeper
        self._decider = decider
        self._on_event = on_event
        self._on_answer = on_answer
        self._on_list = on_list
        self._on_health = on_health
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue(QUEUE)
        self._idle = asyncio.Event()
        self._idle.set()
        self._here = asyncio.Event()
        self._list_is_other = asyncio.Event()
        self.trouble = "mailtls-keeper was not reached yet"
        self.health: Health | None = None
        self.last_event = 0
        """Number of the last event that was heard; set before `run` to what the store remembers."""

    @property
    def reachable(self) -> bool:
        """Tell whether the keeper answers."""
        return self._here.is_set()

    def ask_for(self, decision: Decision, request: Grant | Renew | Withdraw, readable_at: float) -> None:
        """Ask the keeper for what was decided, when it is its turn."""
        wish = Wish(decision, request, readable_at, monotonic())
        if self._wishes.full():
            self._give_up(wish, None)
            return
        self._idle.clear()
        self._wishes.put_nowait(wish)

    async def settled(self, within: float) -> bool:
        """Wait until nothing is being asked, at most so many seconds; False where something still is."""
        try:
            await asyncio.wait_for(self._idle.wait(), within)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._ask())
            group.create_task(self._look())
            group.create_task(self._tell_of_the_list())

    # --- hearing ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        attempt = 0
        while True:
            try:
                await self._adopt()
                attempt = 0
                await self._hear()
            except MailtlsError as error:
                if self.reachable or str(error) != self.trouble:
                    LOG.warning("%s", error)
                self._here.clear()
                self.trouble = str(error)
                self._fares(None)
            await asyncio.sleep(RETRY[min(attempt, len(RETRY) - 1)])
            attempt += 1

    async def _adopt(self) -> None:
        """Take the keeper's whole list; what happened up to then changes the list no more."""
        keeper = self._keeper()
        try:
            health = (await keeper.ask(KeeperStatus())).health
            reply = await keeper.ask(ListWaivers())
        finally:
            await keeper.close()
        self._fares(health)
        self._adopted = health.last_event if health is not None else 0
        self._decider.adopt(reply.waivers)
        self._on_list()
        if self.last_event > self._adopted:
            LOG.warning(
                "the keeper's events begin anew (its last is %d, %d was heard): its ledger was replaced",
                self._adopted,
                self.last_event,
            )
            self.last_event = 0
        self.trouble = ""
        if not self._here.is_set():
            LOG.info("the keeper is reached: %d waivers stand", len(reply.waivers))
        self._here.set()

    async def _look(self) -> None:
        """Ask now and then how the keeper fares: a door that goes down is no event of any waiver."""
        keeper = self._keeper()
        try:
            while True:
                await asyncio.sleep(LOOK)
                try:
                    health = (await keeper.ask(KeeperStatus())).health if self.reachable else None
                except MailtlsError:
                    health = None  # whoever listens finds out why
                self._fares(health)
        finally:
            await keeper.close()

    def _fares(self, health: Health | None) -> None:
        self.health = health
        self._on_health(health)

    async def _hear(self) -> None:
        async with aclosing(self._keeper().follow(self.last_event)) as events:
            async for event in events:
                self.last_event = event.number
                news = event.number > self._adopted
                await self._on_event(event, news)
                if news:
                    self._change(event)
                    self._list_is_other.set()

    async def _tell_of_the_list(self) -> None:
        """Tell that the list is another: at once, but once for many events; whoever hears it goes through all of it."""
        while True:
            await self._list_is_other.wait()
            self._list_is_other.clear()
            self._on_list()
            await asyncio.sleep(BETWEEN_LISTS)

    def _change(self, event: Event) -> None:
        if event.step in (Step.GRANTED, Step.RENEWED):
            self._decider.granted(event.waiver)
        else:
            self._decider.ended(event.waiver)

    # --- asking ----------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        keeper = self._keeper()
        try:
            while True:
                wish = await self._wishes.get()
                await self._fulfil(keeper, wish)
                if self._wishes.empty():
                    self._idle.set()
        finally:
            await keeper.close()

    async def _fulfil(self, keeper: KeeperSocket, wish: Wish) -> None:
        while True:
            try:
                reply = await keeper.ask(wish.request)
            except UnreachableError as error:
                self._idle.set()  # nobody waits for a keeper that is not there
                if monotonic() - wish.born > FRESH:
                    self._give_up(wish, error)
                    return
                await asyncio.sleep(RETRY[2])
                continue
            except MailtlsError as error:
                self._give_up(wish, error)
                return
            self._answered(wish, reply)
            return

    def _answered(self, wish: Wish, reply: Reply) -> None:
        if not reply.ok:
            LOG.warning("%s: the keeper refuses: %s", wish.decision.peer, printable(reply.refused or "", 500))
            self._decider.refused(wish.decision)
        elif reply.waiver is not None:
            if isinstance(wish.request, Withdraw):
                self._decider.ended(reply.waiver)
            else:
                self._decider.granted(reply.waiver)
        self._on_answer(wish, reply)

    def _give_up(self, wish: Wish, error: Exception | None) -> None:
        LOG.warning("%s: could not ask the keeper: %s", wish.decision.peer, error or "too many requests wait")
        self._decider.refused(wish.decision)
        self._on_answer(wish, None)
