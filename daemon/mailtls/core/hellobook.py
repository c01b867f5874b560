"""What the observer has just seen, until the log tells of the session: the book of hellos that are not matched yet.

A session is matched with what came from its address, and from its port where the log gives one, shortly before the
line that decided it. Times are those of one machine; a log of another host, or one that is read late, matches nothing.
On a busy machine the log may be quicker than the observer: the hello is then matched when it comes.

SECURITY: anybody can send a segment in anybody's name, without a connection. So a hello counts only beside a session
that the log tells of; and where several that differ could be meant, none is. Whoever forges some makes his victim be
judged by the log alone, as without the observer. Memory is bounded: `MOST` hellos, `BUDGET` bytes, `OF_ONE` of one
address; the oldest go first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace

from mailtls.core.cause import Outcome
from mailtls.core.clienthello import ClientHello
from mailtls.core.hellorecord import Kind, Sighting
from mailtls.core.session import Session

MOST = 20_000
BUDGET = 1 << 24  # bytes
OF_ONE = 16
LATE = 1000  # sessions that are kept in case that their hellos come late

BEFORE = 15.0  # seconds by which a hello may come before the line that decided its session
BEFORE_WITH_PORT = 330.0  # smtpd_starttls_timeout is 300 s; the port alone tells whose it is
AFTER = 3.0  # a stamp of syslog is of the second that has begun; a clock is set now and then


@dataclass(frozen=True, slots=True)
class HeardHello:
    """What a peer offered. `at`: seconds since 1970; `alert`: with which it answered, None where none was seen."""

    at: float
    hello: ClientHello
    alert: int | None = None


@dataclass(slots=True)
class _Page:
    """What was seen of one address."""

    sightings: deque[Sighting] = field(default_factory=deque)
    size: int = 0


class HelloBook:
    """Put sightings in, ask for the hello of a session. `heard`, `matched`: hellos since the start."""

    def __init__(self) -> None:
        self.heard = self.matched = self.forgotten = 0
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._count = self._size = 0
        self._unmatched: OrderedDict[str, Session] = OrderedDict()
        self._late: set[str] = set()

    def put(self, sighting: Sighting) -> None:
        """Take in what the observer saw."""
        self.heard += sighting.kind is Kind.HELLO
        page = self._pages.setdefault(sighting.peer, _Page())
        self._pages.move_to_end(sighting.peer)
        if sighting.peer in self._unmatched:
            self._late.add(sighting.peer)
        page.sightings.append(sighting)
        self._count += 1
        self._size += len(sighting.data)
        if len(page.sightings) > OF_ONE:
            self._drop_first(page)
        while self._count > MOST or self._size > BUDGET:
            address, page = next(iter(self._pages.items()))
            self._drop_first(page)
            if not page.sightings:
                del self._pages[address]

    def _drop_first(self, page: _Page) -> None:
        gone = page.sightings.popleft()
        self._count -= 1
        self._size -= len(gone.data)
        self.forgotten += 1

    def match(self, session: Session) -> HeardHello | None:
        """Give the hello of this session; None where none was seen yet, or where it is not certain which it is."""
        if session.peer is None or session.at is None or session.outcome is Outcome.NO_STARTTLS or not self._count:
            return None
        page = self._pages.get(session.peer.ip)
        found = _of_session(page, session, session.at.timestamp()) if page is not None else []
        heard = _agreed(found)
        if heard is not None:
            self.matched += 1
        else:
            self._unmatched[session.peer.ip] = session
            if len(self._unmatched) > LATE:
                gone, _ = self._unmatched.popitem(last=False)
                self._late.discard(gone)
        return heard

    def take_late(self) -> list[tuple[Session, HeardHello]]:
        """Give the sessions whose hellos have come since `match` had none for them."""
        sessions = [self._unmatched.pop(ip) for ip in self._late]
        self._late.clear()
        return [(session, heard) for session in sessions if (heard := self.match(session)) is not None]


def _agreed(sightings: list[Sighting]) -> HeardHello | None:
    """Give what all these sightings say; None where they say nothing, or not the same."""
    hellos = [(each.at, hello) for each in sightings if (hello := each.hello) is not None]
    if not hellos or len({offer_of(hello) for _, hello in hellos}) > 1:
        return None
    alerts = {each.alert for each in sightings if each.alert is not None}
    whole = [each for each in hellos if not each[1].truncated]
    at, hello = (whole or hellos)[-1]
    return HeardHello(at, hello, alerts.pop() if len(alerts) == 1 else None)


def _of_session(page: _Page, session: Session, decided: float) -> list[Sighting]:
    earliest = decided - (BEFORE if session.port is None else BEFORE_WITH_PORT)
    return [
        each
        for each in page.sightings
        if earliest <= each.at <= decided + AFTER and session.port in (None, each.peer_port)
    ]


def offer_of(hello: ClientHello) -> ClientHello:
    """Give what is offered, without what differs between the two halves of one handshake or is cut off easily."""
    return replace(hello, key_shares=None, extensions=(), truncated=False, server_name=None, protocols=())
