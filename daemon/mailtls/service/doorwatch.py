"""Probes of the doors: each is visited as its peers would visit it, every half minute, and closed while it is dead.

A visit greets, asks for STARTTLS and shakes hands in the lowest version that the door offers. Two that fail in a row
close the door: its peers go to the strict one again, which is no worse for them than having no waiver. A door opens
when a visit succeeds; one that was never seen to work is not opened at all.

A visit has an end in time, so that a door that is stopped (its port still answers) is closed within a minute. It runs
in a thread that nobody waits for when the keeper ends, and never in a round.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from mailtls.core.doorset import DOOR_LEVELS
from mailtls.core.keeperprotocol import DoorState
from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway

LOG = logging.getLogger("mailtls.keeper")
EVERY_S = 30.0
AGAIN_S = 5.0
"""After a first failure; with 8 s for a visit, a door that dies just after one is closed 51 s later."""
FAILURES = 2


@dataclass(slots=True)
class _Seen:
    """What is known of one door. `why_not`: the clause of the last visit that failed, None after a good one."""

    is_open: bool = False
    failures: int = 0
    why_not: str | None = "it was not visited yet"


class DoorWatch:
    """Watches the doors that `doorways` gives. `visit`: gives None or a clause about what is wrong; it may block.

    `changed` is called when a door opens or closes.
    """

    def __init__(
        self, doorways: Callable[[], tuple[Doorway, ...]], visit: Callable[[Doorway], str | None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._doorways = doorways
        self._visit = visit
        self.changed = changed
        self._seen: dict[Doorway, _Seen] = {}
        self._looking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._looked = float("-inf")

    async def run(self) -> None:
        """Visit until cancelled; the first time when somebody else has looked already."""
        while True:
            doubtful = any(seen.failures in range(1, FAILURES) for seen in self._seen.values())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), AGAIN_S if doubtful else EVERY_S)
            self._woken.clear()
            await self.look()

    def wake(self) -> None:
        """Look now: there may be other doors."""
        self._woken.set()

    async def look(self) -> None:
        """Visit every door now; who asks while somebody looks gets what that one finds."""
        asked = monotonic()
        async with self._looking:
            if self._looked > asked:
                return
            doorways = self._served()
            began = monotonic()
            found = await asyncio.gather(*(_apart(self._visit, doorway) for doorway in doorways))
            self._seen = {doorway: self._seen.get(doorway, _Seen()) for doorway in doorways}
            self._looked = began
            changes = [self._judge(doorway, why) for doorway, why in zip(doorways, found, strict=True)]
        if any(changes):
            self.changed()

    async def ready(self, level: Level) -> None:
        """Look once more before a waiver of this level is refused because its door is closed."""
        if level in DOOR_LEVELS and not self.is_open(level):
            await self.look()

    def _judge(self, doorway: Doorway, why: str | None) -> bool:
        """Take in what a visit found; tell whether the door opened or closed."""
        seen = self._seen[doorway]
        was, seen.why_not = seen.is_open, why
        seen.failures = 0 if why is None else seen.failures + 1
        seen.is_open = why is None or (was and seen.failures < FAILURES)
        if seen.is_open and not was:
            LOG.info("door %s at port %s works: its peers are let in", doorway.level, doorway.port)
        return seen.is_open is not was or seen.failures == FAILURES

    # --- what is asked -----------------------------------------------------------------------------------------

    def _served(self) -> tuple[Doorway, ...]:
        return tuple(doorway for doorway in self._doorways() if doorway.level in DOOR_LEVELS)

    def is_open(self, level: Level) -> bool:
        """Tell whether there is such a door, and whether it works at all of its addresses."""
        mine = [self._seen.get(doorway, _Seen()).is_open for doorway in self._served() if doorway.level is level]
        return bool(mine) and all(mine)

    def why_not(self, level: Level) -> str | None:
        """Say in a sentence why a door that is there is closed; None where it is open, or not there."""
        for doorway in self._served():
            seen = self._seen.get(doorway, _Seen())
            if doorway.level is level and not seen.is_open:
                return _closed(doorway, seen)
        return None

    def alarm(self) -> str | None:
        """Say in a sentence which doors are closed for longer than a moment; None: none."""
        known = [(doorway, seen) for doorway in self._served() if (seen := self._seen.get(doorway)) is not None]
        dead = [_closed(doorway, seen) for doorway, seen in known if not seen.is_open and seen.failures >= FAILURES]
        return "; ".join(dead) + "." if dead else None

    def states(self) -> tuple[DoorState, ...]:
        """Say how each door fares."""
        return tuple(
            DoorState(
                level=doorway.level, port=doorway.port, up=(seen := self._seen.get(doorway, _Seen())).is_open,
                why_not=None if seen.is_open else _closed(doorway, seen)[:500],
            )
            for doorway in self._served()
        )  # fmt: skip


def _closed(doorway: Doorway, seen: _Seen) -> str:
    status = "systemctl status mailtls-gateway" if doorway.level is Level.SSLV3 else "postfix status"
    return (
        f"door {doorway.level} at port {doorway.port} is closed: {seen.why_not or 'it worked only just now'}; its "
        f"peers go to the strict door until it works; see the mail log, and: {status}"
    )


async def _apart(visit: Callable[[Doorway], str | None], doorway: Doorway) -> str | None:
    """Visit in a thread that may go on when the program ends: a dead door takes seconds, and stopping must not."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[str | None] = loop.create_future()

    def tell(why: str | None) -> None:
        if not found.done():
            found.set_result(why)

    def work() -> None:
        why: str | None = "the visit failed by a fault of mailtls"
        try:
            why = visit(doorway)
        finally:
            with suppress(RuntimeError):  # the loop is closed: the keeper has ended meanwhile
                loop.call_soon_threadsafe(tell, why)

    threading.Thread(target=work, name="visit", daemon=True).start()
    return await found
