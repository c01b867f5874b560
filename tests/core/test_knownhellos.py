"""Deciding by what a peer offers: the level that its hello asks for, and whether it still needs any."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mailtls.core.cause import Door
from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.decision import Decision
from mailtls.core.hellobook import HeardHello
from mailtls.core.knownhellos import KnownHellos
from mailtls.core.level import Level
from mailtls.core.livedecider import LiveDecider
from mailtls.core.offer import need_of_peer
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.session import Session

from .hellotexts import MODERN, extension, message, numbers, record, sized
from .screenplay import CAUSES, IP, NOW, failed, policy, words, worked
from .test_decider_doors import ECDSA_ONLY, HARDENED
from .test_livedecider import granted
from .test_offer import BOTH, HARD_ECDSA

RULES = """
[causes.no_shared_cipher]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "24h" }
[causes.peer_too_old]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "24h" }
[limits]
automatic = ["legacy-rsa", "legacy"]
"""
GROUPS = extension(10, sized(numbers([0x17]), 2)) + extension(13, sized(numbers([0x0401, 0x0403]), 2))
ECDHE_RSA, RSA_GCM, RSA_CBC, RC4 = 0xC030, 0x009D, 0x002F, 0x0005
FALLBACK = 0x5600
UNSHARED = 0x0C1


def hello(*ciphers: int, version: int = 0x0303, extensions: bytes = GROUPS) -> ClientHello:
    found = read_hello(record(message(version, ciphers, extensions)))
    assert found is not None
    return found


def heard(offer: ClientHello, at: float = 0) -> HeardHello:
    return HeardHello(NOW.timestamp() + 60 * at, offer)


RSA_ONLY, OLD_RSA, HOPELESS = hello(ECDHE_RSA), hello(RSA_CBC, version=0x0301), hello(RC4, version=0x0301)
CUT_IN_ITS_KEYS = record(message(0x0303, [ECDHE_RSA], GROUPS + extension(51, bytes(200))))[:-90]


def known(offer: ClientHello, view: PostfixSettings = ECDSA_ONLY, number: int = UNSHARED) -> KnownHellos:
    hellos = KnownHellos()
    hellos.see(view)
    hellos.hear(failed(0, number), heard(offer))
    return hellos


def levels(offer: ClientHello, number: int = UNSHARED, view: PostfixSettings = ECDSA_ONLY) -> tuple[Level, ...]:
    need = known(offer, view, number).need(CAUSES[number][0], number, view, IP)
    return need.levels if need.determined else ()


@pytest.mark.parametrize(
    ("offer", "number", "narrowest"),
    [
        (RSA_ONLY, UNSHARED, Level.LEGACY_RSA),
        (hello(RSA_CBC), UNSHARED, Level.LEGACY),
        (OLD_RSA, 0x102, Level.LEGACY),
        (HOPELESS, 0x102, Level.SSLV3),
        (hello(RC4, version=0x0300), 0x18C, Level.SSLV3),
        (hello(0x0001), UNSHARED, Level.CLEARTEXT),
    ],
    ids=["RSA only", "CBC", "TLS 1.0", "TLS 1.0 with RC4", "SSLv3", "NULL"],
)
def test_the_level_is_the_narrowest_door_that_takes_the_hello(offer: ClientHello, number: int, narrowest: Level) -> None:
    assert levels(offer, number)[0] is narrowest


def test_without_a_hello_or_without_knowing_the_doors_the_reason_number_decides_as_before() -> None:
    cause = CAUSES[UNSHARED][0]
    usual = need_of_peer(cause, UNSHARED, ECDSA_ONLY, IP)
    assert not usual.determined
    assert KnownHellos().need(cause, UNSHARED, ECDSA_ONLY, IP) == usual
    assert known(RSA_ONLY).need(cause, UNSHARED, ECDSA_ONLY, "192.0.2.8") == usual
    blind = known(RSA_ONLY, PostfixSettings())
    assert blind.need(cause, UNSHARED, PostfixSettings(), IP) == need_of_peer(cause, UNSHARED, PostfixSettings(), IP)


@pytest.mark.parametrize(
    "offer",
    [OLD_RSA, hello(0xC02C, ECDHE_RSA)],
    ids=["would fail for another reason", "would be taken"],
)
def test_a_hello_that_contradicts_the_log_decides_nothing(offer: ClientHello) -> None:
    cause = CAUSES[UNSHARED][0]
    assert known(offer).need(cause, UNSHARED, ECDSA_ONLY, IP) == need_of_peer(cause, UNSHARED, ECDSA_ONLY, IP)


def test_who_comes_back_with_less_than_it_can_gets_no_door() -> None:
    need = known(hello(RSA_CBC, FALLBACK, version=0x0302), HARDENED, 0x102).need(CAUSES[0x102][0], 0x102, HARDENED, IP)
    assert need.levels == ()
    assert "came back with less" in need.why


def test_a_hello_that_was_cut_off_decides_only_if_it_lacks_no_more_than_its_keys() -> None:
    cut = read_hello(CUT_IN_ITS_KEYS)
    assert cut is not None
    assert cut.truncated
    assert levels(cut)[0] is Level.LEGACY_RSA
    shorter = read_hello(CUT_IN_ITS_KEYS[:60])
    assert shorter is not None
    assert levels(shorter) == ()


def test_a_peer_in_mynetworks_gets_no_door_whatever_it_offers() -> None:
    view = PostfixSettings(strict=HARD_ECDSA, doors=BOTH, own_networks=("192.0.2.0/24",))
    assert levels(RSA_ONLY, view=view) == (Level.CLEARTEXT,)


def test_what_the_doors_would_answer_is_said() -> None:
    need = known(RSA_ONLY).need(CAUSES[UNSHARED][0], UNSHARED, ECDSA_ONLY, IP)
    assert "the strict door refuses it (no shared cipher)" in need.why
    assert "the legacy-rsa door would take it with TLSv1.2 with ECDHE-RSA-AES256-GCM-SHA384" in need.why
    assert need.rsa_beside
    lost = known(hello(0x0001)).need(CAUSES[UNSHARED][0], UNSHARED, ECDSA_ONLY, IP)
    assert "no door takes it: the peer offers NULL-MD5" in lost.why
    assert not lost.rsa_beside


# --- deciding --------------------------------------------------------------------------------------------------------


def live(offer: ClientHello | None, sessions: list[Session], view: PostfixSettings = ECDSA_ONLY) -> list[Decision]:
    decider = decider_of(view)
    return [each for session in sessions for each in take(decider, session, offer)]


def decider_of(view: PostfixSettings = ECDSA_ONLY) -> LiveDecider:
    decider = LiveDecider(policy(RULES))
    decider.see(view)
    return decider


def take(decider: LiveDecider, session: Session, offer: ClientHello | None) -> tuple[Decision, ...]:
    at = session.at or NOW
    return decider.take(session, at, HeardHello(at.timestamp(), offer) if offer is not None else None)


UNSHARED_TWICE_MORE = [failed(0, UNSHARED), failed(5, UNSHARED), failed(10, UNSHARED)]


def test_what_only_a_hello_tells_is_waived_with_one_and_only_advised_without() -> None:
    assert words(live(None, UNSHARED_TWICE_MORE)) == ["advise undetermined"]
    (decision,) = live(RSA_ONLY, UNSHARED_TWICE_MORE)
    assert words([decision]) == ["waive threshold legacy-rsa"]
    assert "add an RSA certificate beside the ECDSA one" in decision.alternatives[0]
    assert words(live(hello(RSA_CBC), UNSHARED_TWICE_MORE)) == ["waive threshold legacy"]


def test_a_peer_of_rc4_is_not_sent_to_the_legacy_door_where_it_would_fail_again() -> None:
    assert words(live(None, [failed(0), failed(5), failed(10)], HARDENED)) == ["waive threshold legacy"]
    assert words(live(HOPELESS, [failed(0), failed(5), failed(10)], HARDENED)) == ["advise floor"]


def test_the_hello_of_an_earlier_session_holds_where_the_latest_was_not_seen() -> None:
    decider = decider_of()
    take(decider, UNSHARED_TWICE_MORE[0], RSA_ONLY)
    decisions = [each for session in UNSHARED_TWICE_MORE[1:] for each in take(decider, session, None)]
    assert words(decisions) == ["waive threshold legacy-rsa"]


def test_what_stands_of_a_peer_has_the_level_of_its_hello_although_nothing_was_decided_yet() -> None:
    decider = decider_of()
    take(decider, UNSHARED_TWICE_MORE[0], hello(RSA_CBC))
    standing = decider.standing(IP, NOW)
    assert standing is not None
    assert (standing.rule, standing.level) == ("not_yet", Level.LEGACY)


def waived(offer: ClientHello) -> LiveDecider:
    decider = decider_of()
    decisions = [each for session in UNSHARED_TWICE_MORE for each in take(decider, session, offer)]
    decider.granted(granted(decider.request(decisions[-1])))
    return decider


AT_DOOR = worked(20, "TLSv1.2", door=Door.LEGACY_RSA)


def test_a_peer_is_outgrown_when_the_strict_door_would_take_its_hello() -> None:
    decider = waived(RSA_ONLY)
    assert take(decider, AT_DOOR, RSA_ONLY) == ()
    renewed = worked(30, "TLSv1.2", door=Door.LEGACY_RSA)
    (decision,) = take(decider, renewed, hello(0xC02C, ECDHE_RSA))
    assert words([decision]) == ["withdraw outgrown legacy-rsa"]
    assert "by its ClientHello the strict door would take it, too" in decision.reasons[0]


def test_a_hello_that_the_door_cannot_have_answered_so_withdraws_nothing() -> None:
    """Somebody forged it, or it is of another connection: this door would have chosen another version."""
    decider = waived(RSA_ONLY)
    assert take(decider, AT_DOOR, hello(0x1301, ECDHE_RSA, extensions=MODERN)) == ()


def test_what_was_stored_counts_until_something_newer_is_heard() -> None:
    hellos = KnownHellos()
    hellos.see(ECDSA_ONLY)
    hellos.recall(IP, heard(RSA_ONLY))
    hellos.recall(IP, heard(OLD_RSA))
    assert hellos.of(IP) == heard(RSA_ONLY)
    hellos.hear(failed(1, UNSHARED), heard(RSA_ONLY, 1))
    assert hellos.of(IP) == heard(RSA_ONLY), "the same within the hour is no news"
    hellos.hear(failed(61, UNSHARED), heard(RSA_ONLY, 61))
    assert hellos.of(IP) == heard(RSA_ONLY, 61)
    hellos.hear(failed(62, UNSHARED), heard(OLD_RSA, 62))
    assert hellos.of(IP) == heard(OLD_RSA, 62)


def test_there_is_room_for_so_many_and_the_quietest_leave() -> None:
    hellos = KnownHellos(room=10)
    for number in range(20):
        hellos.hear(failed(0, ip=f"192.0.2.{number}"), heard(OLD_RSA))
    assert hellos.of("192.0.2.9") is None
    assert hellos.of("192.0.2.10") is not None


def test_what_they_offer_together_is_bounded_and_a_hello_that_nobody_s_library_sends_is_not_kept() -> None:
    hellos = KnownHellos(numbers=100)
    for number in range(20):
        hellos.hear(failed(0, ip=f"192.0.2.{number}"), heard(hello(*range(1, 31))))
        hellos.hear(failed(0, ip=f"192.0.2.{number}"), heard(hello(*range(1, 31), RSA_CBC)))
    assert [number for number in range(20) if hellos.of(f"192.0.2.{number}") is not None] == [18, 19]
    hellos.hear(failed(0, ip="192.0.2.99"), heard(hello(*range(0x1000, 0x1400))))
    assert hellos.of("192.0.2.99") is None
    assert hellos.of("192.0.2.19") is not None


def test_a_session_of_the_future_has_its_hello_all_the_same() -> None:
    decider = decider_of()
    session = failed(600, UNSHARED)
    decider.take(session, NOW, HeardHello((NOW + timedelta(hours=10)).timestamp(), RSA_ONLY))
    assert decider.hellos.of(IP) is not None
    assert replace(session, at=NOW) != session
