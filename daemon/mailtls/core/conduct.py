"""Conduct: what is remembered of one address in order to decide about it.

It is less than its history: how often it failed in which way and when, whether it ever got through, whether it looks
like a scanner, and a few lines that prove it.

SECURITY: strangers write it. Peers that never got through (`strangers`) and peers that did (`proven`) are kept in
separate rooms of `PEERS` each, the quietest leaving first, so that a flood of new addresses cannot make anybody's
good history forgotten. A peer with a waiver does not leave.

BUGS: somebody who completes real handshakes from more than `PEERS` addresses can make good history forgotten; the
quota bounds what that is worth.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailtls.core.cause import Cause
from mailtls.core.decision import Rule
from mailtls.core.level import Level
from mailtls.core.rule import MOST_SESSIONS
from mailtls.core.session import Session

PEERS = 50_000
KINDS = 8  # kinds of failure that are kept of one peer
EVIDENCE_LINES = 4
EVIDENCE_LINE_LENGTH = 240  # characters
SCANNER_REASONS = 3
SCANNER_WITHIN = timedelta(minutes=10)

# smtpd's frame around a session, which proves nothing by itself (smtpd.c).
_FRAME = (": connect from ", ": disconnect from ", "lost connection after ")

# What happens to honest peers in between, or as a consequence of another failure: no sign of trying things out.
_NO_TRIAL = frozenset({Cause.NETWORK_CUT, Cause.TIMEOUT, Cause.FALLBACK_SCSV, Cause.UNKNOWN})

Kind = tuple[Cause, int | None]


@dataclass(slots=True)
class Series:
    """Failures of one kind without a success between them; times in the order of the log."""

    times: list[datetime] = field(default_factory=list)
    count: int = 0
    last: datetime | None = None

    def add(self, at: datetime | None, within: timedelta) -> None:
        """Count one failure, and forget those that lie further back than `within`.

        A full list loses its second entry, not its first: the count stays above every possible threshold, and the
        spread stays right.
        """
        self.count += 1
        if at is None:
            return
        self.last = at if self.last is None else max(self.last, at)
        self.times = [time for time in self.times if self.last - time <= within]
        self.times.append(at)
        if len(self.times) > MOST_SESSIONS:
            del self.times[1]

    @property
    def spread(self) -> timedelta:
        """Time from the first to the last failure that counts."""
        return max(self.times) - min(self.times) if self.times else timedelta(0)


@dataclass(slots=True)
class Conduct:
    """One peer. Versions and times are of sessions at the strict door on port 25 unless said otherwise.

    `good`: the best proof of TLS 1.2 or later, as printed; an empty text where a success was logged without version.
    `used_to_succeed`: a handshake was completed, and the session was not dropped behind it.
    `fell_back`, `recovered`: when it last got mail through without TLS after failing, or TLS through.
    """

    name: str | None = None
    series: dict[Kind, Series] = field(default_factory=dict)
    good: str | None = None
    used_to_succeed: bool = False
    mailed: bool = False
    fell_back: datetime | None = None
    recovered: datetime | None = None
    refuses_cleartext: bool = False
    scanner: bool = False
    turned_bad: bool = False
    spent: bool = False
    door_failures: int = 0
    door_worked: bool = False
    useless: frozenset[Level] = frozenset()  # frozen: one empty set is shared by all who have none
    said: frozenset[tuple[Cause | None, Rule]] = frozenset()
    tried: list[tuple[datetime | None, str]] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Tell whether it ever got mail or a handshake through."""
        return self.mailed or self.good is not None or self.used_to_succeed

    def failed(self, kind: Kind, session: Session, at: datetime | None, within: timedelta) -> Series:
        """Count a failure at the strict door."""
        if kind not in self.series and len(self.series) >= KINDS:
            del self.series[next(iter(self.series))]
        series = self.series.setdefault(kind, Series())
        series.add(at, within)
        self._prove(session.lines)
        self._try(session, at)
        return series

    def _prove(self, lines: tuple[str, ...]) -> None:
        """Keep the first failure's telling lines, and the latest's."""
        telling = [line for line in lines if not any(frame in line for frame in _FRAME)] or lines
        new = [line[:EVIDENCE_LINE_LENGTH] for line in telling[: EVIDENCE_LINES // 2]]
        keep = EVIDENCE_LINES - len(new)
        self.evidence = [*self.evidence[:keep], *new]

    def _try(self, session: Session, at: datetime | None) -> None:
        """Notice a scanner: several different reasons within minutes, and no mail ever."""
        if session.cause in _NO_TRIAL or self.mailed or self.scanner:
            return
        reason = session.reason or session.cause
        self.tried = [tried for tried in self.tried if tried[1] != reason and _near(tried[0], at)]
        self.tried.append((at, reason[:EVIDENCE_LINE_LENGTH]))
        self.scanner = len(self.tried) >= SCANNER_REASONS
        if self.scanner:
            self.tried = self.tried[-SCANNER_REASONS:]

    def named(self, name: str | None) -> None:
        """Take the name that a line prints; a failed look-up (`unknown`) does not undo a confirmed one."""
        if name is not None and (self.name is None or name.lower() != "unknown"):
            self.name = name

    def is_news(self, cause: Cause | None, rule: Rule) -> bool:
        """Tell whether this was not said of it before, and note that it is."""
        news = (cause, rule) not in self.said
        self.said |= {(cause, rule)}
        return news

    def begin_anew(self) -> None:
        """Forget failures, what was said, and how a door served: a waiver begins, or has ended."""
        self.forget_failures()
        self.said = frozenset()
        self.door_failures, self.door_worked = 0, False

    def delivered(self) -> None:
        """Note mail: whoever delivers is no scanner."""
        self.mailed, self.scanner, self.tried = True, False, []

    def forgive(self, since: datetime) -> None:
        """Take back the failures from this time on: the server was at fault."""
        for series in self.series.values():
            series.times = [time for time in series.times if time < since]
        self.series = {kind: series for kind, series in self.series.items() if series.times or series.last is None}

    def forget_failures(self) -> None:
        """Begin to count anew: the peer got through, or was let in."""
        self.series = {}


def _near(one: datetime | None, other: datetime | None) -> bool:
    """Without stamps nothing tells that two tries were minutes apart."""
    return one is not None and other is not None and abs(other - one) <= SCANNER_WITHIN


class Rooms:
    """All conducts, by address, in two rooms of bounded size."""

    def __init__(self, size: int = PEERS) -> None:
        self._size = size
        self._strangers: OrderedDict[str, Conduct] = OrderedDict()
        self._proven: OrderedDict[str, Conduct] = OrderedDict()
        self.kept: set[str] = set()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._strangers) + len(self._proven)

    def of(self, ip: str) -> Conduct:
        """Give the conduct of an address, a blank one where none is remembered."""
        for room in (self._proven, self._strangers):
            if ip in room:
                room.move_to_end(ip)
                return room[ip]
        conduct = self._strangers[ip] = Conduct()
        self._make_room(self._strangers)
        return conduct

    def seen(self, ip: str) -> Conduct | None:
        """Give the conduct of an address if it is remembered."""
        return self._proven.get(ip) or self._strangers.get(ip)

    def put(self, ip: str, conduct: Conduct) -> None:
        """Take in a conduct that was remembered elsewhere; what is known here already is newer."""
        if self.seen(ip) is None:
            room = self._proven if conduct.proven else self._strangers
            room[ip] = conduct
            self._make_room(room)

    def settle(self, ip: str, conduct: Conduct) -> None:
        """Move a peer that has got through to the room of the proven."""
        if conduct.proven and ip in self._strangers:
            del self._strangers[ip]
            self._proven[ip] = conduct
            self._make_room(self._proven)

    def all(self) -> list[tuple[str, Conduct]]:
        """List everybody, in the order in which they were last heard of within each room."""
        return [*self._proven.items(), *self._strangers.items()]

    def _make_room(self, room: OrderedDict[str, Conduct]) -> None:
        if len(room) <= self._size:
            return
        for ip in room:
            if ip not in self.kept:
                del room[ip]
                self.forgotten += 1
                return
