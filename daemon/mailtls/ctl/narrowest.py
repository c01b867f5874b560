"""The narrowest level that what is known of a peer and of this server supports: what `allow-legacy` takes unasked.

Pure. `legacy` where nothing is known of the peer; never `cleartext`, which has to be asked for by name; None where the
evidence says that no other level would let the peer in (core/level.py has the table), or that its door would give it
nothing here (core/offer.py). Of the levels that help, one whose door is made comes before one whose door is not. What
the peer offered when the observer saw it counts before the reason number, where both agree, as it does for the policy
(core/knownhellos.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import KnownPeer
from mailtls.core.doorchoice import FALLBACK_REASON, Way
from mailtls.core.doorset import DOOR_LEVELS
from mailtls.core.helloshown import PeerHello
from mailtls.core.level import Level, Need, reason_number
from mailtls.core.offer import in_vain, need_here
from mailtls.core.openssl import cause_of_reason
from mailtls.core.postfixview import PostfixSettings

LOOK_AGAIN = "if Postfix was changed since setup looked, let it look again: mailtlsctl setup"


@dataclass(frozen=True, slots=True)
class Choice:
    """The level that was chosen, None for none; and why, in one sentence. `known`: a failure of the peer is."""

    level: Level | None
    why: str
    known: bool = True


def choose(
    peers: Iterable[KnownPeer], view: PostfixSettings, hellos: Mapping[str, PeerHello | None] | None = None
) -> Choice:
    """Choose for the peers that an address or network covers; the narrowest level that helps one of them.

    `hellos`: what each offered last, by address, as far as it was seen.
    """
    seen = hellos or {}
    failing = [(peer, peer.cause) for peer in peers if peer.cause is not None and peer.failures]
    needs = [_by_hello(cause, seen.get(peer.ip)) or _need(cause, peer.reason, view) for peer, cause in failing]
    if not needs:
        return _unknown(view)
    helped = [(level, need) for need in needs for level in need.levels if level is not Level.CLEARTEXT]
    if not helped:
        return Choice(None, _hopeless(needs))
    made = [(level, need) for level, need in helped if view.door(level) is not None]
    level, need = min(made or helped, key=lambda pair: pair[0].depth)
    doubt = "" if need.determined else "; if it does not help, name a deeper one with --level"
    return Choice(level, f"Level {level} was taken, because {need.why}{doubt}.")


def without_use(
    level: Level, view: PostfixSettings, why_no_sslv3: Callable[[], str | None] = lambda: None
) -> str | None:
    """Say in half a sentence why a waiver to this level cannot be, or would give nothing; None where it may be.

    `why_no_sslv3`: says why the gateway cannot serve on this machine, None where it can.
    """
    vain = in_vain(level, view)
    if vain is not None:
        return f"{vain}; {LOOK_AGAIN}"
    door = view.door(level) if level in DOOR_LEVELS else None
    if level is Level.SSLV3 and (door is None or door.entry) and (why := why_no_sslv3()) is not None:
        return f"{why}; then make its door: mailtlsctl setup" if door is None else why
    if level not in DOOR_LEVELS or door is not None:
        return None
    return (
        f"level {level} needs a door, and none is set up on this machine; to make it: mailtlsctl setup"
    )


def _unknown(view: PostfixSettings) -> Choice:
    nothing = "no failed handshake of it is known"
    vain = in_vain(Level.LEGACY, view)
    if vain is not None:
        return Choice(None, f"{nothing}, and a door would not help: {vain}", known=False)
    return Choice(Level.LEGACY, f"Level legacy was taken, because {nothing}.", known=False)


def _need(cause: Cause, reason: str | None, view: PostfixSettings) -> Need:
    return need_here(cause, reason_number(None, reason), view)


def _by_hello(cause: Cause, hello: PeerHello | None) -> Need | None:
    """Read it from the hello; None where that is not whole, or where the strict door refuses it for another cause."""
    strict = next((each for each in hello.doors if each.door == Way.STRICT), None) if hello is not None else None
    if hello is None or strict is None or strict.reason_number is None or hello.truncated or not hello.doors_known:
        return None
    if cause_of_reason(strict.reason_number) is not cause:
        return None
    why = f"by its ClientHello the strict door refuses it ({strict.reason})"
    taking = tuple(level for level in DOOR_LEVELS for each in hello.doors if each.door == level and each.accepts)
    if any(each.reason_number == FALLBACK_REASON for each in hello.doors):
        return Need((), True, f"{why}, and the peer {'; '.join(hello.changes)}")
    if not taking:
        return Need((Level.CLEARTEXT,), True, f"{why}; no door takes it: the peer {'; '.join(hello.changes)}")
    return Need(taking, True, f"{why}, and these take it: {', '.join(taking)}")


def _hopeless(needs: list[Need]) -> str:
    cleartext = next((need for need in needs if need.levels), None)
    if cleartext is not None:
        return f"only cleartext lets it in: {cleartext.why}"
    return f"no level is known to let it in: {needs[0].why}"
