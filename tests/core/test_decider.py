"""The decider over time: the life of waivers, the server's own fault, bounded memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailtls.core.action import Action
from mailtls.core.cause import Door, Service
from mailtls.core.decider import Decider
from mailtls.core.level import Level
from mailtls.core.peer import Peer
from mailtls.core.policy import Policy
from mailtls.core.session import Session
from mailtls.core.waiver import Origin, Waiver

from .screenplay import (
    DAY,
    HOUR,
    IP,
    NAME,
    WAIVE,
    broken,
    decided,
    failed,
    known,
    left,
    moment,
    policy,
    words,
    worked,
    wrote,
)

FAILS = [failed(0), failed(5), failed(10)]
GRANTED = "waive threshold legacy"
CLEARTEXT = WAIVE.replace('"legacy"', '"cleartext"') + '[limits]\nautomatic = ["cleartext"]'
BY_CLEARTEXT = "waive threshold cleartext"


# The life of waivers.


def test_a_waiver_that_is_not_used_ends_by_itself() -> None:
    decisions = decided([*FAILS, wrote(31 * DAY, ip="198.51.100.1")])
    assert words(decisions) == [GRANTED, "withdraw expired legacy"]
    assert decisions[1].at == moment(10 + 30 * DAY)
    assert "not used in the second half" in decisions[1].reasons[0]


def test_it_ends_when_it_is_told_the_time_too() -> None:
    decider = Decider(policy())
    for session in FAILS:
        decider.feed(session)
    end = moment(10 + 30 * DAY)
    assert end is not None
    assert decider.next_expiry() == end
    assert decider.expire(end - timedelta(seconds=1)) == ()
    assert words(decider.expire(end)) == ["withdraw expired legacy"]
    assert decider.waivers == ()
    assert decider.next_expiry() is None


def test_use_in_the_first_half_of_its_life_does_not_renew_it() -> None:
    assert words(decided([*FAILS, failed(10 * DAY), worked(14 * DAY, "TLSv1", door=Door.LEGACY)])) == [GRANTED]


@pytest.mark.parametrize(
    "use", [failed(20 * DAY), worked(20 * DAY, "TLSv1", door=Door.LEGACY)], ids=["needed at strict", "used at the door"]
)
def test_use_in_the_second_half_renews_it(use: Session) -> None:
    decisions = decided([*FAILS, use])
    assert words(decisions) == [GRANTED, "extend used legacy"]
    assert decisions[1].until == moment(50 * DAY)


def test_however_much_it_is_used_it_ends_at_the_longest_time_and_then_a_person_is_asked() -> None:
    uses = [failed(day * DAY) for day in range(1, 200)]
    decisions = decided([*FAILS, *uses, failed(200 * DAY), failed(200 * DAY + 5), failed(200 * DAY + 10)])
    told = words(decisions)
    assert told[0] == GRANTED
    assert set(told[1:-2]) == {"extend used legacy"}
    assert told[-2:] == ["withdraw expired legacy", "propose longest legacy"]
    assert decisions[-3].until == moment(10 + 180 * DAY)
    assert "for the last time" in decisions[-3].reasons[0]
    assert decisions[-2].at == moment(10 + 180 * DAY)


def test_an_unused_waiver_that_ended_can_be_earned_again() -> None:
    again = [failed(40 * DAY), failed(40 * DAY + 5), failed(40 * DAY + 10)]
    assert words(decided([*FAILS, *again])) == [GRANTED, "withdraw expired legacy", GRANTED]


def test_a_peer_that_completes_tls_at_the_strict_door_has_outgrown_its_waiver() -> None:
    decisions = decided([*FAILS, worked(DAY)])
    assert words(decisions) == [GRANTED, "withdraw outgrown legacy"]
    assert "completed TLSv1.2 at the strict door" in decisions[1].reasons[0]
    assert decisions[1].evidence[-1].startswith("smtpd: TLS connection established")


def test_a_peer_that_gets_at_its_door_what_strict_gives_to_others_has_outgrown_it() -> None:
    others = worked(DAY, ip="198.51.100.1")
    at_door = worked(2 * DAY, door=Door.LEGACY)
    assert words(decided([*FAILS, others, at_door])) == [GRANTED, "withdraw outgrown legacy"]
    assert words(decided([*FAILS, at_door])) == [GRANTED], "strict may not have that suite"
    assert words(decided([*FAILS, others, worked(2 * DAY, "TLSv1", door=Door.LEGACY)])) == [GRANTED]


def test_twenty_deliveries_at_the_door_keep_the_waiver() -> None:
    others = worked(DAY, cipher="ECDHE-ECDSA-AES256-GCM-SHA384", ip="198.51.100.1")
    uses = [worked(DAY + minute, door=Door.LEGACY) for minute in range(20)]
    assert words(decided([*FAILS, others, *uses])) == [GRANTED]


def test_a_peer_that_rejects_the_doors_certificate_is_not_helped() -> None:
    decisions = decided([*FAILS, failed(20, 0x418, door=Door.LEGACY), failed(30), failed(35), failed(41)])
    assert words(decisions) == [GRANTED, "withdraw useless legacy", "advise useless"]
    assert "does not accept the certificate" in decisions[1].reasons[0]
    assert "was tried and did not help" in decisions[2].reasons[0]


def test_a_peer_that_only_fails_at_its_door_is_not_helped() -> None:
    tries = [failed(minute, 0x0C1, door=Door.LEGACY) for minute in (20, 30, 40)]
    assert words(decided([*FAILS, *tries[:2]])) == [GRANTED]
    assert words(decided([*FAILS, *tries])) == [GRANTED, "withdraw useless legacy"]
    served = worked(15, "TLSv1", door=Door.LEGACY)
    assert words(decided([*FAILS, served, *tries])) == [GRANTED]


def test_a_peer_from_which_starttls_was_hidden_and_that_left_refuses_cleartext() -> None:
    again = [failed(30), failed(35), failed(41)]
    decisions = decided([*FAILS, left(20, hidden=True), *again], CLEARTEXT)
    assert words(decisions) == [BY_CLEARTEXT, "withdraw useless cleartext", "propose not_automatic legacy"]
    assert "refuses cleartext" in decisions[1].reasons[0]


@pytest.mark.parametrize(
    "sessions",
    [
        [wrote(20, hidden=True), left(21, hidden=True)],
        [left(20, hidden=True, commands="ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4")],
        [left(20, hidden=True, commands=None)],
        [left(20)],
    ],
    ids=["it has delivered so", "it tried to deliver", "no statistics", "not hidden"],
)
def test_leaving_for_another_reason_is_no_refusal(sessions: list[Session]) -> None:
    assert words(decided([*FAILS, *sessions], CLEARTEXT)) == [BY_CLEARTEXT]


def test_mail_without_tls_is_use_of_a_cleartext_waiver_only() -> None:
    assert words(decided([*FAILS, wrote(20 * DAY, hidden=True)], CLEARTEXT)) == [BY_CLEARTEXT, "extend used cleartext"]
    assert words(decided([*FAILS, wrote(20 * DAY)])) == [GRANTED]


def test_a_waived_peer_that_turns_out_to_scan_loses_its_waiver() -> None:
    decisions = decided([*FAILS, failed(11, 0x0FC), failed(12, 0x0C1)])
    assert words(decisions) == [
        GRANTED,
        "withdraw scanner legacy",
    ]
    assert "unsupported protocol, unknown protocol, no shared cipher" in decisions[1].reasons[0]


def test_an_authorised_waiver_ends_with_its_entry() -> None:
    peers = known('name = ".example.org"', "legacy", policy(""), until="2026-11-25")
    decisions = decided(FAILS, "", peers)
    assert decisions[0].until == datetime(2026, 11, 26, tzinfo=UTC)


def a_persons(days: float = 30) -> Waiver:
    end = moment(days * DAY)
    start = moment(-DAY)
    assert end is not None and start is not None
    return Waiver(IP, Level.LEGACY, "postmaster", "asked", start, end, end, Origin.PERSON)


def test_a_persons_word_is_final() -> None:
    decider = Decider(policy(), standing=[a_persons(30)])
    told = [decision for day in range(40) for decision in decider.feed(failed(day * DAY))]
    assert words(told) == ["withdraw expired legacy"], "neither renewed nor replaced while it stands"
    assert told[0].at == moment(30 * DAY)


def test_a_persons_waiver_that_is_outgrown_stays_and_is_mentioned_once() -> None:
    decider = Decider(policy(), standing=[a_persons()])
    told = [decision for day in range(3) for decision in decider.feed(worked(day * DAY))]
    assert words(told) == ["advise outgrown"]
    assert told[0].alternatives == (f"mailtlsctl revoke {IP}",)
    assert len(decider.waivers) == 1


def test_persons_waivers_do_not_use_up_the_quota() -> None:
    other = replace(a_persons(), network="198.51.100.0/24")
    decider = Decider(policy(WAIVE + "[limits]\nwaivers = 1\nper_day = 1"), standing=[other])
    assert words(decision for session in FAILS for decision in decider.feed(session)) == [GRANTED]


# Ours or theirs.


def peers_turn_bad(count: int, minute: float = 0) -> list[Session]:
    good = [worked(-2 * DAY, "TLSv1", ip=f"198.51.100.{number}") for number in range(count)]
    return [*good, *(failed(minute + number, ip=f"198.51.100.{number}") for number in range(count))]


def test_peers_that_used_to_succeed_and_fail_within_minutes_accuse_the_server() -> None:
    decisions = decided(peers_turn_bad(3), conclude=False)
    assert words(decisions) == ["advise server_fault"]
    assert decisions[0].peer is None
    assert "Several peers that used to succeed began to fail within 10 minutes, 198.51.100.2" in decisions[0].reasons[0]
    assert decisions[0].alternatives


def test_the_fault_is_over_when_they_succeed_again() -> None:
    again = [worked(5, "TLSv1", ip="198.51.100.0"), *(failed(minute) for minute in (6, 11, 16))]
    assert words(decided([*peers_turn_bad(3), *again], conclude=False))[-1] == GRANTED


def test_a_peer_can_turn_bad_again() -> None:
    alone = [failed(-DAY + hour * HOUR, ip=f"198.51.100.{hour}") for hour in range(3)]
    good = [worked(-4 * HOUR, ip=f"198.51.100.{number}") for number in range(3)]
    first = [worked(-2 * DAY, ip=f"198.51.100.{number}") for number in range(3)]
    together = [failed(number, ip=f"198.51.100.{number}") for number in range(3)]
    told = words(decided([*first, *alone, *good, *together], conclude=False))
    assert told.count("advise server_fault") == 1
    assert told[-1] == "advise server_fault"


def test_two_do_not() -> None:
    assert decided(peers_turn_bad(2), conclude=False) == []


def test_nobody_is_touched_while_the_server_is_at_fault() -> None:
    new = [failed(minute) for minute in (2.1, 7, 13, 30)]
    decider = Decider(policy())
    told = [decision for session in [*peers_turn_bad(3), *new] for decision in decider.feed(session)]
    assert words(told) == ["advise server_fault"]
    assert decider.left_alone["server_fault"] == 5, "the third of them, and four of the new one"
    assert decider.conclude() == ()


def test_what_failed_in_the_minutes_before_is_not_held_against_anybody() -> None:
    before = [failed(-30), failed(-1)]
    after = [failed(90), failed(95)]
    sessions = sorted([*before, *peers_turn_bad(3), *after], key=lambda one: one.at)  # type: ignore[arg-type,return-value]
    assert words(decided(sessions, conclude=False)) == ["advise server_fault", GRANTED], "-30, 90 and 95 count, -1 not"


def test_after_an_hour_old_peers_are_let_in_although_they_began_to_fail_together() -> None:
    later = [failed(minute, ip="198.51.100.0") for minute in (2 * HOUR, 2 * HOUR + 5, 2 * HOUR + 10)]
    assert words(decided([*peers_turn_bad(3), *later], conclude=False)) == ["advise server_fault", GRANTED]


def test_what_the_server_says_of_itself_is_said_once_and_stops_everything() -> None:
    told = decided([broken(0), broken(1), *FAILS], conclude=False)
    assert words(told) == ["advise server_fault"]
    assert told[0].evidence == ("warning: Invalid TLS protocol list: disabling TLS support",)


def test_a_client_that_suffers_from_the_server_is_not_charged() -> None:
    suffering = [broken(minute, peer=Peer(IP, NAME)) for minute in (0, 5, 10)]
    assert words(decided(suffering)) == ["advise server_fault"]


def test_dovecots_faults_are_not_port_25s() -> None:
    assert words(decided([broken(-1, Service.IMAP), *FAILS])) == [GRANTED]


def test_a_statement_without_a_time_accuses_nobody() -> None:
    assert decided([broken(None)]) == []


def test_cut_connections_do_not_accuse_the_server() -> None:
    good = [worked(-DAY, ip=f"198.51.100.{number}") for number in range(5)]
    cut = [failed(number, None, ip=f"198.51.100.{number}") for number in range(5)]
    assert "advise server_fault" not in words(decided([*good, *cut]))


# Order, stamps, memory.


def test_lines_older_than_the_policy_looks_back_only_teach() -> None:
    decider = Decider(policy())
    told = [one for session in [wrote(3 * DAY, ip="198.51.100.1"), *FAILS] for one in decider.feed(session)]
    assert told == []
    assert decider.left_alone["too_old"] == 3
    assert words(one for minute in (0, 5, 10) for one in decider.feed(failed(3 * DAY + minute))) == [GRANTED]


def test_times_without_offset_are_taken_for_utc() -> None:
    naive = [replace(session, at=session.at.replace(tzinfo=None)) for session in FAILS if session.at]
    assert decided(naive) == decided(FAILS)


def test_what_is_left_alone_is_counted() -> None:
    decider = Decider(policy())
    for session in (failed(0, service=Service.IMAP), failed(0, ip="unknown"), worked(0, service=Service.IMAP)):
        decider.feed(session)
    assert decider.left_alone == {"other_service": 1, "no_address": 1}


def test_concluding_changes_nothing_and_says_what_was_not_said() -> None:
    decider = Decider(policy())
    decider.feed(failed(0))
    decider.feed(failed(1, ip="192.0.2.8"))
    assert decider.conclude() == decider.conclude()
    assert [(str(one.peer), one.at) for one in decider.conclude()] == [
        (f"{NAME}[{IP}]", moment(0)),
        (f"{NAME}[192.0.2.8]", moment(1)),
    ]


def test_a_million_strangers_win_nothing_and_are_forgotten() -> None:
    decider = Decider(policy(), peers=100)
    for session in (
        worked(-DAY),
        *(failed(number / 1000, ip=f"10.0.{number >> 8}.{number & 255}") for number in range(5000)),
    ):
        assert not [one for one in decider.feed(session) if one.action is Action.WAIVE]
    assert len(decider.conclude()) == 100
    assert words(one for session in FAILS for one in decider.feed(session)) == ["advise good_history"]


def test_a_waived_peer_is_not_forgotten_in_a_flood() -> None:
    decider = Decider(policy(), peers=10)
    flood = [failed(11 + number / 1000, ip=f"10.0.{number >> 8}.{number & 255}") for number in range(1000)]
    told = [one for session in [*FAILS, *flood] for one in decider.feed(session)]
    assert words(told) == [GRANTED]
    (ended,) = decider.expire(decider.waivers[0].until)
    assert str(ended.peer) == f"{NAME}[{IP}]"


def test_an_empty_policy_never_acts() -> None:
    told = decided([*FAILS, failed(20, 0x18C), failed(30, 0x0C1), failed(40, 0x10B)], Policy())
    assert {one.action for one in told} == {Action.ADVISE}
