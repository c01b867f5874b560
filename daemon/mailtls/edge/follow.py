"""Following a log file: its lines as they are written, in batches, each with the position to go on from.

    follower = Follower(Path("/var/log/mail.log"), position_of_the_last_time)
    async for batch in follower.batches():
        ...  # store the counts of batch.lines together with batch.position

A position that is stored together with what was made of its batch makes every line count once, whatever dies between.
What happens to the file is the business of `edge/rotatinglog.py`; waiting is inotify's, and a look every second for
what it does not tell. A line is given within about a millisecond of being written.

Nothing that a disk does raises out of `batches()`: `state` tells.

SECURITY: memory is bounded whatever is in the file: a batch holds at most 256 kB, or one line of at most 1 MB.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailtls.core.printable import printable
from mailtls.edge.inotify import Wakeup
from mailtls.edge.rotatinglog import LATE, RotatingLog

LOOK_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines without their ends, in order; none, where only the position or the state is news.

    `position`: opaque JSON text of less than 4 kB: where to go on after these lines. `readable_at`: by the monotonic
    clock, when the bytes became readable. `behind`: bytes that are known to be left; 0: caught up.
    """

    lines: tuple[bytes, ...]
    position: str
    readable_at: float
    behind: int


@dataclass(frozen=True, slots=True)
class FollowState:
    """How it stands with a source: one of the words of `edge/logcondition.py`, and a sentence.

    `loss`: the last time that lines were lost, one sentence; empty: never. `last_read`: when bytes came, in UTC.
    """

    word: str
    sentence: str
    loss: str
    behind: int
    last_read: datetime | None


class Follower:
    """Follows one file. `late`: see `edge/rotatinglog.py`; `look_every`: seconds; `wakeup`: for tests."""

    def __init__(
        self,
        path: Path,
        position: str | None = None,
        *,
        from_start: bool = False,
        late: float = LATE,
        look_every: float = LOOK_EVERY,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        wakeup: Callable[[], Wakeup] = Wakeup,
    ) -> None:
        self.source = f"file:{printable(str(path), 200)}"
        self._log = RotatingLog(path, position, from_start=from_start, clock=clock, wall=wall, late=late)
        self._clock = clock
        self._wall = wall
        self._look_every = look_every
        self._make_wakeup = wakeup
        self._wakeup: Wakeup | None = None
        self._closing = False
        self._behind = 0
        self._last_read: datetime | None = None

    @property
    def state(self) -> FollowState:
        """How it stands now."""
        condition = self._log.condition
        return FollowState(condition.word, condition.sentence, self._log.loss, self._behind, self._last_read)

    async def batches(self) -> AsyncIterator[Batch]:
        """Give the lines as they come, until `close`. To be called once."""
        if self._wakeup is not None or self._closing:
            raise RuntimeError("batches() of a follower can be asked for once: make a new one from the position")
        self._wakeup = wakeup = self._make_wakeup()
        try:
            while not self._closing:
                now = wakeup.take() or self._clock()
                self._log.look()
                read = self._log.read(now)
                if read is not None and (read[0] or self._log.changed):
                    yield self._batch(*read)
                    await asyncio.sleep(0)
                elif read is not None:
                    await asyncio.sleep(0)
                elif self._log.changed:
                    yield self._batch([], now)
                elif not wakeup.watch(self._log.places()):
                    await wakeup.wait(self._look_every)
        finally:
            self._wakeup.close()
            self._log.close()

    async def close(self) -> None:
        """End `batches`."""
        self._closing = True
        if self._wakeup is not None:
            self._wakeup.ring()

    def _batch(self, lines: list[bytes], readable_at: float) -> Batch:
        self._log.changed = False
        self._behind = self._log.unread()
        if lines:
            self._last_read = datetime.fromtimestamp(self._wall(), UTC)
        return Batch(tuple(lines), self._log.position(), readable_at, self._behind)
