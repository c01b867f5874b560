"""How a peer fares, in one word."""

from __future__ import annotations

import pytest

from mailtls.core.cause import Cause
from mailtls.core.conduct import Conduct, Series
from mailtls.core.peerstate import PeerState, state_of

FAILED = {(Cause.PEER_TOO_OLD, 0x102): Series(count=1)}


@pytest.mark.parametrize(
    ("conduct", "state"),
    [
        (Conduct(), PeerState.QUIET),
        (Conduct(good="TLSv1.3"), PeerState.OK),
        (Conduct(mailed=True), PeerState.OK),
        (Conduct(used_to_succeed=True), PeerState.OK),
        (Conduct(series=FAILED), PeerState.FAILING),
        (Conduct(series=FAILED, mailed=True, good="TLSv1.3"), PeerState.FAILING),
        (Conduct(series=FAILED, scanner=True), PeerState.SCANNER),
    ],
)
def test_the_word_says_what_matters_most(conduct: Conduct, state: PeerState) -> None:
    assert state_of(conduct) is state
