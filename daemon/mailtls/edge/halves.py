"""A large plain file on two processes: blocks of whole lines, and a fork for the second half.

The fork does the same work on its half and sends what came of it through a pipe, by marshal; if it dies, the caller
does that half itself. Nothing is shared but the file.
"""

from __future__ import annotations

import contextlib
import marshal
import os
from collections.abc import Callable, Iterator
from typing import Any

from mailtls.edge.logstream import BLOCK

SPLIT = 48 << 20  # smaller files are not worth a second process
_LONGEST_LINE = 1 << 20


def middle_of(descriptor: int, size: int) -> int:
    """Where the second half begins, at the start of a line; `size` where one process is enough."""
    if size < SPLIT or (os.cpu_count() or 1) < 2:
        return size
    position = size // 2
    while piece := os.pread(descriptor, BLOCK, position):
        end = piece.find(b"\n")
        if end >= 0:
            return position + end + 1
        position += len(piece)
    return size


def blocks(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the lines between two places of a file in blocks of whole lines."""
    return whole_lines(_pieces(descriptor, start, end))


def _pieces(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(descriptor, min(BLOCK, end - start), start)
        if not piece:
            return
        start += len(piece)
        yield piece


def whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut a stream at line ends; the rest of a line longer than a megabyte is left out."""
    carry = b""
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut == 0:
            carry = carry + piece if len(carry) < _LONGEST_LINE else carry
            continue
        yield carry + piece[:cut]
        carry = piece[cut:]
    if carry:
        yield carry + b"\n"


class Half:
    """The second process: `work` is given its blocks and returns what marshal can send."""

    def __init__(self, descriptor: int, start: int, end: int, work: Callable[[Iterator[bytes]], object]) -> None:
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(write)
            return
        status = 1
        try:
            os.close(self._read)
            found: Any = work(blocks(descriptor, start, end))
            with os.fdopen(write, "wb") as pipe:
                marshal.dump(found, pipe)
            status = 0
        finally:
            os._exit(status)  # nothing of the parent is cleaned up here

    def result(self) -> Any:
        """Wait for what the second process found; None if it failed."""
        found = None
        with os.fdopen(self._read, "rb") as pipe, contextlib.suppress(EOFError, ValueError, TypeError):
            found = marshal.load(pipe)  # noqa: S302  (our own fork wrote it)
        _, status = os.waitpid(self._pid, 0)
        return found if status == 0 else None
