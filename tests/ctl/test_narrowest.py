"""The level that `allow-legacy` takes where none was named."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.parties import a_peer
from mailtls.core.cause import Cause
from mailtls.core.level import Level
from mailtls.ctl.narrowest import choose

CASES: list[tuple[list[dict[str, Any]], Level | None, str]] = [
    ([], Level.LEGACY, "no failed handshake of it is known"),
    ([{"failures": 0}], Level.LEGACY, "no failed handshake of it is known"),
    ([{"cause": None}], Level.LEGACY, "no failed handshake of it is known"),
    ([{}], Level.LEGACY, "reason 0x102"),
    ([{"reason": "version too low"}], Level.SSLV3, "reason 0x18C"),
    ([{"reason": None}], Level.LEGACY, "name a deeper one with --level"),
    ([{"cause": Cause.NO_SHARED_CIPHER, "reason": "no shared cipher"}], Level.LEGACY_RSA, "name a deeper one"),
    ([{"cause": Cause.NOT_TLS, "reason": "wrong version number"}], None, "only cleartext lets it in"),
    ([{"cause": Cause.NETWORK_CUT}], None, "no level is known to let it in"),
    ([{"reason": "version too low"}, {}], Level.LEGACY, "reason 0x102"),
    ([{"cause": Cause.NETWORK_CUT}, {}], Level.LEGACY, "reason 0x102"),
]


@pytest.mark.parametrize(("changes", "level", "why"), CASES)
def test_it_is_the_narrowest_that_the_evidence_supports(
    changes: list[dict[str, Any]], level: Level | None, why: str
) -> None:
    choice = choose(a_peer(**each) for each in changes)
    assert choice.level is level
    assert why in choice.why


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("reason", [None, "wrong version number", "unsupported protocol", "whatever"])
def test_no_evidence_of_strangers_ever_chooses_cleartext(cause: Cause, reason: str | None) -> None:
    assert choose([a_peer(cause=cause, reason=reason)]).level is not Level.CLEARTEXT
