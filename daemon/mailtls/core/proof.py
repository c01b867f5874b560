"""What peers have proven at the strict door: that they can do TLS 1.2 or later.

So many sessions of it, and none with less between them, are proof; from then on whoever comes with less under that
address is a downgrade (core/verdict.py). A weaker session does not undo a proof: whoever sits on the path could wear it
off. Before the proof is complete a weaker session begins it anew: two machines behind one address prove nothing. A
proof is over `LASTS` after the last session that added to it.

SECURITY: strangers fill it, but each of them with real handshakes and a message. Those who are on the way and those
who have proven it have rooms of `ROOM` each; who was not heard of for longest leaves first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailtls.core.tlsversion import TLS12
from mailtls.core.verdict import Proof

ROOM = 50_000
LASTS = timedelta(days=90)
APART = timedelta(minutes=1)
"""Messages of a client whose port is not known are of one session, if they are closer together than this."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one address has come. `version`: of the last good session; `at`: when that was, None for never."""

    sessions: int = 0
    version: int = 0
    at: datetime | None = None
    port: int | None = None


BLANK = Standing()


class Proofs:
    """All addresses. `needed`: so many sessions are proof."""

    def __init__(self, needed: int, room: int = ROOM) -> None:
        self._needed = needed
        self._room = room
        self._proven: OrderedDict[str, Standing] = OrderedDict()
        self._others: OrderedDict[str, Standing] = OrderedDict()

    @property
    def needed(self) -> int:
        """Say how many sessions are proof."""
        return self._needed

    def ask_for(self, needed: int) -> None:
        """Ask for another number of sessions from now on."""
        if needed != self._needed:
            self._needed = needed
            known = [*self._others.items(), *self._proven.items()]
            self._others, self._proven = OrderedDict(), OrderedDict()
            for ip, standing in known:
                self._put(ip, standing)

    def take(self, ip: str, version: int | None, port: int | None, at: datetime) -> tuple[Standing, bool]:
        """Take in a message at the strict door; `version` None: cleartext.

        Gives how the address stands, and whether it has been proven by this one. Another version is no news: whoever
        takes both in turn would have the snapshot made anew with each message.
        """
        before = self._proven.get(ip)
        known = before or self._others.get(ip) or BLANK
        if known.at is not None and at - known.at > LASTS:
            known = BLANK
        if version is None or version < TLS12:
            if known is not BLANK and known.sessions < self._needed:
                self._others.pop(ip, None)
                return BLANK, False
            return known, False
        again = known.at is not None and _same_session(known, port, at)
        standing = Standing(known.sessions + (not again), version, at, port)
        self._put(ip, standing)
        proven = standing.sessions >= self._needed
        return standing, proven and (before is None or known is BLANK)

    def standing(self, ip: str) -> Standing:
        """Give how an address stands."""
        return self._proven.get(ip) or self._others.get(ip) or BLANK

    def recall(self, ip: str, standing: Standing) -> None:
        """Take in what is remembered of an address; what is known here already is newer."""
        if ip not in self._proven and ip not in self._others:
            self._put(ip, standing)

    def proven(self, now: datetime) -> dict[str, Proof]:
        """Give what is proven now."""
        return {
            ip: Proof(standing.sessions, standing.version)
            for ip, standing in self._proven.items()
            if standing.at is not None and now - standing.at <= LASTS
        }

    def _put(self, ip: str, standing: Standing) -> None:
        is_proven = standing.sessions >= self._needed
        room, other = (self._proven, self._others) if is_proven else (self._others, self._proven)
        other.pop(ip, None)
        room[ip] = standing
        room.move_to_end(ip)
        if len(room) > self._room:
            room.popitem(last=False)


def _same_session(known: Standing, port: int | None, at: datetime) -> bool:
    if port is not None and known.port is not None:
        return port == known.port
    return known.at is not None and at - known.at < APART
