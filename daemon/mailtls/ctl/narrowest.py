"""The narrowest level that what is known of a peer supports: what `allow-legacy` takes where no level was named.

Pure. `legacy` where nothing is known; never `cleartext`, which has to be asked for by name; None where the evidence
says that no other level would let the peer in (core/level.py has the table).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import KnownPeer
from mailtls.core.level import Level, Need, need_of, reason_number


@dataclass(frozen=True, slots=True)
class Choice:
    """The level that was chosen, None for none; and why, in one sentence."""

    level: Level | None
    why: str


def choose(peers: Iterable[KnownPeer]) -> Choice:
    """Choose for the peers that an address or network covers; the narrowest level that helps one of them."""
    needs = [_need(peer.cause, peer.reason) for peer in peers if peer.cause is not None and peer.failures]
    if not needs:
        return Choice(Level.LEGACY, "Level legacy was taken, because no failed handshake of it is known.")
    helped = [(level, need) for need in needs for level in need.levels if level is not Level.CLEARTEXT]
    if not helped:
        return Choice(None, _hopeless(needs))
    level, need = min(helped, key=lambda pair: pair[0].depth)
    doubt = "" if need.determined else "; if it does not help, name a deeper one with --level"
    return Choice(level, f"Level {level} was taken, because {need.why}{doubt}.")


def _need(cause: Cause, reason: str | None) -> Need:
    return need_of(cause, reason_number(None, reason))


def _hopeless(needs: list[Need]) -> str:
    cleartext = next((need for need in needs if need.levels), None)
    if cleartext is not None:
        return f"only cleartext lets it in: {cleartext.why}"
    return f"no level is known to let it in: {needs[0].why}"
