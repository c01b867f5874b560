"""Where a reader is in a log that rotates: enough to go on after a restart, whatever happened to the files meanwhile.

A file is known again by its inode and by two fingerprints: of its first bytes, and of those just before the offset.
Inode numbers are used again by file systems, and truncating keeps them: the fingerprints decide where there are any. A
device number is not kept; it may change with each boot.

The text form is JSON of less than 4 kB, opaque to whoever stores it. One that cannot be read is no position.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from mailtls.core.linecutter import LineCutter

SPAN = 256  # bytes of a fingerprint, at most
MOST_FILES = 8
MOST_DONE = 8
_FORM = 1


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of `length` bytes; of none: it fits everything, and proves nothing."""

    length: int
    digest: str

    def fits(self, content: bytes) -> bool:
        """Tell whether the content begins with the bytes that this was taken of."""
        return len(content) >= self.length and fingerprint(content[: self.length]) == self


def fingerprint(content: bytes) -> Fingerprint:
    """Take the fingerprint of at most `SPAN` bytes."""
    return Fingerprint(len(content), blake2b(content, digest_size=12).hexdigest() if content else "")


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of which everything was read: its inode, and its beginning."""

    inode: int
    head: Fingerprint


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file. `offset`: where the next line begins; `size`: bytes that the file was seen to have."""

    inode: int
    offset: int
    size: int
    head: Fingerprint
    tail: Fingerprint

    @property
    def file(self) -> KnownFile:
        """The file, whatever was read of it."""
        return KnownFile(self.inode, self.head)


@dataclass(frozen=True, slots=True)
class LogPosition:
    """`files`: what is being read, the newest last; `done`: what is not to be read again.

    `looked`: seconds since 1970; what was written earlier than this into other files is known, or was never asked for.
    """

    files: tuple[Place, ...]
    done: tuple[KnownFile, ...]
    looked: float

    def text(self) -> str:
        """Return the form that is stored."""
        files = [
            [at.inode, at.offset, at.size, at.head.length, at.head.digest, at.tail.length, at.tail.digest]
            for at in self.files[-MOST_FILES:]
        ]
        done = [[file.inode, file.head.length, file.head.digest] for file in self.done[-MOST_DONE:]]
        whole = {"v": _FORM, "looked": round(self.looked, 3), "files": files, "done": done}
        return json.dumps(whole, separators=(",", ":"))


def read_position(text: str | None) -> LogPosition | None:
    """Read the stored form; None where there is none, or where it is not one of ours."""
    try:
        whole: dict[str, Any] = json.loads(text or "null")
        if whole["v"] != _FORM:
            return None
        files = tuple(
            Place(int(inode), int(offset), int(size), Fingerprint(int(h), str(hd)), Fingerprint(int(t), str(td)))
            for inode, offset, size, h, hd, t, td in whole["files"]
        )
        done = tuple(KnownFile(int(inode), Fingerprint(int(h), str(hd))) for inode, h, hd in whole["done"])
        return LogPosition(files, done, float(whole["looked"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


class Track:
    """Goes through one file's bytes: cuts lines, and knows at any time the place to go on from.

    `reached`: bytes read; `recent`: the last of them, at most `SPAN`.
    """

    __slots__ = ("_tail", "cutter", "head", "reached", "recent")

    def __init__(self, reached: int = 0, head: bytes = b"", recent: bytes = b"") -> None:
        self.cutter = LineCutter()
        self.reached = reached
        self.head = head
        self.recent = recent
        self._tail = recent

    @property
    def offset(self) -> int:
        """Where the next line begins."""
        return self.reached - self.cutter.pending

    def feed(self, block: bytes) -> list[bytes]:
        """Take the next bytes of the file; return the lines that they complete."""
        if len(self.head) < SPAN and len(self.head) == self.reached:
            self.head += block[: SPAN - len(self.head)]
        end = block.rfind(b"\n") + 1
        if end:
            self._tail = (self.recent + block[max(0, end - SPAN) : end])[-SPAN:]
        self.recent = (self.recent + block[-SPAN:])[-SPAN:]
        self.reached += len(block)
        return self.cutter.feed(block)

    def skip(self, block: bytes) -> None:
        """Take bytes whose lines were given long ago."""
        if len(self.head) < SPAN and len(self.head) == self.reached:
            self.head += block[: SPAN - len(self.head)]
        self._tail = self.recent = (self.recent + block[-SPAN:])[-SPAN:]
        self.reached += len(block)

    def finish(self) -> list[bytes]:
        """Return the last line, if the file ends without a line end."""
        self._tail = self.recent
        return self.cutter.finish()

    def place(self, inode: int, size: int) -> Place:
        """Return the place to go on from. Its fingerprints are of whole lines: the first word of a line is no mark."""
        return Place(inode, self.offset, size, fingerprint(self.head[: self.offset]), fingerprint(self._tail))
