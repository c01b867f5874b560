"""The skim of one large file: two passes, each on two processes, for a report of the peers that fail most.

The second process of the first pass says first who failed, hears who is to be listed, and sends the rest. In the second
pass it does not matter who reads what: each process takes the next piece of the file (`tickets`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Any

from mailtls.core.assembler import Assembler
from mailtls.core.crowd import Crowd, Successes
from mailtls.core.follower import Follower
from mailtls.core.history import Crowd as HistoryCrowd
from mailtls.core.history import History
from mailtls.core.search import PLAIN, Search
from mailtls.core.skim import Skim
from mailtls.core.stamp import Calendar
from mailtls.edge.fastsearch import counts_lines_quickly, fastest
from mailtls.edge.halves import Half, Place, blocks, part_of, places_of
from mailtls.edge.linecount import LineCount
from mailtls.edge.parcel import pack_skim, unpack_skim
from mailtls.edge.tickets import Tickets

_FIRST_SHARE = 0.47  # of the blocks, what this process reads in the first pass: it also has to start

Drain = Callable[[list[bytes]], None]
Tick = Callable[[float], None]


@dataclass(slots=True)
class Skimming:
    """Skims one file into a history. `lane`: the `host tag` that has most lines, and the width of its stamp.

    `drain` is given lines for the assembler, `tick` the part that is done (0 to 1). `run` tells whether the log is a
    regular one; if not, nothing was recorded.
    """

    descriptor: int
    size: int
    lane: tuple[bytes, int]
    calendar: Calendar
    history: History
    drain: Drain
    tick: Tick
    read: int = 0
    understood: int = 0
    crowds: list[HistoryCrowd] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)
    _search: Search = PLAIN

    def run(self, most: int) -> bool:
        """Skim the file; list the `most` peers that fail most often."""
        self._places = places_of(self.descriptor, self.size)
        self._search = fastest()
        lines = None
        if not counts_lines_quickly():
            lines = LineCount(self.descriptor, self.size)
            self._search = replace(self._search, lines=_not_now)
        here, there = part_of(self._places, _FIRST_SHARE)
        tickets = Tickets(len(self._places))
        other = Half(self.descriptor, there, lambda found, hear: self._beside(found, hear, tickets)) if there else None
        try:
            skim = self._skimmed(self._ticking(here))
            regular = self._skim(skim, there, other, tickets, most)
            if regular and lines is not None:
                self.read = self._counted(lines)
            return regular
        finally:
            tickets.close()
            if other is not None:
                other.stop()
            if lines is not None:
                lines.close()

    def _skim(self, skim: Skim, there: list[Place], other: Half | None, tickets: Tickets, most: int) -> bool:
        failing = skim.failing()
        theirs = other.receive() if other is not None else None
        later = None
        if theirs is None and there:
            later, other = self._skimmed(blocks(self.descriptor, there)), None
            theirs = later.failing()
        failing.update(theirs or {})
        wanted = {ip for _, ip in nsmallest(most, [(-count, ip) for ip, count in failing.items()])}
        wanted |= {ip.encode() for ip in self.history.peers}
        if other is not None:
            other.tell(frozenset(wanted))
            parcel = other.receive()
            if parcel is not None:
                later = unpack_skim(Skim(self.lane[1]), parcel)
            else:
                later, other = self._skimmed(blocks(self.descriptor, there)), None
        skim.end(later)
        crowds = self._understand(skim, frozenset(wanted))
        skim.take(self._followed(frozenset(wanted), other, tickets))
        if not skim.regular:
            return False
        self.history.failing_unlisted += len(failing.keys() - wanted)
        self._settle(skim, crowds, frozenset(wanted))
        return True

    def _understand(self, skim: Skim, wanted: frozenset[bytes]) -> dict[bytes, Crowd]:
        """Work out what failed, while the other process is in the second pass already; nothing is recorded yet."""
        crowds = {shapes.host_and_tag: Crowd(shapes, self.calendar) for shapes in (*skim.lanes.values(), skim.logins)}
        for crowd in crowds.values():
            crowd.understand(wanted)
        return crowds

    def _followed(self, wanted: frozenset[bytes], other: Half | None, tickets: Tickets) -> Follower:
        """The second pass; if the other process dies in it, this one does it again."""
        follower = self._follow(wanted, tickets, self.tick)
        if other is not None:
            parcel = other.receive()
            if parcel is None:
                again = Tickets(len(self._places))
                follower = self._follow(wanted, again, self.tick)
                again.close()
            else:
                follower.join(*parcel)
        return follower

    def _follow(self, wanted: frozenset[bytes], tickets: Tickets, tick: Tick | None = None) -> Follower:
        """Follow these peers in those pieces of the file that nobody else takes."""
        follower = Follower(self.lane[1], wanted, self._search, self.lane[0])
        for ticket in tickets:
            if tick is not None:
                tick(0.5 + ticket / tickets.many / 2)
            numbers = tickets.share(ticket, len(self._places))
            found = blocks(self.descriptor, self._places[numbers.start : numbers.stop])
            for number, block in zip(numbers, found, strict=False):  # a file may have become shorter
                follower.follow(block, number)
        return follower

    def _beside(self, found: Iterator[bytes], hear: Callable[[], Any], tickets: Tickets) -> Iterator[Any]:
        """What the second process does: who failed first, all else while this process works with that."""
        skim = self._skimmed(found)
        yield dict(skim.failing())
        wanted = hear()
        if wanted is not None:
            yield pack_skim(skim)
            yield self._follow(wanted, tickets).parcel()

    def _settle(self, skim: Skim, crowds: dict[bytes, Crowd], wanted: frozenset[bytes]) -> None:
        """Record what was found of the listed peers; all others stay in the crowds."""
        self.drain(skim.odd)
        for lines in skim.alerts:
            assembler = Assembler(self.calendar)
            for session in [session for line in lines for session in assembler.feed(line)] + assembler.finish():
                self.history.record(session)
        for name, shapes in skim.lanes.items():
            crowds.setdefault(name, Crowd(shapes, self.calendar))
        for crowd in crowds.values():
            crowd.settle_these(self.history, wanted)
        self.history.sessions_left_out += sum(shapes.left_out for shapes in (*skim.lanes.values(), skim.logins))
        self.crowds += [*crowds.values(), Successes(skim)]
        self.read = skim.logins.read
        self.understood = skim.understood()

    def _skimmed(self, found: Iterator[bytes]) -> Skim:
        skim = Skim(self.lane[1], self._search)
        for block in found:
            skim.read(block)
        return skim

    def _counted(self, lines: LineCount) -> int:
        """How many lines there are; the last may lack its end."""
        newlines = lines.result()
        if newlines is None:
            return sum(map(fastest().lines, blocks(self.descriptor, self._places)))  # each line ended by `blocks`
        return newlines + (os.pread(self.descriptor, 1, self.size - 1) != b"\n")

    def _ticking(self, places: list[Place]) -> Iterator[bytes]:
        """Yield the blocks of the first pass, and tell the progress now and then; each pass is half of the work."""
        for number, block in enumerate(blocks(self.descriptor, places)):
            if number % 64 == 0:
                self.tick(number / len(places) / 2)
            yield block


def _not_now(_: bytes) -> int:
    """Lines are counted elsewhere."""
    return 0
