"""Following the systemd journal: a `journalctl -o json -f` child, its lines in batches with the cursor to go on from.

The lines are journalctl's JSON as it is; `core/logline.py` takes them apart, messages of arbitrary bytes included
(arrays of numbers, systemd.io/JOURNAL_EXPORT_FORMATS). `--all` makes journalctl print messages above 4 kB.

The child is started at the stored cursor itself, not after it, and that entry is dropped: where the entry is gone
(vacuumed), journalctl begins with the next one that is there, which `--after-cursor` would swallow (systemd 252,
journalctl.c). So a loss is seen, and made no larger. Without a stored position the last entry's cursor is asked for
first: from then on nothing is missed.

A child that ends is started again from the last cursor, after a delay that grows to half a minute.

SECURITY: entries of `SYSLOG_FACILITY=2` can be written by every local user, as can a log file behind /dev/log.
journald's own notice of suppressed messages is believed only with the trusted field `_TRANSPORT=driver`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

from mailtls.core.linecutter import LineCutter
from mailtls.core.logposition import fingerprint
from mailtls.core.printable import printable
from mailtls.edge.follow import Batch, FollowState
from mailtls.edge.journalctl import SUPPRESSED, Following, Journalctl, cursor_of
from mailtls.edge.logcondition import Condition

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 30.0
ALIVE = 1.0  # seconds: a child that lives so long is believed to live

_FOLLOWING = Condition("following", "The journal is followed.")
_NOTICES: tuple[tuple[str, Condition], ...] = (
    # What journalctl writes to standard error (journalctl-util.c, sd-journal.c), and what it means for a mail log.
    (
        "insufficient permissions",
        Condition(
            "denied",
            "The journal may not be read by this user: `usermod -a -G systemd-journal mailtls`, and restart mailtlsd.",
        ),
    ),
    (
        "not seeing messages from other users",
        Condition(
            "denied",
            "Postfix's entries in the journal may not be read by this user:"
            " `usermod -a -G systemd-journal mailtls`, and restart mailtlsd.",
        ),
    ),
    (
        "No journal files were found",
        Condition(
            "waiting",
            "There is no journal on this machine yet: it is followed as soon as systemd-journald writes one. If it"
            " never does, name log files under [log] in mailtls.toml.",
        ),
    ),
)
_BAD_CURSOR = "Failed to seek to cursor"


class JournalFollower:
    """Follows the journal. `matches`, `program`, `options`: see `Journalctl`; `first_delay`: seconds.

    Raises InputError for a match that is none.
    """

    def __init__(
        self,
        matches: Sequence[str] = ("SYSLOG_FACILITY=2",),
        position: str | None = None,
        *,
        from_start: bool = False,
        program: str = "journalctl",
        options: Sequence[str] = (),
        first_delay: float = FIRST_DELAY,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.source = "journal"
        self._journalctl = Journalctl(matches, program, options)
        self._matches = fingerprint(" ".join(matches).encode()).digest
        self._cursor, stored_matches = _read_position(position)
        self._same_matches = stored_matches == self._matches
        self._loss = ""
        self._changed = False
        if position and self._cursor is None:
            self._lose("The stored position in the journal cannot be read: it is followed from its end.")
        if self._cursor is None and from_start:
            self._cursor = ""
        self._expected = ""
        self._first_delay = self._delay = first_delay
        self._clock = clock
        self._wall = wall
        self._condition = Condition("waiting", "The journal was not asked yet.")
        self._behind = 0
        self._last_read: datetime | None = None
        self._closing = False
        self._started = False
        self._resting = False
        self._child: Following | None = None
        self._awake = asyncio.Event()

    @property
    def state(self) -> FollowState:
        """How it stands now."""
        condition = self._condition
        return FollowState(condition.word, condition.sentence, self._loss, self._behind, self._last_read)

    async def batches(self) -> AsyncIterator[Batch]:
        """Give the entries as they come, one JSON object a line, until `close`. To be called once."""
        if self._started:
            raise RuntimeError("batches() of a follower can be asked for once: make a new one from the position")
        self._started = True
        cutter = LineCutter()
        try:
            while not self._closing:
                self._awake.clear()
                if self._child is None and not self._resting:
                    cutter = LineCutter()
                    await self._start()
                block = self._child.read() if self._child is not None else None
                self._hear()
                if block == b"":
                    self._ended()
                lines = self._wanted(cutter.feed(block)) if block else []
                if lines or self._changed:
                    yield self._batch(lines)
                    await asyncio.sleep(0)
                elif not block:
                    await self._wait()
        finally:
            self._end_child()

    async def close(self) -> None:
        """End `batches`, and the child."""
        self._closing = True
        self._awake.set()

    async def _wait(self) -> None:
        """Wait for the child's next words; without a child, for the time to start another, each time longer."""
        longest: float | None
        if self._child is None:
            self._resting = False
            longest = self._delay
            self._delay = min(self._delay * 2, LONGEST_DELAY)
        else:
            self._child.wake_when_readable()
            longest = ALIVE if self._condition.word == "stalled" else None
        try:
            async with asyncio.timeout(longest):
                await self._awake.wait()
        except TimeoutError:
            if self._child is not None:
                self._say(_FOLLOWING)

    # The child

    async def _start(self) -> None:
        """Start journalctl at the cursor, if it can be started; else it is tried again after a rest."""
        self._resting = True
        try:
            if self._cursor is None and not await self._ask_where():
                return
            cursor = self._cursor or ""
            self._child = self._journalctl.follow(cursor, self._awake.set, self._clock)
        except (OSError, subprocess.SubprocessError) as error:
            self._say(self._not_started(error))
            return
        self._expected = cursor
        if self._condition.word == "waiting":
            self._say(_FOLLOWING)

    async def _ask_where(self) -> bool:
        """Find the end of the journal, where it was never read; not where it may not be read: then it seems empty."""
        try:
            cursor, complaints = await asyncio.to_thread(self._journalctl.last_cursor)
        except subprocess.CalledProcessError as error:
            complaints = error.stderr.decode("utf-8", "replace")
            self._say(_notice(complaints) or self._failed(complaints))
            return False
        condition = _notice(complaints)
        if condition is not None:
            self._say(condition)
            if condition.word == "denied":
                return False
        self._cursor = cursor
        self._changed = True
        return True

    def _hear(self) -> None:
        condition = _notice(self._child.complaints()) if self._child is not None else None
        if condition is not None:
            self._say(condition)

    def _ended(self) -> None:
        self._resting = True
        complaints = self._end_child()
        if _BAD_CURSOR in complaints:
            self._cursor = None
            self._lose("journalctl does not accept the stored position in the journal: it is followed from its end.")
        self._say(_notice(complaints) or self._failed(complaints))

    def _end_child(self) -> str:
        child, self._child = self._child, None
        return child.end() if child is not None else ""

    # Lines

    def _batch(self, lines: list[bytes]) -> Batch:
        self._changed = False
        self._behind = self._child.waiting() if self._child is not None else 0
        readable_at = self._child.readable_at if lines and self._child is not None else self._clock()
        position = (
            json.dumps({"v": 1, "cursor": self._cursor, "matches": self._matches}) if self._cursor is not None else ""
        )
        return Batch(tuple(lines), position, readable_at, self._behind)

    def _wanted(self, lines: list[bytes]) -> list[bytes]:
        """Drop the entry that was read before, and journald's own notices; go on to the last cursor."""
        if not lines:
            return lines
        self._last_read = datetime.fromtimestamp(self._wall(), UTC)
        self._say(_FOLLOWING)
        last = next((cursor for line in reversed(lines) if (cursor := cursor_of(line))), None)
        if self._expected:
            lines = self._after_expected(lines)
        if lines:
            self._delay = self._first_delay
        if last is not None and last != self._cursor:
            self._cursor = last
            self._same_matches = self._changed = True
        mark = SUPPRESSED.encode()
        return [line for line in lines if mark not in line or not self._is_notice(line)]

    def _after_expected(self, lines: list[bytes]) -> list[bytes]:
        expected, self._expected = self._expected, ""
        if cursor_of(lines[0]) == expected:
            return lines[1:]
        if not self._same_matches:  # the operator asks for other entries now, and the last one is none of them
            return lines
        self._lose(
            "The journal does not hold the entry any more up to which it was read: it was vacuumed, and what came"
            " before the oldest entry that is left is lost. Raise SystemMaxUse= in journald.conf."
        )
        return lines

    def _is_notice(self, line: bytes) -> bool:
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if entry.get("_TRANSPORT") == "driver" and entry.get("MESSAGE_ID") == SUPPRESSED:
                self._lose(
                    f"journald dropped entries: {printable(str(entry.get('MESSAGE')), 200)}. Their sessions were not"
                    " seen. Set LogRateLimitIntervalSec=0 with `systemctl edit` for that unit, or raise"
                    " RateLimitBurst= in journald.conf."
                )
                return True
        return False

    # What is said

    def _say(self, condition: Condition) -> None:
        if condition != self._condition:
            self._condition = condition
            self._changed = True

    def _lose(self, sentence: str) -> None:
        self._loss = sentence
        self._changed = True

    def _failed(self, complaints: str) -> Condition:
        words = complaints.strip().splitlines()
        said = f", and said: {printable(words[-1], 200)}" if words else ""
        try_it = " ".join(["journalctl -f", *self._journalctl.matches])
        return Condition(
            "stalled", f"journalctl ended{said}. It is started again; if this goes on, try `{try_it}` by hand."
        )

    def _not_started(self, error: OSError | subprocess.SubprocessError) -> Condition:
        if isinstance(error, FileNotFoundError):
            return Condition(
                "stalled",
                f"{self._journalctl.program} is not installed, so the journal cannot be followed: install systemd, or"
                " set `journal = false` and name log files under [log] in mailtls.toml.",
            )
        return Condition("stalled", f"journalctl cannot be run: {printable(str(error), 200)}. It is tried again.")


def _notice(complaints: str) -> Condition | None:
    return next((condition for mark, condition in _NOTICES if mark in complaints), None)


def _read_position(text: str | None) -> tuple[str | None, str]:
    """The cursor of the stored form, None where it is not one of ours; and what stands for the matches of then."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        stored = json.loads(text or "null")
        cursor = stored["cursor"]
        if isinstance(cursor, str) and re.fullmatch(r"[\w;=]{0,500}", cursor, re.ASCII):
            return cursor, str(stored.get("matches"))
    return None, ""
