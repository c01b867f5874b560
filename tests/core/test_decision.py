"""What is decided: one row for each rule of deciding, and what its sentences say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mailtls.core.action import Action
from mailtls.core.cause import Cause, Service
from mailtls.core.decision import ACTING, Rule
from mailtls.core.session import Session

from .screenplay import DAY, HOUR, IP, NAME, WAIVE, decided, failed, known, left, moment, policy, words, worked, wrote

LENIENT = (
    WAIVE.replace('"legacy"', '"cleartext"')
    + """
[causes.not_tls]
action = "waive"
level_floor = "cleartext"
after = { sessions = 3, within = "24h", spread = "10m" }
[limits]
automatic = ["legacy-rsa", "legacy", "cleartext"]
"""
)
THRICE = (0.0, 5.0, 10.0)


def times(*minutes: float, number: int | None = 0x102, **others: object) -> list[Session]:
    return [failed(minute, number, **others) for minute in minutes]  # type: ignore[arg-type]


CASES = [
    # What the policy says.
    ("the threshold is met", WAIVE, times(*THRICE), ["waive threshold legacy"]),
    ("one session too few", WAIVE, times(0, 10), ["advise not_yet"]),
    ("a burst is one attempt", WAIVE, times(0, 1, 2, 9), ["advise not_yet"]),
    ("not within the time", WAIVE, times(0, 13 * HOUR, 25 * HOUR), ["advise not_yet"]),
    ("a success in between", WAIVE, [*times(0, 5), wrote(6), *times(10)], ["advise falls_back"]),
    ("only advised", "", times(0), ["advise policy"]),
    ("advised once", "", times(*THRICE), ["advise policy"]),
    ("ignored", '[causes.peer_too_old]\naction = "ignore"', times(*THRICE), ["ignore policy"]),
    (
        "advised only after repetition",
        '[causes.network_cut]\nafter = { sessions = 3, spread = "10m" }',
        times(0, 5, number=None),
        ["advise not_yet"],
    ),
    (
        "advised after repetition",
        '[causes.network_cut]\nafter = { sessions = 3, spread = "10m" }',
        times(*THRICE, number=None),
        ["advise no_door"],
    ),
    ("proposed", WAIVE.replace('"waive"', '"propose"'), times(*THRICE, 15), ["propose policy legacy"]),
    (
        "proposed without a threshold of its own",
        '[causes.peer_too_old]\naction = "propose"\nlevel_floor = "legacy"',
        times(*THRICE),
        ["propose policy legacy"],
    ),
    # Which door.
    ("SSLv3 never gets legacy", WAIVE, times(*THRICE, number=0x18C), ["advise floor"]),
    ("an SSLv2 hello never gets legacy", WAIVE, times(*THRICE, number=0x0FC), ["advise floor"]),
    ("the floor reaches sslv3", WAIVE.replace('"legacy"', '"sslv3"'), times(*THRICE, number=0x18C), [
        "propose not_automatic sslv3"
    ]),
    ("the floor reaches sslv3, TLS 1.0 gets legacy", WAIVE.replace('"legacy"', '"sslv3"'), times(*THRICE), [
        "waive threshold legacy"
    ]),
    ("mail first, TLS 1.0", LENIENT, times(*THRICE), ["waive threshold legacy"]),
    ("mail first, SSLv3", LENIENT, times(*THRICE, number=0x18C), ["waive threshold cleartext"]),
    ("mail first, plain SMTP after STARTTLS", LENIENT, times(*THRICE, number=0x10B), ["waive threshold cleartext"]),
    ("mail first, HTTP", LENIENT, times(*THRICE, number=0x09C), ["advise no_door"]),
    (
        "no shared cipher without a hello, whatever the policy wants",
        WAIVE.replace("peer_too_old", "no_shared_cipher"),
        times(*THRICE, number=0x0C1),
        ["advise undetermined"],
    ),
    ("no shared cipher advised", "", times(0, number=0x0C1), ["advise policy"]),
    ("a cut connection never lets anybody in", WAIVE, times(*THRICE, number=None), ["advise no_door"]),
    ("a rejected certificate is ours to mend", LENIENT, times(*THRICE, number=0x418), ["advise no_door"]),
    (
        "cleartext only where nothing narrower is automatic",
        LENIENT.replace('"legacy-rsa", "legacy", ', ""),
        times(*THRICE),
        ["waive threshold cleartext"],
    ),
    # Ours or theirs, and whom.
    ("good history before", WAIVE, [worked(-DAY), *times(*THRICE)], ["advise good_history"]),
    ("good history in postscreen", WAIVE, [worked(-DAY, service=Service.POSTSCREEN), *times(*THRICE)], [
        "advise good_history"
    ]),
    ("good history of a monitor", WAIVE, [worked(-DAY, cause=Cause.DROPPED_AFTER_TLS), *times(*THRICE)], [
        "advise good_history"
    ]),
    ("a success of unknown version", WAIVE, [worked(-DAY, None), *times(*THRICE)], ["advise good_history"]),
    ("TLS 1.0 worked long ago", WAIVE, [worked(-2 * DAY, "TLSv1"), *times(*THRICE)], ["waive threshold legacy"]),
    ("TLS 1.0 works today", WAIVE, [worked(-5, "TLSv1"), *times(*THRICE)], ["ignore recovered"]),
    ("good history on submission is somebody else's", WAIVE, [
        worked(-DAY, service=Service.SUBMISSION), *times(*THRICE)
    ], ["waive threshold legacy"]),
    ("recovers", WAIVE, [*times(0, 5), worked(6, "TLSv1.1")], ["ignore recovered"]),
    ("falls back", WAIVE, [*times(0), wrote(1), *times(20), wrote(21), *times(40), wrote(41)], ["advise falls_back"]),
    ("fell back the other day, and cannot any more", WAIVE, [
        *times(0), wrote(1), *times(DAY + 2, DAY + 7, DAY + 12)
    ], ["advise falls_back", "waive threshold legacy"]),
    ("a scanner", WAIVE, [failed(0), failed(1, 0x0C1), failed(2, 0x18C), *times(20, 40)], [
        "advise policy", "ignore scanner"
    ]),
    ("a scanner is one whatever it fails for, and is said to be once", WAIVE, [
        failed(0), failed(1, 0x18C), failed(2, 0x0FC), failed(3, 0x0C1), failed(4, None)
    ], ["ignore scanner"]),
    ("a scanner that gets through now and then", WAIVE, [
        failed(0), failed(1, 0x18C), failed(2, 0x0FC), worked(3, cause=Cause.DROPPED_AFTER_TLS)
    ], ["ignore scanner"]),
    ("whoever has sent mail is no scanner", WAIVE, [
        wrote(-DAY), failed(0), failed(1, 0x0FC), failed(2, 0x18C), *times(5, 10)
    ], ["waive threshold legacy"]),
    ("a monitor", WAIVE, [worked(minute, cause=Cause.DROPPED_AFTER_TLS) for minute in THRICE], []),
    ("submission", WAIVE, times(*THRICE, service=Service.SUBMISSION), []),
    ("postscreen is port 25", WAIVE, times(*THRICE, service=Service.POSTSCREEN), ["waive threshold legacy"]),
    ("never by address", WAIVE + '[never]\nnetworks = ["192.0.2.0/24"]', times(*THRICE), ["advise never"]),
    ("never by name", WAIVE + '[never]\nnames = [".example.org"]', times(*THRICE), ["advise never"]),
    ("never by a name once confirmed", WAIVE + '[never]\nnames = [".example.org"]', [
        worked(-DAY, "TLSv1"), *times(*THRICE, name="unknown")
    ], ["advise never"]),
    ("unknown is on no list", WAIVE + '[never]\nnames = [".example.com"]', times(*THRICE, name="unknown"), [
        "waive threshold legacy"
    ]),
    ("postscreen gives no name to look for", WAIVE + '[never]\nnames = [".example.com"]', times(*THRICE, name=None), [
        "propose never legacy"
    ]),
    ("a peer without address", WAIVE, times(*THRICE, ip="unknown"), []),
    # Time and quota.
    ("no stamps", WAIVE, [failed(None), failed(None), failed(None)], ["advise no_stamps"]),
    ("advice needs no stamps", "", [failed(None)], ["advise policy"]),
    ("no quota for today", WAIVE + "[limits]\nper_day = 1", [
        *times(*THRICE), *times(*THRICE, ip="192.0.2.8")
    ], ["waive threshold legacy", "propose quota legacy"]),
    ("tomorrow there is", WAIVE + "[limits]\nper_day = 1", [
        *times(*THRICE), *times(*THRICE, DAY + 11, DAY + 16, DAY + 22, ip="192.0.2.8")
    ], ["waive threshold legacy", "propose quota legacy", "waive threshold legacy"]),
    ("no room on the list", WAIVE + "[limits]\nwaivers = 1\nper_day = 1", [
        *times(*THRICE), *times(*[2 * DAY + minute for minute in THRICE], ip="192.0.2.8")
    ], ["waive threshold legacy", "propose quota legacy"]),
    ("refuses cleartext", LENIENT, [*times(0, 5, number=0x10B), left(6), *times(10, 15, number=0x10B)], [
        "advise useless"
    ]),
    ("refuses cleartext, so that only a person can help", LENIENT, [
        *times(0, 5, number=0x18C), left(6), *times(10, 15, number=0x18C)
    ], ["propose not_automatic sslv3"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "rules", "sessions", "expected"), CASES, ids=[case[0] for case in CASES])
def test_each_rule_decides_its_case(what: str, rules: str, sessions: Sequence[Session], expected: list[str]) -> None:
    decisions = decided(sorted(sessions, key=lambda one: one.at or moment(0)), rules)  # type: ignore[arg-type,return-value]
    assert words(decisions) == expected


@pytest.mark.parametrize("service", [service for service in Service if service not in ("smtpd", "postscreen")])
def test_nothing_is_decided_on_any_other_service(service: Service) -> None:
    for number in (0x102, 0x18C, 0x10B, None):
        assert decided(times(*THRICE, 20, 30, number=number, service=service), LENIENT) == []


KNOWN = [
    ("up to its level, although the policy only advises", "legacy", "", times(*THRICE), ["waive known_legacy legacy"]),
    ("the only automatic way to sslv3", "sslv3", "", times(*THRICE, number=0x18C), ["waive known_legacy sslv3"]),
    ("no further down than needed", "sslv3", "", times(*THRICE), ["waive known_legacy legacy"]),
    ("no further down than authorised", "legacy", "", times(*THRICE, number=0x18C), ["advise floor"]),
    ("it says what the line does not", "legacy-rsa", "", times(*THRICE, number=0x0C1), [
        "waive known_legacy legacy-rsa"
    ]),
    ("and not narrower than it says", "legacy", "", times(*THRICE, number=0x0C1), ["waive known_legacy legacy"]),
    ("not before the need is shown", "legacy", "", times(0, 10), ["advise not_yet"]),
    ("nor for what no door helps against", "cleartext", "", times(*THRICE, number=None), ["advise no_door"]),
    ("not against good history", "legacy", "", [worked(-DAY), *times(*THRICE)], ["advise good_history"]),
    ("not for a peer that gets through by itself", "legacy", "", [*times(0), wrote(1), *times(5, 10, 15)], [
        "advise falls_back"
    ]),
    ("only under the printed name", "legacy", "", times(*THRICE, name="unknown"), ["advise policy"]),
    ("also where the policy ignores", "cleartext", '[causes.not_tls]\naction = "ignore"', times(*THRICE, number=0x10B), [
        "waive known_legacy cleartext"
    ]),
    ("within the quota", "legacy", "[limits]\nper_day = 0", times(*THRICE), ["propose quota legacy"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "level", "rules", "sessions", "expected"), KNOWN, ids=[case[0] for case in KNOWN])
def test_a_known_name_authorises(
    what: str, level: str, rules: str, sessions: Sequence[Session], expected: list[str]
) -> None:
    peers = known('name = ".example.org"', level, policy(rules))
    assert words(decided(sessions, rules, peers)) == expected


def test_an_authorisation_that_has_ended_authorises_nothing() -> None:
    peers = known('name = ".example.org"', "legacy", policy(""), until="2026-11-20")
    assert words(decided(times(*THRICE), "", peers)) == ["advise policy"]


def test_a_known_address_is_covered_without_any_threshold_and_said_once() -> None:
    peers = known('network = "192.0.2.0/28"', "legacy", policy(""))
    decisions = decided(times(0, 1, 2), "", peers)
    assert words(decisions) == ["waive known_legacy legacy"]
    assert "ordered new (owner: office-it)" in decisions[0].reasons[0]
    assert decisions[0].until is not None


def test_a_decision_says_who_what_when_until_and_why() -> None:
    (decision,) = decided(times(*THRICE))
    assert (str(decision.peer), decision.cause) == (f"{NAME}[{IP}]", Cause.PEER_TOO_OLD)
    assert (decision.at, decision.until) == (moment(10), moment(10 + 30 * DAY))
    assert decision.reasons == (
        "3 sessions failed within 24 hours, the first and the last 10 minutes apart, with no success between them.",
        "The handshake failed: the peer's highest version is TLS 1.0 or 1.1, below what the strict door takes "
        "(reason 0x102).",
    )
    assert decision.evidence == tuple(line for session in times(*THRICE) for line in session.lines)


@pytest.mark.parametrize(
    ("sessions", "rules", "words_of_it"),
    [
        (times(0), WAIVE, ["Only 1 session failed within 24 hours; 3 are asked."]),
        (times(0, 1, 2), WAIVE, ["3 sessions failed within 2 minutes", "must be 10 minutes apart"]),
        ([failed(None)], WAIVE, ["no time", "no threshold can be met", "1 session failed"]),
        ([worked(-DAY, "TLSv1.3"), failed(0)], WAIVE, ["completed TLSv1.3", "on the path"]),
        ([worked(-DAY, None), failed(0)], WAIVE, ["of a version that was not logged"]),
        ([failed(0), wrote(1)], WAIVE, ["delivers in cleartext by itself: no outage", "not encrypted"]),
        (times(*THRICE, number=0x18C), WAIVE, ["needs sslv3", "level_floor for peer_too_old is legacy", "0x18C"]),
        (times(0, number=0x418), WAIVE, ["No door helps", "does not accept our certificate"]),
        (times(*THRICE), WAIVE + '[never]\nnames = [".example.org"]', [".example.org of the policy's never-lists"]),
        ([failed(0), failed(1, 0x18C), failed(2, 0x0FC)], WAIVE, [
            "3 different reasons", "unsupported protocol, version too low, unknown protocol"
        ]),
    ],
)  # fmt: skip
def test_the_reasons_are_whole_sentences_that_say_what_was_seen(
    sessions: Sequence[Session], rules: str, words_of_it: list[str]
) -> None:
    decision = decided(sessions, rules)[-1]
    said = " ".join(decision.reasons)
    assert not [word for word in words_of_it if word not in said], said
    assert all(reason[0].isupper() or reason[0] == "." or reason[0].isdigit() for reason in decision.reasons)
    assert all(reason.endswith(".") for reason in decision.reasons)


def test_what_a_person_may_do_is_a_command() -> None:
    (decision,) = decided(times(*THRICE, number=0x18C))
    assert decision.alternatives == (f"mailtlsctl allow-legacy {IP} --level sslv3 --for 30d --reason TEXT",)


def test_an_rsa_certificate_is_the_first_advice_against_no_shared_cipher() -> None:
    (decision,) = decided(times(0, number=0x0C1), "")
    assert "smtpd_tls_chain_files" in decision.alternatives[0]


def test_acting_is_what_changes_who_is_let_down() -> None:
    assert {Action.WAIVE, Action.EXTEND, Action.WITHDRAW} == ACTING


def test_the_manual_explains_every_rule_and_action() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
    assert [word for word in (*Rule, *Action) if f"`{word}`" not in manual] == []
