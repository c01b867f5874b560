"""Large logs in blocks: skimmed for a report of the worst peers, through the sieve for a report of all.

What neither can read (small logs, other header forms, Postfix before 3.0) is left to the assembler, line by line.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mailtls.core.crowd import Crowd
from mailtls.core.history import Crowd as HistoryCrowd
from mailtls.core.history import History
from mailtls.core.shape import Shapes
from mailtls.core.sieve import Sieve, find_lane
from mailtls.core.stamp import Calendar
from mailtls.edge.fastsearch import fastest
from mailtls.edge.halves import Half, Place, blocks, part_of, places_of, whole_lines
from mailtls.edge.logstream import BLOCK, LogFile
from mailtls.edge.parcel import pack_shapes, unpack_shapes
from mailtls.edge.skimming import Skimming

LARGE = 24 << 20
_ODD_LINES = 100_000  # of the second half, for the assembler
_SHARE = 0.48  # of the blocks, for this process: it also has to put everything together
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")

Drain = Callable[[list[bytes]], None]
Tick = Callable[[int], None]


@dataclass(slots=True)
class Bulk:
    """Reads one large log into a history. `drain` is given lines for the assembler, `tick` the bytes read so far."""

    file: LogFile
    calendar: Calendar
    history: History
    drain: Drain
    tick: Tick
    read: int = 0
    understood: int = 0
    crowds: list[HistoryCrowd] = field(default_factory=list)

    def run(self, most: int | None) -> bool:
        """Read it; list the `most` peers that fail most often, or all. False: it is for the assembler alone."""
        if self.file.path == "-" or self.file.size < LARGE // 8:
            return False
        gc.disable()  # many rows and no cycles: the collector would only look at them, again and again
        try:
            return self._run(most)
        finally:
            gc.freeze()
            gc.enable()

    def _run(self, most: int | None) -> bool:
        with Path(self.file.path).open("rb", buffering=0) as stream:
            first = stream.read(BLOCK)
            lane = find_lane(first)
            if lane is not None:
                if self.file.size < LARGE:
                    return False
                if most is None or not self._skim(stream.fileno(), lane, most):
                    self._settle(self._sieve(stream.fileno(), lane), most)
                self.file.position = self.file.size
                return True
        shapes = self._sieve_stream() if first.startswith(_COMPRESSED) else None
        if shapes is None:
            return False
        self._settle(shapes, most)
        return True

    def _settle(self, shapes: Shapes, most: int | None) -> None:
        self.read, self.understood = shapes.read, shapes.understood
        self.history.sessions_left_out += shapes.left_out
        crowd = Crowd(shapes, self.calendar)
        if most is not None:
            self.history.failing_unlisted += max(0, len(crowd.failing()) - most)
        crowd.settle(self.history, most)
        self.crowds.append(crowd)

    # --- the sieve -------------------------------------------------------------------------------------------

    def _sieve(self, descriptor: int, lane: tuple[bytes, int]) -> Shapes:
        search = fastest()
        here, there = part_of(places_of(descriptor, self.file.size), _SHARE)
        other = None
        if there:
            other = Half(descriptor, there, lambda found, _: [pack_shapes(_sieved(Sieve(*lane, search), found, None))])
        shapes = _sieved(Sieve(*lane, search), self._ticking(descriptor, here), self.drain)
        if other is not None:
            parcel = other.receive()
            other.stop()
            if parcel is None:
                later = _sieved(Sieve(*lane, search), blocks(descriptor, there), self.drain)
            else:
                later = unpack_shapes(parcel)
                self.drain(later.odd)
            shapes.join(later)
        shapes.odd.clear()
        shapes.close_all()
        return shapes

    def _sieve_stream(self) -> Shapes | None:
        worker = None
        for block in whole_lines(self.file.blocks()):
            if worker is None:
                lane = find_lane(block)
                if lane is None:
                    self.file.warnings.clear()
                    self.file.position = 0
                    return None
                worker = Sieve(*lane, fastest())
            _sieved(worker, iter((block,)), self.drain)
            self.tick(self.file.position)
        if worker is None:
            return None
        worker.shapes.close_all()
        return worker.shapes

    def _skim(self, descriptor: int, lane: tuple[bytes, int], most: int) -> bool:
        skimming = Skimming(
            descriptor, self.file.size, lane, self.calendar, self.history, self.drain,
            lambda done: self.tick(int(self.file.size * done)),
        )  # fmt: skip
        if not skimming.run(most):
            return False
        self.read, self.understood = skimming.read, skimming.understood
        self.crowds += skimming.crowds
        return True

    def _ticking(self, descriptor: int, places: list[Place]) -> Iterator[bytes]:
        """Yield the blocks, and tell the progress now and then."""
        for number, block in enumerate(blocks(descriptor, places)):
            if number % 64 == 0:
                self.tick(self.file.size * number // len(places))
            yield block


def _sieved(worker: Sieve, found: Iterator[bytes], drain: Drain | None) -> Shapes:
    for block in found:
        worker.feed(block)
        if drain is not None:
            drain(worker.shapes.odd)
            worker.shapes.odd.clear()
        elif len(worker.shapes.odd) > _ODD_LINES:
            raise OverflowError
    return worker.shapes
