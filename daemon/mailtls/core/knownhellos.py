"""What is known of what peers offer, and what follows from it: which level a peer needs, and whether it needs any.

A hello decides only where it agrees with the log. That a peer failed for this cause must be what the strict door
answers to this hello (`handshake.predict`); and of a completed handshake, the version must be the one that this door
would have chosen. So whoever forges a hello in a peer's name gains nothing that the log does not say as well.

Without a hello, or without knowing the doors, the level follows from the reason number (`offer`), as ever.

SECURITY: bounded by `ROOM` peers and `NUMBERS` of what they offer, the quietest leaving first; the store has the
others. A hello of more than `LONGEST` numbers, which nobody's library sends, is not kept: it would drive out others'.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime

from mailtls.core.cause import Cause, Outcome
from mailtls.core.doorchoice import STOCK, Choice, Doors, Way, choose, doors_of
from mailtls.core.handshake import Negotiated, Refused, predict
from mailtls.core.hellobook import HeardHello, offer_of
from mailtls.core.helloshown import PeerHello, shown
from mailtls.core.level import Level, Need
from mailtls.core.offer import kept_from_own, need_here
from mailtls.core.openssl import cause_of_reason
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.serverprofile import ServerProfile
from mailtls.core.session import Session
from mailtls.core.tlsversion import name_of as version_name

ROOM = 20_000
NUMBERS = 2_000_000  # of all hellos together; 80 MB
LONGEST = 1000  # numbers of one hello
OFTEN = 3600.0  # seconds after which an offer that stays the same is news again
RSA_BESIDE = "an RSA certificate beside the ECDSA one would let it in, and weakens nothing"

_BY_OFFER = frozenset({Cause.PEER_TOO_OLD, Cause.NO_SHARED_CIPHER, Cause.NO_SHARED_GROUP_OR_SIGALG})
"""Causes that follow from what a peer offers, so that another door may answer otherwise."""


class KnownHellos:
    """The latest hello of each peer. Empty, it says what `offer.need_of_peer` says."""

    def __init__(self, room: int = ROOM, numbers: int = NUMBERS) -> None:
        self._room, self._numbers = room, numbers
        self._kept = 0
        self._heard: OrderedDict[str, HeardHello] = OrderedDict()
        self._doors: Doors | None = None
        self._view: PostfixSettings | None = None
        self._of_session: tuple[Session, HeardHello] | None = None

    def see(self, view: PostfixSettings) -> None:
        """Judge by what `setup` found from now on."""
        self._view, self._doors = view, doors_of(view)

    @property
    def strict(self) -> ServerProfile | None:
        """Give what the strict door offers; None: it is not known."""
        return self._doors[Way.STRICT] if self._doors is not None else None

    # --- what was heard --------------------------------------------------------------------------------------

    def hear(self, session: Session, heard: HeardHello) -> None:
        """Take the hello of a session, if it can be its own."""
        if session.peer is None or not self._agrees(session, heard):
            return
        self._of_session = session, heard
        if not _is_known(heard, self._heard.get(session.peer.ip)):
            self._put(session.peer.ip, heard)

    def recall(self, ip: str, heard: HeardHello) -> None:
        """Take one from the store; what is known here already is newer."""
        if ip not in self._heard:
            self._put(ip, heard)

    def of(self, ip: str) -> HeardHello | None:
        """Give what this peer offered last."""
        return self._heard.get(ip)

    def told(self, ip: str) -> PeerHello | None:
        """Show what this peer offered last, and what each door would make of it."""
        heard = self._heard.get(ip)
        if heard is None:
            return None
        fields = shown(heard.hello, choose(heard.hello, self._doors or STOCK))
        at = datetime.fromtimestamp(heard.at, UTC)
        return PeerHello(**fields, at=at, alert=heard.alert, doors_known=self._doors is not None)

    def _put(self, ip: str, heard: HeardHello) -> None:
        if heard.hello.size > LONGEST:
            return
        before = self._heard.pop(ip, None)
        self._kept += heard.hello.size - (before.hello.size if before is not None else 0)
        self._heard[ip] = heard
        while len(self._heard) > self._room or self._kept > self._numbers:
            _, gone = self._heard.popitem(last=False)
            self._kept -= gone.hello.size

    def _agrees(self, session: Session, heard: HeardHello) -> bool:
        server = self._doors.get(Way(session.door.value)) if self._doors is not None else None
        if server is None or session.outcome is not Outcome.TLS_OK or session.tls_version is None:
            return True
        answer = predict(heard.hello, server)
        return isinstance(answer, Negotiated) and version_name(answer.version) == session.tls_version

    # --- what follows ----------------------------------------------------------------------------------------

    def need(self, cause: Cause, number: int | None, view: PostfixSettings | None, ip: str) -> Need:
        """Say which levels would let this peer in, that fails so: by its hello, else by the reason number."""
        need = self._computed(cause, ip) or need_here(cause, number, view)
        return kept_from_own(need, view, ip)

    def _computed(self, cause: Cause, ip: str) -> Need | None:
        heard = self._heard.get(ip)
        if heard is None or self._doors is None or cause not in _BY_OFFER or not heard.hello.tells_all:
            return None
        choice = choose(heard.hello, self._doors)
        refused = choice.tried[Way.STRICT]
        if not isinstance(refused, Refused) or cause_of_reason(refused.reason) is not cause:
            return None
        return _need(refused, choice)

    def outgrown(self, session: Session) -> bool | None:
        """Tell whether the strict door would take the hello of this very session; None: it is not known."""
        known = self._of_session
        if known is None or known[0] is not session or self._doors is None or not known[1].hello.tells_all:
            return None
        return isinstance(predict(known[1].hello, self._doors[Way.STRICT]), Negotiated)


def _is_known(heard: HeardHello, before: HeardHello | None) -> bool:
    """Tell whether the same was heard within the hour, so that a busy peer is not news at every session."""
    if before is None or heard.alert != before.alert or offer_of(heard.hello) != offer_of(before.hello):
        return False
    return 0 <= heard.at - before.at < OFTEN and not before.hello.truncated


def _need(refused: Refused, choice: Choice) -> Need:
    """Write what the doors would answer as a need."""
    why = f"by its ClientHello the strict door refuses it ({refused})"
    if choice.came_back_with_less:
        return Need((), True, f"{why}, and the peer {choice.changes[0]}")
    taking = choice.taking
    vain = tuple(level for level in Level if level not in taking and level is not Level.CLEARTEXT)
    if not taking:
        return Need((Level.CLEARTEXT,), True, f"{why}; no door takes it: the peer {'; '.join(choice.changes)}", vain)
    level, answer = next(iter(taking.items()))
    mended = choice.narrowest is Way.RSA_BESIDE
    remedy = f"; {RSA_BESIDE}" if mended else ""
    said = f"{why}, and the {level} door would take it with {answer}{remedy}"
    return Need((*taking, Level.CLEARTEXT), True, said, vain, mended)
