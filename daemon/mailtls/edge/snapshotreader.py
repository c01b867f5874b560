"""The file of verdicts, from the milter's side: read again when mailtlsd has renamed another one over it.

Looked at when somebody asks, at most ten times a second; who asks while another thread reads gets what there was.
What cannot be read, or is not there, leaves the former snapshot in force, an empty one at first: without mailtlsd the
milter goes on as it knew things last, and judges nobody that it never heard of.

DIAGNOSTICS: each file that cannot be used is said once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mailtls.core.snapshotfile import LARGEST, Unreadable, read_snapshot
from mailtls.core.verdict import Snapshot

PAUSE_S = 0.1
"""Between two looks at the file; a look is one stat(2)."""

_Mark = tuple[int, int, int]
_NONE: _Mark = (0, 0, 0)


class SnapshotReader:
    """The snapshot in the file at `path`. `tell` gets a sentence; `clock` gives seconds."""

    def __init__(self, path: Path, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._tell = tell
        self._clock = clock
        self._snapshot = Snapshot()
        self._mark = _NONE
        self._complaint = ""
        self._next = -PAUSE_S
        self._busy = threading.Lock()

    def current(self) -> Snapshot:
        """Give the newest snapshot that could be read."""
        if self._clock() >= self._next and self._busy.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next = self._clock() + PAUSE_S
                self._busy.release()
        return self._snapshot

    def _look(self) -> None:
        try:
            if _mark_of(os.stat(self._path)) != self._mark:  # noqa: PTH116 - once a message: no Path in between
                self._read()
        except FileNotFoundError:
            self._complain("is not there; is mailtlsd running? systemctl status mailtlsd")
        except OSError as error:
            self._complain(f"{(error.strerror or str(error)).lower()}; systemd-tmpfiles --create mailtls.conf")

    def _read(self) -> None:
        with self._path.open("rb") as file:
            mark = _mark_of(os.fstat(file.fileno()))
            found = read_snapshot(file.read(LARGEST + 1))
        self._mark = mark
        if isinstance(found, Unreadable):
            self._complaint = ""
            self._complain(found.clause)
            return
        self._snapshot = found
        if self._complaint:
            self._tell(f"{self._path} is read again.")
            self._complaint = ""

    def _complain(self, clause: str) -> None:
        if clause != self._complaint:
            self._complaint = clause
            self._tell(f"{self._path}: {clause}. What was known before stays in force.")


def _mark_of(found: os.stat_result) -> _Mark:
    return found.st_ino, found.st_mtime_ns, found.st_size
