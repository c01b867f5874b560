"""Large logs through the sieve: on two processes where the file is plain, as a stream where it is compressed.

The second process is a fork that reads the second half and sends what it counted through a pipe; if it dies, its half
is read here. Nothing is shared but the file.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mailtls.core.shape import Shapes, Trouble
from mailtls.core.sieve import Sieve, find_lane
from mailtls.edge.logstream import BLOCK, LogFile

LARGE = 24 << 20
SPLIT = 48 << 20
_ODD_LINES = 100_000  # of the second half, for the assembler
_LONGEST_LINE = 1 << 20

Drain = Callable[[list[bytes]], None]


def sieve(file: LogFile, drain: Drain, tick: Callable[[int], None]) -> Shapes | None:
    """Count a large log; None where it is small or of a form that only the assembler reads.

    `drain` is given the lines for the assembler, in order; `tick` the bytes read so far.
    """
    if file.path == "-" or file.size < LARGE // 8:
        return None
    gc.disable()  # hundreds of thousands of rows and no cycles: the collector would only look at them, again and again
    try:
        return _sieve(file, drain, tick)
    finally:
        gc.freeze()
        gc.enable()


def _sieve(file: LogFile, drain: Drain, tick: Callable[[int], None]) -> Shapes | None:
    with Path(file.path).open("rb", buffering=0) as stream:
        first = stream.read(BLOCK)
        lane = find_lane(first)
        if lane is not None:
            if file.size < LARGE:
                return None
            return _sieve_plain(stream.fileno(), file, lane, drain, tick)
    if first.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")):
        return _sieve_stream(file, drain, tick)
    return None


def _sieve_stream(file: LogFile, drain: Drain, tick: Callable[[int], None]) -> Shapes | None:
    worker = None
    for block in _whole_lines(file.blocks()):
        if worker is None:
            lane = find_lane(block)
            if lane is None:
                file.warnings.clear()
                file.position = 0
                return None
            worker = Sieve(*lane)
        worker.feed(block)
        drain(worker.shapes.odd)
        worker.shapes.odd.clear()
        tick(file.position)
    if worker is None:
        return None
    worker.shapes.close_all()
    return worker.shapes


def _sieve_plain(
    descriptor: int, file: LogFile, lane: tuple[bytes, int], drain: Drain, tick: Callable[[int], None]
) -> Shapes:
    size = file.size
    middle = _line_start(descriptor, size // 2) if size >= SPLIT and (os.cpu_count() or 1) > 1 else size
    other = _Half(descriptor, lane, middle, size) if middle < size else None
    shapes = _count(descriptor, lane, 0, middle, drain, lambda done: tick(done * (2 if other else 1)))
    if other is not None:
        later = other.shapes()
        if later is None:
            later = _count(descriptor, lane, middle, size, drain, lambda done: tick(middle + done))
        else:
            drain(later.odd)
        shapes.join(later)
    shapes.odd.clear()
    shapes.close_all()
    file.position = size
    return shapes


def _count(
    descriptor: int, lane: tuple[bytes, int], start: int, end: int, drain: Drain | None, tick: Callable[[int], None]
) -> Shapes:
    worker = Sieve(*lane)
    for number, block in enumerate(_whole_lines(_pieces(descriptor, start, end))):
        worker.feed(block)
        if drain is not None:
            drain(worker.shapes.odd)
            worker.shapes.odd.clear()
        elif len(worker.shapes.odd) > _ODD_LINES:
            raise OverflowError
        if number % 64 == 0:
            tick(number * BLOCK)
    return worker.shapes


def _pieces(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(descriptor, min(BLOCK, end - start), start)
        if not piece:
            return
        start += len(piece)
        yield piece


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut a stream at line ends; a line longer than a megabyte is left out."""
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


def _line_start(descriptor: int, position: int) -> int:
    """The beginning of the line after this position."""
    while piece := os.pread(descriptor, BLOCK, position):
        end = piece.find(b"\n")
        if end >= 0:
            return position + end + 1
        position += len(piece)
    return position


class _Half:
    """The second process."""

    def __init__(self, descriptor: int, lane: tuple[bytes, int], start: int, end: int) -> None:
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(write)
            return
        status = 1
        try:
            os.close(self._read)
            shapes = _count(descriptor, lane, start, end, None, lambda _: None)
            with os.fdopen(write, "wb") as pipe:
                marshal.dump(_to_plain(shapes), pipe)  # type: ignore[arg-type]
            status = 0
        finally:
            os._exit(status)  # no clean-up of the parent's files, no handlers of the parent

    def shapes(self) -> Shapes | None:
        """Wait for what the second process counted; None if it failed."""
        found = None
        with os.fdopen(self._read, "rb") as pipe, contextlib.suppress(EOFError, ValueError, TypeError):
            found = marshal.load(pipe)  # noqa: S302  (our own fork wrote it)
        _, status = os.waitpid(self._pid, 0)
        return _from_plain(found) if status == 0 and found is not None else None


_PLAIN = (
    "host_and_tag", "established", "ended", "logins", "troubles", "running", "heads", "broken", "odd", "stamps",
    "read", "understood", "left_out",
)  # fmt: skip


def _to_plain(shapes: Shapes) -> tuple[object, ...]:
    trouble = {pid: (pid, session.messages, session.lines, session.stamp) for pid, session in shapes.trouble.items()}
    return (*(getattr(shapes, name) for name in _PLAIN), trouble)


def _from_plain(plain: tuple[object, ...]) -> Shapes:
    shapes = Shapes(b"")
    for name, value in zip(_PLAIN, plain, strict=False):
        setattr(shapes, name, value)
    trouble = plain[-1]
    if isinstance(trouble, dict):
        shapes.trouble = {pid: Trouble(*session) for pid, session in trouble.items()}
    return shapes
