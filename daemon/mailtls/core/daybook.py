"""The daybook: a batch of sessions added up, per peer and per day, so that the store writes few rows.

SECURITY: names, reasons and ciphers come from strangers; each is printable and of bounded length here, whatever the
reader of the log let through. A time ahead of the clock counts as now, so that nobody is remembered for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mailtls.core.cause import Cause, Outcome
from mailtls.core.peerkey import key_of
from mailtls.core.peerstate import PeerState
from mailtls.core.printable import printable
from mailtls.core.session import Session

AHEAD = timedelta(minutes=5)
"""Clocks of log hosts differ by less."""

DAY = 86_400  # seconds
LONGEST_NAME = 255  # RFC 1035, 2.3.4
LONGEST_REASON = 240
LONGEST_WORD = 64  # of a TLS version or a cipher


class SessionKind(NamedTuple):
    """What a day's count is a count of."""

    service: str
    door: str
    outcome: str
    cause: str
    tls_version: str | None
    cipher: str | None


@dataclass(slots=True)
class Seen:
    """What a batch tells of one address. `first`, `last`: seconds since 1970.

    `cause`, `reason`: of its latest failure; `state`: as its latest session left it, where nothing else is known.
    """

    first: int
    last: int
    name: str | None = None
    sessions: int = 0
    failures: int = 0
    mails: int = 0
    cause: Cause | None = None
    reason: str | None = None
    tls_version: str | None = None
    got_through: bool = False
    state: PeerState = PeerState.QUIET


@dataclass(slots=True)
class DayTally:
    """Sessions of one kind of one peer on one day, and those of them that brought mail."""

    sessions: int = 0
    mails: int = 0


DayOf = tuple[bytes | None, int, SessionKind]
"""Key of the peer (None: the server itself, or an address that the log does not tell), day since 1970 in UTC, kind."""


@dataclass(slots=True)
class Daybook:
    """Peers by key, and days."""

    peers: dict[bytes, Seen] = field(default_factory=dict)
    days: dict[DayOf, DayTally] = field(default_factory=dict)


def write_daybook(sessions: Iterable[Session], now: datetime) -> Daybook:
    """Add up sessions; `now` (aware) dates those without a stamp, and those of the future."""
    book = Daybook()
    today, latest = int(now.timestamp()), int((now + AHEAD).timestamp())
    keys: dict[str, bytes | None] = {}
    for session in sessions:
        at = _seconds(session.at, today, latest)
        peer = session.peer
        key = None
        if peer is not None:
            if peer.ip not in keys:
                keys[peer.ip] = key_of(peer.ip)
            key = keys[peer.ip]
        if key is not None:
            _see(book.peers, key, session, at)
        tally = book.days.setdefault((key, at // DAY, _kind(session)), DayTally())
        tally.sessions += 1
        tally.mails += session.delivered
    return book


def _seconds(at: datetime | None, today: int, latest: int) -> int:
    if at is None:
        return today
    seconds = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())
    return today if seconds > latest else max(seconds, 0)


def _kind(session: Session) -> SessionKind:
    return SessionKind(
        session.service.value,
        session.door.value,
        session.outcome.value,
        session.cause.value,
        short(session.tls_version, LONGEST_WORD),
        short(session.cipher, LONGEST_WORD),
    )


def _see(peers: dict[bytes, Seen], key: bytes, session: Session, at: int) -> None:
    seen = peers.get(key)
    if seen is None:
        seen = peers[key] = Seen(at, at)
    seen.first, seen.last = min(seen.first, at), max(seen.last, at)
    name = session.peer.name if session.peer is not None else None
    if name is not None and (seen.name is None or name.lower() != "unknown"):
        seen.name = short(name, LONGEST_NAME)
    seen.sessions += 1
    seen.mails += session.delivered
    if session.outcome is Outcome.TLS_FAILED:
        seen.failures += 1
        seen.cause, seen.reason = session.cause, short(session.reason, LONGEST_REASON)
        seen.state = PeerState.FAILING
    elif session.outcome is Outcome.TLS_OK or session.delivered:
        seen.got_through, seen.state = True, PeerState.OK
        seen.tls_version = short(session.tls_version, LONGEST_WORD) or seen.tls_version


def short(text: str | None, longest: int) -> str | None:
    """Give a text of strangers as it is stored: printable, and not longer than `longest`."""
    if text is None or (len(text) <= longest and text.isascii() and text.isprintable()):
        return text
    return printable(text, longest)
