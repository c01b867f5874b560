"""Large logs in blocks: skimmed for a report of the worst peers, through the sieve for a report of all.

What neither can read (small logs, other header forms, Postfix before 3.0) is left to the assembler, line by line.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailtls.core.assembler import Assembler
from mailtls.core.crowd import Crowd, Successes
from mailtls.core.follower import Follower
from mailtls.core.history import Crowd as HistoryCrowd
from mailtls.core.history import History
from mailtls.core.search import Search
from mailtls.core.shape import Shapes, Trouble
from mailtls.core.sieve import Sieve, find_lane
from mailtls.core.skim import Skim
from mailtls.core.stamp import Calendar
from mailtls.edge.fastsearch import fastest
from mailtls.edge.halves import Half, Place, blocks, middle_of, places_of, whole_lines
from mailtls.edge.logstream import BLOCK, LogFile

LARGE = 24 << 20
_ODD_LINES = 100_000  # of the second half, for the assembler
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
                if most is None or not self._skim(stream.fileno(), lane[1], most):
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
        places = places_of(descriptor, self.file.size)
        middle = middle_of(places)
        search = fastest()
        here, there = places[:middle], places[middle:]
        other = None
        if there:
            other = Half(descriptor, there, lambda found: _to_plain(_sieved(Sieve(*lane, search), found, None)))
        shapes = _sieved(Sieve(*lane, search), self._ticking(blocks(descriptor, here), len(here)), self.drain)
        if other is not None:
            plain = other.result()
            if plain is None:
                later = _sieved(Sieve(*lane, search), blocks(descriptor, there), self.drain)
            else:
                later = _from_plain(plain)
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

    # --- the skim --------------------------------------------------------------------------------------------

    def _skim(self, descriptor: int, width: int, most: int) -> bool:
        places = places_of(descriptor, self.file.size)
        search = fastest()
        skim = self._first_pass(descriptor, places, width, search)
        if not skim.regular:
            return False
        crowds = {name: Crowd(shapes, self.calendar) for name, shapes in skim.lanes.items()}
        logins = Crowd(skim.logins, self.calendar)
        failing: Counter[bytes] = Counter()
        for crowd in (*crowds.values(), logins):
            failing.update(crowd.failing())
        wanted = {ip for ip, _ in failing.most_common(most)} | {ip.encode() for ip in self.history.peers}
        self.history.failing_unlisted += len(failing.keys() - wanted)
        self._second_pass(descriptor, places, skim, Follower(width, frozenset(wanted), search))
        for name, shapes in skim.lanes.items():
            crowds.setdefault(name, Crowd(shapes, self.calendar))
        self._take(skim, [*crowds.values(), logins], wanted)
        return True

    def _first_pass(self, descriptor: int, places: list[Place], width: int, search: Search) -> Skim:
        middle = middle_of(places)
        here, there = places[:middle], places[middle:]
        other = None
        if there:
            other = Half(descriptor, there, lambda found: _skimmed_plain(_skimmed(Skim(width, search), found)))
        skim = _skimmed(Skim(width, search), self._ticking(blocks(descriptor, here), len(here) * 2))
        later = None
        if other is not None:
            plain = other.result()
            later = Skim(width, search)
            if plain is None:
                _skimmed(later, blocks(descriptor, there))
            else:
                _skimmed_from_plain(later, plain)
        skim.end(later)
        return skim

    def _second_pass(self, descriptor: int, places: list[Place], skim: Skim, follower: Follower) -> None:
        middle = middle_of(places)
        here, there = places[:middle], places[middle:]
        other = None
        if there:
            other = Half(descriptor, there, lambda found: _followed_plain(_followed(follower, found, middle)))
        _followed(follower, self._ticking(blocks(descriptor, here), len(here) * 2, len(here)), 0)
        plain = other.result() if other is not None else None
        if plain is not None:
            follower.join(*plain)
        elif there:
            _followed(follower, blocks(descriptor, there), middle)
        skim.take(follower)

    def _take(self, skim: Skim, crowds: list[Crowd], wanted: set[bytes]) -> None:
        self.drain(skim.odd)
        for lines in skim.alerts:
            assembler = Assembler(self.calendar)
            for session in [session for line in lines for session in assembler.feed(line)] + assembler.finish():
                self.history.record(session)
        for crowd in crowds:
            crowd.settle_these(self.history, wanted)
        self.history.sessions_left_out += sum(shapes.left_out for shapes in (*skim.lanes.values(), skim.logins))
        self.crowds += [*crowds, Successes(skim)]
        self.read = skim.logins.read
        self.understood = skim.understood()

    def _ticking(self, found: Iterator[bytes], whole: int, done: int = 0) -> Iterator[bytes]:
        """Tell the progress now and then; `whole` blocks are 100%, of which `done` are done."""
        for number, block in enumerate(found, done):
            if number % 64 == 0:
                self.tick(min(self.file.size, self.file.size * number // max(whole, 1)))
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


def _skimmed(skim: Skim, found: Iterator[bytes]) -> Skim:
    for block in found:
        skim.read(block)
    return skim


def _followed(follower: Follower, found: Iterator[bytes], first: int) -> Follower:
    for number, block in enumerate(found, first):
        follower.follow(block, number)
    return follower


# What goes through the pipe: values that marshal knows.

_SHAPES = (
    "host_and_tag", "established", "ended", "logins", "troubles", "running", "heads", "broken", "odd", "stamps",
    "read", "understood", "left_out",
)  # fmt: skip
_SKIMMED = ("odd", "alerts", "orphans", "failures", "plain", "established", "ended_tls", "ended_refused")


def _to_plain(shapes: Shapes) -> tuple[Any, ...]:
    trouble = [(pid, s.messages, s.lines, s.stamp) for pid, s in shapes.trouble.items()]
    return (*(getattr(shapes, name) for name in _SHAPES), trouble)


def _from_plain(plain: tuple[Any, ...]) -> Shapes:
    shapes = Shapes(b"")
    for name, value in zip(_SHAPES, plain, strict=False):
        setattr(shapes, name, value)
    shapes.trouble = {pid: Trouble(pid, *rest) for pid, *rest in plain[-1]}
    return shapes


def _skimmed_plain(skim: Skim) -> tuple[Any, ...]:
    pending = [(source, s.pid, s.messages, s.lines, s.stamp) for source, s in skim.pending.items()]
    lanes = {name: _to_plain(shapes) for name, shapes in skim.lanes.items()}
    return (*(getattr(skim, name) for name in _SKIMMED), dict(skim.suites), pending, lanes, _to_plain(skim.logins))


def _skimmed_from_plain(skim: Skim, plain: tuple[Any, ...]) -> None:
    for name, value in zip(_SKIMMED, plain, strict=False):
        setattr(skim, name, value)
    suites, pending, lanes, logins = plain[-4:]
    skim.suites = Counter(suites)
    skim.pending = {source: Trouble(*rest) for source, *rest in pending}
    skim.lanes = {name: _from_plain(shapes) for name, shapes in lanes.items()}
    skim.logins = _from_plain(logins)
    skim.stamps = skim.logins.stamps


def _followed_plain(follower: Follower) -> tuple[Any, ...]:
    return follower.rows, follower.left_out
