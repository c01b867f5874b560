"""A log file that is being written: opened once, read by whole lines, and watched for being cut under the reader.

Before each read the bytes before it are compared with what was read there: so a file that was truncated and has grown
past the old place again is noticed as well. A file that was renamed or deleted is read on: the descriptor stays.

`RotatedArchive` is its compressed sister: the same questions, a file that does not grow.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from mailtls.core.logposition import SPAN, Place, Track
from mailtls.core.printable import printable
from mailtls.edge.logstream import LogFile
from mailtls.errors import InputError

BLOCK = 1 << 18  # bytes of text that are taken at once, at most; a single line may be longer


class TruncatedError(Exception):
    """The file is shorter than what was read of it, or begins otherwise. The follower's own signal."""


class LogSource(Protocol):
    """What a follower reads from."""

    name: str
    identity: tuple[int, int]
    """Device and inode."""
    track: Track
    ended: bool
    """Whether nothing can come any more."""
    heard: float
    """When bytes came the last time, by the follower's clock."""
    seen: int
    """Bytes that the file was seen to have at `seen_at`."""
    seen_at: float

    def read(self) -> tuple[int, list[bytes]]:
        """Read on: bytes read (0: no more at present) and the lines that they complete."""
        ...

    def is_read(self) -> bool:
        """Tell whether there is nothing left, and the file is still the one that was read."""
        ...

    def unread(self) -> int:
        """Bytes that are left, as far as is known."""
        ...

    def place(self) -> Place:
        """Where to go on."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class GrowingFile:
    """One plain log file, open. `ended` stays False: somebody may write to it as long as it is open."""

    def __init__(self, path: Path | str) -> None:
        """Open it at its beginning. Raises OSError; InputError for what is not a regular file (FIFO, device)."""
        self.name = printable(str(path), 200)
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        status = os.fstat(self.descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self.descriptor)
            raise InputError(f"{self.name} is {kind_of(status.st_mode)}, not a log file.")
        self.identity = (status.st_dev, status.st_ino)
        self.size = status.st_size
        self.track = Track()
        self.ended = False
        self.heard = self.seen_at = 0.0
        self.seen = 0

    def start_at(self, offset: int) -> None:
        """Go on at a place that is known to be the beginning of a line."""
        head = os.pread(self.descriptor, min(SPAN, offset), 0)
        recent = os.pread(self.descriptor, min(SPAN, offset), max(0, offset - SPAN))
        self.track = Track(offset, head, recent)

    def start_at_end(self, size: int | None = None) -> None:
        """Go on behind the last line end of the file, or of its first `size` bytes: a line in the making is new."""
        end = self.look() if size is None else min(size, self.look())
        while end > 0:
            block = os.pread(self.descriptor, min(BLOCK, end), max(0, end - BLOCK))
            found = block.rfind(b"\n")
            if found >= 0 or not block:
                end = max(0, end - BLOCK) + found + 1
                break
            end = max(0, end - BLOCK)
        self.start_at(end)

    def look(self) -> int:
        """Return the present size in bytes."""
        self.size = os.fstat(self.descriptor).st_size
        return self.size

    def read(self) -> tuple[int, list[bytes]]:
        """Read on. Raises TruncatedError, and OSError where the disk fails."""
        block = self._next(max(BLOCK - self.track.cutter.pending, BLOCK // 4))
        if block is None:
            raise TruncatedError
        return (len(block), self.track.feed(block)) if block else (0, [])

    def is_read(self) -> bool:
        """Tell whether there is nothing left, and the file is still the one that was read."""
        return self._next(1) == b""

    def _next(self, most: int) -> bytes | None:
        """The bytes that follow; None: what comes before them is not what was read."""
        track = self.track
        before = len(track.recent)
        block = os.pread(self.descriptor, before + most, track.reached - before)
        if block[:before] != track.recent or os.pread(self.descriptor, len(track.head), 0) != track.head:
            return None
        return block[before:]

    def unread(self) -> int:
        """Bytes that are left."""
        return max(0, self.look() - self.track.reached)

    def place(self) -> Place:
        """Where to go on."""
        return self.track.place(self.identity[1], max(self.size, self.seen, self.track.reached))

    def close(self) -> None:
        """Close it; further calls do nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class RotatedArchive:
    """One compressed log (gzip, bzip2, xz, zstd), read once from an offset in its text; then it has `ended`."""

    def __init__(self, path: Path, start: Place | None = None) -> None:
        """Open it and go to the place. Raises InputError where it cannot be read, OSError where it is gone."""
        self.name = printable(str(path), 200)
        self._file = LogFile(str(path))
        self._size = self._file.size
        self._blocks: Iterator[bytes] = self._file.blocks()
        self._start = start
        self._skip = start.offset if start is not None else 0
        self._ready: list[bytes] = [next(self._blocks, b"")]
        status = path.stat()
        self.identity = (status.st_dev, status.st_ino)
        self.track = Track()
        self.ended = False
        self.heard = self.seen_at = 0.0
        self.seen = 0

    @property
    def warnings(self) -> list[str]:
        """What was wrong with the archive, one sentence each."""
        if self.ended and self.track.reached < self._skip:
            short = f"{self.name} ends before the place where reading stopped: what came after it is lost."
            return [*self._file.warnings, short]
        return self._file.warnings

    def read(self) -> tuple[int, list[bytes]]:
        """Read on, first past what was read already. Raises InputError."""
        block = self._ready.pop() if self._ready else next(self._blocks, b"")
        if not block:
            self.ended = True
            return 0, self.track.finish()
        over = min(self._skip - self.track.reached, len(block))
        if over > 0:
            self.track.skip(block[:over])
            return len(block), self.track.feed(block[over:]) if over < len(block) else []
        return len(block), self.track.feed(block)

    def is_read(self) -> bool:
        """Tell whether it has ended."""
        return self.ended

    def unread(self) -> int:
        """Compressed bytes that are left: less than the text has, but not nothing."""
        return 0 if self.ended else max(1, self._size - self._file.position)

    def place(self) -> Place:
        """Where to go on."""
        if self._start is not None and self.track.reached < self._skip:
            return self._start  # nothing was given yet
        return self.track.place(self.identity[1], self.track.reached)

    def close(self) -> None:
        """End the reading, and a child that decompresses."""
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()


def kind_of(mode: int) -> str:
    """Say what a file that is not regular is."""
    kinds = ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISDIR, "a directory"), (stat.S_ISSOCK, "a socket"))
    return next((kind for is_it, kind in kinds if is_it(mode)), "a device")
