"""A large plain file on two processes: where its blocks of whole lines are, and a fork for the second half.

The fork does the same work on its half and sends what came of it through a pipe, by marshal, in one piece or several;
if it dies, the caller does that half itself. It hears what the caller tells it through another pipe. Nothing is shared
but the file.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

from mailtls.edge.logstream import BLOCK

SPLIT = 48 << 20  # smaller files are not worth a second process
_LONGEST_LINE = 1 << 20
_USUAL_LINE = 1 << 12

_LENGTH = struct.Struct("=Q")

Place = tuple[int, int]
Work = Callable[[Iterator[bytes], Callable[[], Any]], Iterable[Any]]


def places_of(descriptor: int, size: int) -> list[Place]:
    """Find where to read a file in blocks of whole lines; the rest of a line longer than a megabyte is left out."""
    places: list[Place] = []
    start = 0
    while start < size:
        stop = start + BLOCK
        if stop >= size:
            places.append((start, size))
            break
        end = _last_newline(descriptor, stop - _USUAL_LINE, stop) or _last_newline(descriptor, start, stop)
        if end:
            places.append((start, end))
        else:
            end = _next_newline(descriptor, stop, size)
            places.append((start, min(end, start + _LONGEST_LINE)))
        start = end
    return places


def _last_newline(descriptor: int, start: int, stop: int) -> int:
    """Place behind the last newline between two places; 0 if there is none."""
    at = os.pread(descriptor, stop - start, start).rfind(b"\n")
    return start + at + 1 if at >= 0 else 0


def _next_newline(descriptor: int, start: int, size: int) -> int:
    """Place behind the next newline; the end of the file if there is none."""
    while piece := os.pread(descriptor, BLOCK, start):
        at = piece.find(b"\n")
        if at >= 0:
            return start + at + 1
        start += len(piece)
    return size


def part_of(places: list[Place], share: float) -> tuple[list[Place], list[Place]]:
    """Part the blocks between this process and a second one: all for this one where one process is enough."""
    if not places or places[-1][1] < SPLIT or (os.cpu_count() or 1) < 2:
        return places, []
    middle = int(len(places) * share)
    return places[:middle], places[middle:]


def blocks(descriptor: int, places: Sequence[Place]) -> Iterator[bytes]:
    """Yield the blocks; each ends with a newline. A file that became shorter meanwhile ends where it ends."""
    for start, end in places:
        block = os.pread(descriptor, end - start, start)
        if block:
            yield block if block.endswith(b"\n") else block + b"\n"


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
    """The second process: `work` is given its blocks and a way to hear, and yields what marshal can send."""

    def __init__(self, descriptor: int, places: Sequence[Place], work: Work) -> None:
        read, write = os.pipe()
        heard, told = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(write)
            os.close(heard)
            self._pipe, self._orders = os.fdopen(read, "rb"), os.fdopen(told, "wb")
            return
        status = 1
        try:
            os.close(read)
            os.close(told)
            with os.fdopen(write, "wb") as pipe, os.fdopen(heard, "rb") as orders:
                for found in work(blocks(descriptor, places), lambda: _receive(orders)):
                    _send(pipe, found)
            status = 0
        finally:
            os._exit(status)  # nothing of the parent is cleaned up here

    def receive(self) -> Any:
        """Wait for the next that the second process yields; None if it failed."""
        return _receive(self._pipe)

    def tell(self, value: Any) -> None:
        """Tell the second process something; if it is gone, `receive` will say so."""
        with contextlib.suppress(BrokenPipeError):
            _send(self._orders, value)

    def stop(self) -> None:
        """End the second process, whether it is done or not."""
        self._pipe.close()
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _send(pipe: IO[bytes], value: Any) -> None:
    parcel = marshal.dumps(value)
    pipe.write(_LENGTH.pack(len(parcel)) + parcel)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """What was sent; None at the end, and where it is not whole."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    parcel = pipe.read(length)  # whole: marshal asks a file for every byte by itself
    return marshal.loads(parcel) if len(parcel) == length else None  # noqa: S302  (our own fork wrote it)
