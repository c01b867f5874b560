"""How a peer fares, in one word: what `mailtlsctl peers` shows and `mailtls_peers{state}` counts.

The words are contracts (controlprotocol.KnownPeer). `waived` is not found here: whether a waiver stands is known to
whoever has the list.
"""

from __future__ import annotations

from enum import StrEnum

from mailtls.core.conduct import Conduct


class PeerState(StrEnum):
    """`failing`: it failed, with no success since; `quiet`: it never failed, and never got anything through."""

    OK = "ok"
    FAILING = "failing"
    WAIVED = "waived"
    SCANNER = "scanner"
    QUIET = "quiet"


def state_of(conduct: Conduct) -> PeerState:
    """Say how a peer fares on port 25."""
    if conduct.scanner:
        return PeerState.SCANNER
    if conduct.series:
        return PeerState.FAILING
    return PeerState.OK if conduct.proven else PeerState.QUIET
