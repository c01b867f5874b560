"""The skim of one large file: two passes, each on two processes, for a report of the peers that fail most.

The second process of the first pass says first who failed, then the rest: so the second pass begins in another process
while this one puts the failures together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest

from mailtls.core.assembler import Assembler
from mailtls.core.crowd import Crowd, Successes
from mailtls.core.follower import Follower
from mailtls.core.history import Crowd as HistoryCrowd
from mailtls.core.history import History
from mailtls.core.skim import Skim
from mailtls.core.stamp import Calendar
from mailtls.edge.fastsearch import fastest
from mailtls.edge.halves import Half, Place, blocks, part_of, places_of
from mailtls.edge.parcel import Parcel, pack_skim, unpack_skim

# Of the blocks, what this process reads: it also has to start, and to put everything together.
_FIRST_SHARE, _SECOND_SHARE = 0.47, 0.34

Drain = Callable[[list[bytes]], None]
Tick = Callable[[float], None]


@dataclass(slots=True)
class Skimming:
    """Skims one file into a history. `drain` is given lines for the assembler, `tick` the part that is done (0 to 1).

    `run` tells whether the log is a regular one; if not, nothing was recorded.
    """

    descriptor: int
    size: int
    width: int
    calendar: Calendar
    history: History
    drain: Drain
    tick: Tick
    read: int = 0
    understood: int = 0
    crowds: list[HistoryCrowd] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)

    def run(self, most: int) -> bool:
        """Skim the file; list the `most` peers that fail most often."""
        self._places = places_of(self.descriptor, self.size)
        here, there = part_of(self._places, _FIRST_SHARE)
        other = Half(self.descriptor, there, lambda found: _send(self._skimmed(found))) if there else None
        skim = self._skimmed(self._ticking(here, 0.0))
        failing = skim.failing()
        later = None
        if other is not None:
            theirs = other.receive()
            if theirs is None:
                later = self._skimmed(blocks(self.descriptor, there))
                theirs = later.failing()
            failing.update(theirs)
        wanted = {ip for _, ip in nsmallest(most, [(-count, ip) for ip, count in failing.items()])}
        wanted |= {ip.encode() for ip in self.history.peers}
        return self._follow(skim, later, other, frozenset(wanted), len(failing.keys() - wanted))

    def _follow(self, skim: Skim, later: Skim | None, other: Half | None, wanted: frozenset[bytes], rest: int) -> bool:
        follower = Follower(self.width, wanted, fastest())
        here, there = part_of(self._places, _SECOND_SHARE)
        second = Half(self.descriptor, there, lambda found: _followed(follower, found, len(here))) if there else None
        if other is not None and later is None:
            later = self._later(other)
        skim.end(later)
        if not skim.regular:
            if second is not None:
                second.stop()
            return False
        self.history.failing_unlisted += rest
        crowds = self._settle_failures(skim, wanted)
        list(_followed(follower, self._ticking(here, 0.5), 0))
        if second is not None:
            found = second.receive()
            if found is None:
                list(_followed(follower, blocks(self.descriptor, there), len(here)))
            else:
                follower.join(*found)
            second.stop()
        skim.take(follower)
        self._settle_successes(skim, crowds, wanted)
        return True

    def _later(self, other: Half) -> Skim:
        """The rest of what the second process found in the first pass; if it died, this process does it again."""
        parcel = other.receive()
        other.stop()
        if parcel is not None:
            return unpack_skim(Skim(self.width), parcel)
        return self._skimmed(blocks(self.descriptor, part_of(self._places, _FIRST_SHARE)[1]))

    def _settle_failures(self, skim: Skim, wanted: frozenset[bytes]) -> dict[bytes, Crowd]:
        """Record what failed. While this process does that, the other reads."""
        self.drain(skim.odd)
        for lines in skim.alerts:
            assembler = Assembler(self.calendar)
            for session in [session for line in lines for session in assembler.feed(line)] + assembler.finish():
                self.history.record(session)
        crowds = {name: Crowd(shapes, self.calendar) for name, shapes in skim.lanes.items()}
        logins = crowds[skim.logins.host_and_tag] = Crowd(skim.logins, self.calendar)
        for crowd in crowds.values():
            crowd.settle_failures(self.history, wanted)
        logins.totals()  # is kept; nothing more comes to these
        return crowds

    def _settle_successes(self, skim: Skim, crowds: dict[bytes, Crowd], wanted: frozenset[bytes]) -> None:
        for name, shapes in skim.lanes.items():
            crowd = crowds.setdefault(name, Crowd(shapes, self.calendar))
            crowd.settle_successes(self.history, wanted)
        self.history.sessions_left_out += sum(shapes.left_out for shapes in (*skim.lanes.values(), skim.logins))
        self.crowds += [*crowds.values(), Successes(skim)]
        self.read = skim.logins.read
        self.understood = skim.understood()

    def _skimmed(self, found: Iterator[bytes]) -> Skim:
        skim = Skim(self.width, fastest())
        for block in found:
            skim.read(block)
        return skim

    def _ticking(self, places: list[Place], done: float) -> Iterator[bytes]:
        """Yield the blocks, and tell the progress now and then; both passes are half of the work."""
        for number, block in enumerate(blocks(self.descriptor, places)):
            if number % 64 == 0:
                self.tick(done + number / len(places) / 2)
            yield block


def _send(skim: Skim) -> Iterator[object]:
    """Who failed first; all else while the receiver works with that."""
    yield dict(skim.failing())
    yield pack_skim(skim)


def _followed(follower: Follower, found: Iterator[bytes], first: int) -> Iterator[Parcel]:
    for number, block in enumerate(found, first):
        follower.follow(block, number)
    yield follower.rows, follower.left_out
