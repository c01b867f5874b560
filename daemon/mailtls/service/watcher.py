"""The watcher of one log: lines in, finished sessions to the desk.

Position, open sessions and counts belong together: they change only while this holds the memory's turn, so that no
commit comes between the lines of one batch and what came of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mailtls.core.assembler import Assembler
from mailtls.core.controlprotocol import SourceStatus
from mailtls.core.duration import say_duration
from mailtls.core.lossnotice import loss_told
from mailtls.core.openstate import freeze, thaw
from mailtls.core.session import Session
from mailtls.core.stamp import Calendar
from mailtls.edge.follow import Batch, FollowState
from mailtls.edge.store import Position
from mailtls.service.desk import Desk
from mailtls.service.memory import Memory, place_at
from mailtls.service.metrics import Metrics

LOG = logging.getLogger("mailtls.watcher")
ILL = frozenset({"denied", "vanished", "stalled"})
FOLLOWING = "following"
LOSS_TOLD = timedelta(minutes=10)
"""So long after its last notice a source is called rate-limited."""
SLICE = 500  # lines understood before others get their turn on the loop


class Log(Protocol):
    """A log that is followed: a file, or the journal."""

    @property
    def state(self) -> FollowState:
        """How it stands."""

    def batches(self) -> AsyncIterator[Batch]:
        """Yield what is written to it, as it is written."""

    async def close(self) -> None:
        """Stop following."""


class Watcher:
    """Understands the log `name`, which `follow` opens at a position.

    `clock`: aware, in the machine's zone, which is that of stamps without one. `silent_after`: a log that says nothing
    for so long is told as silent.
    """

    def __init__(
        self,
        name: str,
        follow: Callable[[str | None], Log],
        remembered: Position | None,
        desk: Desk,
        memory: Memory,
        metrics: Metrics,
        clock: Callable[[], datetime],
        silent_after: timedelta = timedelta(hours=1),
    ) -> None:
        self.name = name
        self._follow = follow
        self._desk = desk
        self._memory = memory
        self._metrics = metrics
        self._clock = clock
        self._silent_after = silent_after
        now = clock()
        text = remembered.open_sessions if remembered is not None else None
        calendar = Calendar(now, now.tzinfo or UTC)
        assembler = thaw(text, calendar) if text is not None else None
        self._assembler = assembler or Assembler(calendar, mid_log=True)
        self._position = remembered.position if remembered is not None else None
        self._log: Log | None = None
        self._caught_up = self._began = now
        self.lines = 0
        self.last_line: datetime | None = None
        self._loss: tuple[datetime, str] | None = None

    # --- how it stands ---------------------------------------------------------------------------------------

    @property
    def ill(self) -> str | None:
        """Say what keeps the log from being read; None where nothing does."""
        state = self._log.state if self._log is not None else None
        return state.sentence if state is not None and state.word in ILL else None

    def status(self) -> SourceStatus:
        """How the log is followed, for people."""
        now = self._clock()
        state = self._log.state if self._log is not None else None
        word, said = ("starting", "") if state is None else (state.word, state.sentence)
        quiet = now - (self.last_line or self._began)
        if word == FOLLOWING and quiet >= self._silent_after:
            word = "silent"
            said = f"It has said nothing for {say_duration(quiet)}: does Postfix still log to it?"
        if self._loss is not None and now - self._loss[0] <= LOSS_TOLD:
            word = "rate-limited"
            said = f"The syslog daemon leaves lines out, so that sessions are missing: {self._loss[1]}"
        if state is not None and state.loss:
            said = f"{said} {state.loss}".strip()
        return SourceStatus(
            source=self.name,
            state=word,
            lag_seconds=self.lag(),
            lines=self.lines,
            last_line=self.last_line,
            said=said[:500],
        )

    def lag(self) -> float:
        """Seconds since everything that was written had been read; 0 where it is so now."""
        behind = self._log is not None and self._log.state.behind > 0
        return (self._clock() - self._caught_up).total_seconds() if behind else 0.0

    def place(self) -> Position | None:
        """How far the log was read, and what is open there."""
        if self._position is None:
            return None
        return place_at(self._position, freeze(self._assembler), self._clock())

    # --- reading ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the log until cancelled."""
        self._memory.places[self.name] = self.place
        self._log = self._follow(self._position)
        try:
            async for batch in self._log.batches():
                new = self._position is None
                async with self._memory.turn:
                    await self._take(batch)
                if new:  # where a log is begun is kept at once: killed before, the next one would begin later
                    await self._memory.commit()
                if batch.behind == 0:
                    self._caught_up = self._clock()
        finally:
            await self._log.close()

    async def _take(self, batch: Batch) -> None:
        self._wind_calendar()
        sessions = await self._understand(batch)
        self._position = batch.position
        self._memory.moved()
        if batch.lines:
            self.lines += len(batch.lines)
            self.last_line = self._clock()
        await self._desk.take(sessions, self._assembler.take_statements(), batch.readable_at)

    async def _understand(self, batch: Batch) -> list[Session]:
        sessions: list[Session] = []
        feed, counts = self._assembler.feed, self._assembler.lines
        before = (counts.understood, counts.ignored, counts.unknown)
        for number, line in enumerate(batch.lines):
            sessions += feed(line)
            if (loss := loss_told(line)) is not None:
                self._lines_are_missing(loss)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        after = (counts.understood, counts.ignored, counts.unknown)
        for kind, old, new in zip(("understood", "ignored", "unknown"), before, after, strict=True):
            if new > old:
                self._metrics.lines(self.name, kind, new - old)
        return sessions

    def _lines_are_missing(self, told: str) -> None:
        if self._loss is None or self._clock() - self._loss[0] > LOSS_TOLD:
            LOG.warning("%s: the syslog daemon leaves lines out, so that sessions are missing: %s", self.name, told)
        self._loss = (self._clock(), told)

    def _wind_calendar(self) -> None:
        """Stamps without a year are of the year that makes them not later than tomorrow."""
        calendar, now = self._assembler.calendar, self._clock()
        if now - calendar.reference > timedelta(hours=1):
            self._assembler.calendar = Calendar(now, calendar.zone)
