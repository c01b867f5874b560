"""Deciding by what `setup` found: what a door has beyond the strict one, who has outgrown it, whom it does not help."""

from __future__ import annotations

import pytest

from mailtls.core.cause import Cause, Door
from mailtls.core.decider import Decider
from mailtls.core.decision import Decision
from mailtls.core.knownlegacy import NOBODY, KnownPeers
from mailtls.core.level import Level
from mailtls.core.livedecider import LiveDecider
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.session import Session

from .screenplay import DAY, IP, NAME, NOW, WAIVE, failed, known, moment, policy, words, worked
from .test_offer import BOTH, HARD, HARD_ECDSA, LEGACY_DOOR, STOCK
from .waivers import waiver

FAILS = [failed(0), failed(5), failed(10)]
UNSHARED = [failed(minute, 0x0C1) for minute in (0, 5, 10)]
GRANTED = "waive threshold legacy"
BY_THE_LIST = "waive known_legacy legacy-rsa"
RSA_SUITE, ECDSA_SUITE = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"
TLS13_SUITE = "TLS_AES_256_GCM_SHA384"
HARDENED = PostfixSettings(strict=HARD, doors=BOTH)
ECDSA_ONLY = PostfixSettings(strict=HARD_ECDSA, doors=BOTH)
RSA_ADDED = PostfixSettings(strict=HARD, doors=BOTH)
STOCK_DEBIAN = PostfixSettings(strict=STOCK)


def decided(
    sessions: list[Session], view: PostfixSettings, rules: str = WAIVE, peers: KnownPeers = NOBODY
) -> list[Decision]:
    decider = Decider(policy(rules), peers)
    decider.see(view)
    return [decision for session in sessions for decision in decider.feed(session)]


def test_a_hardened_server_lets_an_old_peer_in_by_the_legacy_door() -> None:
    assert words(decided(FAILS, HARDENED)) == [GRANTED]


def test_on_stock_debian_nobody_is_let_in_by_a_door_that_takes_nothing_more() -> None:
    (decision,) = decided(FAILS, STOCK_DEBIAN)
    assert words([decision]) == ["advise no_door"]
    assert "the strict door takes TLS 1.0 by itself" in decision.reasons[0]


def test_a_peer_in_mynetworks_is_not_sent_to_a_door_that_would_take_relaying_from_it() -> None:
    view = PostfixSettings(strict=HARD, doors=BOTH, own_networks=("192.0.2.0/24",))
    (decision,) = decided(FAILS, view)
    assert words([decision]) == ["advise no_door"]
    assert "its address is in mynetworks (192.0.2.0/24)" in decision.reasons[0]


def test_what_asks_for_sslv3_is_refused_by_the_floor_as_before() -> None:
    fails = [failed(minute, 0x18C) for minute in (0, 5, 10)]
    assert words(decided(fails, HARDENED)) == ["advise floor"]
    assert words(decided(fails, STOCK_DEBIAN)) == ["advise floor"]


RSA_CERTIFICATE = "add an RSA certificate beside the ECDSA one"


@pytest.mark.parametrize(
    ("view", "remedies"),
    [
        (PostfixSettings(), [RSA_CERTIFICATE]),
        (PostfixSettings(strict=HARD_ECDSA), [RSA_CERTIFICATE]),
        (ECDSA_ONLY, [RSA_CERTIFICATE, f"mailtlsctl allow-legacy {IP} --level legacy-rsa"]),
        (PostfixSettings(strict=HARD_ECDSA, doors=(LEGACY_DOOR,)), [RSA_CERTIFICATE, "--level legacy "]),
        (STOCK_DEBIAN, []),
    ],
)
def test_where_the_line_does_not_tell_the_policy_advises_what_is_of_use_here(
    view: PostfixSettings, remedies: list[str]
) -> None:
    rules = WAIVE.replace("peer_too_old", "no_shared_cipher")
    (decision,) = decided(UNSHARED, view, rules)
    assert words([decision]) == ["advise undetermined"]
    assert len(decision.alternatives) == len(remedies)
    for alternative, remedy in zip(decision.alternatives, remedies, strict=True):
        assert remedy in alternative


def the_bank() -> KnownPeers:
    return known(f'name = "{NAME}"', "legacy-rsa", policy(WAIVE))


def at_door(minute: float, version: str, suite: str, door: Door = Door.LEGACY) -> Session:
    return worked(minute, version, cipher=suite, door=door)


OUTGROWN = [
    ("TLSv1", "AES128-SHA", HARDENED, False),
    ("TLSv1.2", RSA_SUITE, HARDENED, True),
    ("TLSv1.2", RSA_SUITE, ECDSA_ONLY, False),
    ("TLSv1.2", ECDSA_SUITE, ECDSA_ONLY, True),
    ("TLSv1.3", TLS13_SUITE, ECDSA_ONLY, True),
    ("TLSv1.2", RSA_SUITE, PostfixSettings(), False),
]


@pytest.mark.parametrize(("version", "suite", "view", "outgrown"), OUTGROWN)
def test_a_peer_that_gets_at_its_door_what_strict_offers_has_outgrown_it(
    version: str, suite: str, view: PostfixSettings, outgrown: bool
) -> None:
    decisions = words(decided([*FAILS, at_door(DAY, version, suite)], view))
    assert decisions == [GRANTED, *(["withdraw outgrown legacy"] if outgrown else [])]


def test_an_rsa_only_peer_keeps_its_waiver_until_strict_has_an_rsa_certificate() -> None:
    decider = Decider(policy(WAIVE), the_bank())
    decider.see(ECDSA_ONLY)
    uses = [at_door(20 + number, "TLSv1.2", RSA_SUITE, Door.LEGACY_RSA) for number in range(20)]
    before = [decision for session in (*UNSHARED, *uses) for decision in decider.feed(session)]
    assert words(before) == [BY_THE_LIST]
    decider.see(RSA_ADDED)
    after = decider.feed(at_door(60, "TLSv1.2", RSA_SUITE, Door.LEGACY_RSA))
    assert words(after) == ["withdraw outgrown legacy-rsa"]
    assert "which the strict door takes as well" in after[0].reasons[0]


def test_a_suite_of_tls_13_proves_nothing_of_a_certificate() -> None:
    uses = [at_door(20, "TLSv1.3", TLS13_SUITE, Door.LEGACY_RSA)]
    assert words(decided([*UNSHARED, *uses], ECDSA_ONLY, peers=the_bank())) == [BY_THE_LIST]


def test_who_leaves_right_behind_the_handshake_at_its_door_is_not_helped() -> None:
    """A sender that checks the certificate and does not like it may say so with no alert."""
    dropped = [
        worked(20 + n, "TLSv1", cipher="AES128-SHA", door=Door.LEGACY, cause=Cause.DROPPED_AFTER_TLS) for n in range(3)
    ]
    assert words(decided([*FAILS, *dropped[:2]], HARDENED)) == [GRANTED]
    assert words(decided([*FAILS, *dropped], HARDENED)) == [GRANTED, "withdraw useless legacy"]
    served = at_door(15, "TLSv1", "AES128-SHA")
    assert words(decided([*FAILS, served, *dropped], HARDENED)) == [GRANTED]


def test_what_happens_at_another_door_than_the_waivers_says_nothing_of_it() -> None:
    """A long session outlives the waiver under which it began."""
    elsewhere = [failed(20, 0x418, door=Door.LEGACY_RSA), at_door(30, "TLSv1.2", RSA_SUITE, Door.LEGACY_RSA)]
    assert words(decided([*FAILS, *elsewhere], HARDENED)) == [GRANTED]


# The live decider: which doors are there, and serve.


def live(decider: LiveDecider, minute: float = 0) -> list[str]:
    decisions: list[Decision] = []
    for number in range(3):
        at = minute + 5 * number
        decisions += decider.take(failed(at), moment(at) or NOW)
    return words(decisions)


def test_a_door_that_is_made_is_given_and_one_that_is_not_is_proposed_with_the_command_that_makes_it() -> None:
    decider = LiveDecider(policy(WAIVE))
    decider.see(PostfixSettings(strict=HARD))
    decisions = [each for number in (0, 5, 10) for each in decider.take(failed(number), moment(number) or NOW)]
    assert words(decisions) == ["propose threshold legacy"]
    assert "to make it: mailtlsctl setup" in decisions[0].reasons[0]
    decider.see(HARDENED)
    assert live(decider, 20) == [GRANTED]


def test_nobody_is_let_in_by_a_door_that_does_not_serve() -> None:
    decider = LiveDecider(policy(WAIVE))
    decider.see(HARDENED)
    decider.doors_down([Level.LEGACY])
    assert live(decider) == ["propose threshold legacy"]
    decider.doors_down([Level.LEGACY_RSA])
    assert live(decider, 20) == [GRANTED]


def test_waivers_are_counted_by_level_without_those_whose_time_is_over() -> None:
    decider = LiveDecider(policy(WAIVE))
    decider.adopt([
        waiver("192.0.2.1", level=Level.CLEARTEXT), waiver("192.0.2.2", level=Level.LEGACY),
        waiver("192.0.2.3", level=Level.LEGACY),
    ])  # fmt: skip
    first = decider.live()[0]
    assert list(decider.by_level(first.until).items()) == []
    now = first.granted
    assert now is not None
    assert list(decider.by_level(now).items()) == [(Level.LEGACY, 2), (Level.CLEARTEXT, 1)]
