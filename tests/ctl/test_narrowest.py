"""The level that `allow-legacy` takes where none was named."""

from __future__ import annotations

from typing import Any

import pytest

from core.screenplay import IP
from core.test_decider_doors import ECDSA_ONLY
from core.test_knownhellos import FALLBACK, HOPELESS, RC4, RSA_CBC, RSA_ONLY, known
from core.test_knownhellos import hello as offering
from core.test_offer import BOTH, HARD, HARD_ECDSA, HARDER, LEGACY_DOOR, STOCK
from ctl.parties import a_peer
from mailtls.core.cause import Cause
from mailtls.core.clienthello import ClientHello
from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway, PostfixSettings
from mailtls.ctl.doors import no_sslv3_door
from mailtls.ctl.narrowest import choose, without_use

NOT_LOOKED_AT = PostfixSettings()
NSS_9 = "NSS 9.0 does not speak SSLv3 any more"
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
    choice = choose((a_peer(**each) for each in changes), NOT_LOOKED_AT)
    assert choice.level is level
    assert why in choice.why


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("reason", [None, "wrong version number", "unsupported protocol", "whatever"])
def test_no_evidence_of_strangers_ever_chooses_cleartext(cause: Cause, reason: str | None) -> None:
    for strict in (None, STOCK, HARD, HARD_ECDSA):
        view = PostfixSettings(strict=strict, doors=BOTH)
        assert choose([a_peer(cause=cause, reason=reason)], view).level is not Level.CLEARTEXT


UNSHARED = {"cause": Cause.NO_SHARED_CIPHER, "reason": "no shared cipher"}
NO_GROUP = {"cause": Cause.NO_SHARED_GROUP_OR_SIGALG, "reason": "no suitable signature algorithm"}
HERE: list[tuple[dict[str, Any] | None, PostfixSettings, Level | None, str]] = [
    (None, PostfixSettings(strict=HARD, doors=BOTH), Level.LEGACY, "no failed handshake of it is known"),
    (None, PostfixSettings(strict=STOCK), None, "the strict door takes TLS 1.0 and later"),
    ({}, PostfixSettings(strict=HARD, doors=BOTH), Level.LEGACY, "reason 0x102"),
    ({}, PostfixSettings(strict=STOCK), None, "only cleartext lets it in: the strict door takes TLS 1.0 by itself"),
    (UNSHARED, PostfixSettings(strict=HARD_ECDSA, doors=BOTH), Level.LEGACY_RSA, "name a deeper one"),
    (UNSHARED, PostfixSettings(strict=HARD_ECDSA, doors=(LEGACY_DOOR,)), Level.LEGACY, "name a deeper one"),
    (UNSHARED, PostfixSettings(strict=HARD_ECDSA), Level.LEGACY_RSA, "name a deeper one"),
    (UNSHARED, PostfixSettings(strict=HARDER, doors=BOTH), Level.LEGACY, "reason 0x0C1"),
    (UNSHARED, PostfixSettings(strict=STOCK), Level.SSLV3, "the peer has none of them"),
    (NO_GROUP, PostfixSettings(strict=HARD_ECDSA, doors=BOTH), Level.LEGACY_RSA, "signature algorithm"),
    (NO_GROUP, PostfixSettings(strict=STOCK), None, "no door another kind"),
]


@pytest.mark.parametrize(("changes", "view", "level", "why"), HERE)
def test_it_is_the_narrowest_whose_door_has_what_the_strict_one_has_not(
    changes: dict[str, Any] | None, view: PostfixSettings, level: Level | None, why: str
) -> None:
    choice = choose([a_peer(**changes)] if changes is not None else [], view)
    assert choice.level is level
    assert why in choice.why


OFFERED: list[tuple[ClientHello, dict[str, Any], Level | None, str]] = [
    (RSA_ONLY, UNSHARED, Level.LEGACY_RSA, "these take it: legacy-rsa, legacy"),
    (offering(RSA_CBC), UNSHARED, Level.LEGACY, "these take it: legacy, sslv3."),
    (offering(RC4), UNSHARED, Level.SSLV3, "these take it: sslv3."),
    (HOPELESS, {}, Level.SSLV3, "by its ClientHello"),
    (offering(0x0001), UNSHARED, None, "only cleartext lets it in: by its ClientHello"),
    (offering(RSA_CBC, FALLBACK, version=0x0301), {}, None, "it came back with less than it can"),
    (RSA_ONLY, {}, Level.LEGACY, "reason 0x102"),
]


@pytest.mark.parametrize(("offer", "changes", "level", "why"), OFFERED)
def test_what_the_peer_offered_counts_before_the_reason_where_both_agree(
    offer: ClientHello, changes: dict[str, Any], level: Level | None, why: str
) -> None:
    told = known(offer).told(IP)
    choice = choose([a_peer(IP, **changes)], ECDSA_ONLY, {IP: told})
    assert choice.level is level
    assert why in choice.why
    assert "name a deeper one" not in choice.why


def test_a_hello_that_is_not_whole_or_of_doors_that_nobody_looked_at_chooses_nothing() -> None:
    told = known(offering(RC4)).told(IP)
    assert told is not None
    for doubtful in (told.model_copy(update={"truncated": True}), told.model_copy(update={"doors_known": False}), None):
        choice = choose([a_peer(IP, **UNSHARED)], ECDSA_ONLY, {IP: doubtful})
        assert "reason 0x0C1" in choice.why


WITHOUT_USE = [
    (PostfixSettings(), Level.LEGACY, "to make it: mailtlsctl setup"),
    (PostfixSettings(strict=HARD), Level.LEGACY, "to make it: mailtlsctl setup"),
    (PostfixSettings(strict=STOCK), Level.LEGACY, "would take nothing more; if Postfix was changed since"),
    (PostfixSettings(strict=HARD, doors=BOTH), Level.LEGACY, None),
    (PostfixSettings(), Level.SSLV3, "to make it: mailtlsctl setup"),
    (PostfixSettings(doors=(Doorway(level=Level.SSLV3, port=10325),)), Level.SSLV3, None),
    (PostfixSettings(strict=STOCK), Level.CLEARTEXT, None),
]


@pytest.mark.parametrize(("view", "level", "why"), WITHOUT_USE)
def test_what_a_waiver_would_lack_is_said_before_the_keeper_is_asked(
    view: PostfixSettings, level: Level, why: str | None
) -> None:
    found = without_use(level, view)
    assert found is None if why is None else (found is not None and why in found)


def test_what_nss_lacks_is_said_where_there_is_no_gateway() -> None:
    found = without_use(Level.SSLV3, PostfixSettings(), lambda: "NSS 9.0 does not speak SSLv3 any more")
    assert found == "NSS 9.0 does not speak SSLv3 any more; then make its door: mailtlsctl setup"


@pytest.mark.parametrize(("entry", "said"), [("mailtls-sslv3/unix", "NSS 9.0 does not speak SSLv3 any more"), ("", None)])
def test_a_door_whose_nss_went_is_no_door_unless_the_site_serves_it(entry: str, said: str | None) -> None:
    """An upgrade may take SSLv3 out of NSS after `setup` has made the door."""
    view = PostfixSettings(strict=HARD, doors=(Doorway(level=Level.SSLV3, port=10325, entry=entry),))
    for asked in (without_use(Level.SSLV3, view, lambda: NSS_9), no_sslv3_door(view, lambda: NSS_9)):
        assert asked == said
    assert without_use(Level.SSLV3, view, lambda: None) is no_sslv3_door(view, lambda: None) is None


def test_status_says_why_there_is_no_gateway() -> None:
    without = PostfixSettings(strict=HARD)
    assert no_sslv3_door(without, lambda: NSS_9) == NSS_9
    assert "mailtlsctl setup --dry-run" in (no_sslv3_door(without, lambda: None) or "")
    assert no_sslv3_door(PostfixSettings(), lambda: NSS_9) is None, "nobody has looked"
