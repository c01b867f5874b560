"""What Postfix is answered about one message, and why."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Door
from mailtls.core.level import Level
from mailtls.core.peermap import PeerMap
from mailtls.core.postfixview import Offering
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import NUMBERS, SSLV3, TLS12, TLS13
from mailtls.core.verdict import (
    DUNNO,
    Answer,
    Ground,
    Guard,
    Phase,
    Proof,
    Requirement,
    Snapshot,
    Terms,
    domain_of,
    judge,
)
from mailtls.core.waiver import WaiverLimits

PORTS = {"10125": Door.LEGACY_RSA, "10225": Door.LEGACY}
ARRIVED = SmtpFacts(
    protocol_state=Stage.DATA,
    client_address="192.0.2.1",
    client_name="mx.example.net",
    server_port="25",
    sender="a@example.net",
    recipient="b@example.org",
    size=1000,
    encryption_protocol="TLSv1.3",
)
AT_DOOR = replace(ARRIVED, server_port="10225", encryption_protocol="TLSv1")
PROVEN = Snapshot(ports=PORTS, guard=Guard(Answer.DEFER, 20), proven={"192.0.2.1": Proof(20, TLS13)})


def waived(level: Level = Level.LEGACY, **limits: Any) -> Snapshot:
    return Snapshot(ports=PORTS, waivers=PeerMap({"192.0.2.0/24": Terms(level, WaiverLimits(**limits))}))


def of_peer(key: str, lowest: int = TLS12, **texts: str) -> Snapshot:
    return Snapshot(ports=PORTS, required_of_peers=PeerMap({key: Requirement(lowest, **texts)}))


def of_domain(key: str, lowest: int = TLS12, **texts: str) -> Snapshot:
    return Snapshot(ports=PORTS, required_of_domains=PeerMap({key: Requirement(lowest, **texts)}))


@pytest.mark.parametrize("protocol", ["", "TLSv1", "TLSv1.2", "TLSv1.4"])
@pytest.mark.parametrize("port", ["25", "10225"])
@pytest.mark.parametrize("stage", Stage)
def test_who_has_nothing_against_him_is_never_touched(stage: Stage, port: str, protocol: str) -> None:
    facts = replace(ARRIVED, protocol_state=stage, server_port=port, encryption_protocol=protocol)
    others = Snapshot(
        guard=Guard(Answer.REJECT, 0),
        ports=PORTS,
        proven={"198.51.100.1": Proof(1000)},
        waivers=PeerMap({"198.51.100.1": Terms(Level.LEGACY, WaiverLimits(("x.example",), ("x@y.example",), 1))}),
        required_of_peers=PeerMap({"198.51.100.0/24": Requirement(), ".example.com": Requirement()}),
        required_of_domains=PeerMap({".example.com": Requirement()}),
    )
    assert judge(facts, Snapshot()) == DUNNO
    assert judge(facts, others) == DUNNO


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("", Answer.DEFER),
        ("TLSv1", Answer.DEFER),
        ("TLSv1.1", Answer.DEFER),
        ("TLSv1.2", Answer.DUNNO),
        ("TLSv1.3", Answer.DUNNO),
        ("TLSv1.4", Answer.DUNNO),
    ],
)
def test_a_proven_peer_that_comes_with_less_than_tls_1_2_is_a_downgrade(protocol: str, answer: Answer) -> None:
    verdict = judge(replace(ARRIVED, encryption_protocol=protocol), PROVEN)
    assert verdict.answer is answer
    assert verdict.ground is (Ground.DOWNGRADE if answer is Answer.DEFER else Ground.NOTHING)


@pytest.mark.parametrize(("sessions", "ground"), [(19, Ground.NOTHING), (20, Ground.DOWNGRADE)])
def test_it_takes_so_many_sessions_to_be_proven(sessions: int, ground: Ground) -> None:
    snapshot = replace(PROVEN, proven={"192.0.2.1": Proof(sessions)})
    assert judge(replace(ARRIVED, encryption_protocol=""), snapshot).ground is ground


def test_by_default_a_downgrade_is_noted_and_nothing_is_done() -> None:
    assert Snapshot().guard.answer is Answer.NOTE


def test_a_downgrade_says_who_what_and_what_it_looks_like() -> None:
    said = judge(replace(ARRIVED, encryption_protocol=""), PROVEN)
    assert said.reason.startswith("mx.example.net[192.0.2.1]: downgrade: cleartext, after 20 sessions")
    assert "an attacker on the path" in said.reason
    assert said.reason.endswith("see mailtlsctl explain 192.0.2.1")
    assert said.text == "Your earlier sessions were encrypted with TLSv1.3, this one is not"
    weaker = judge(replace(ARRIVED, encryption_protocol="TLSv1"), PROVEN)
    assert weaker.text == "Your earlier sessions used TLSv1.3, this one uses a weaker version"


def test_a_stamp_is_a_header() -> None:
    snapshot = replace(PROVEN, guard=Guard(Answer.STAMP, 1))
    verdict = judge(replace(ARRIVED, encryption_protocol="TLSv1"), snapshot)
    assert (verdict.answer, verdict.text) == (Answer.STAMP, "MailTLS-Downgrade: TLSv1; expected TLSv1.3")


def test_a_person_may_let_a_proven_peer_down_and_the_guard_keeps_quiet() -> None:
    assert judge(AT_DOOR, PROVEN) == DUNNO
    terms = PeerMap({"192.0.2.1": Terms(Level.CLEARTEXT)})
    assert judge(replace(ARRIVED, encryption_protocol=""), replace(PROVEN, waivers=terms)) == DUNNO
    lower = judge(replace(ARRIVED, encryption_protocol="TLSv1"), replace(PROVEN, waivers=terms))
    assert lower.ground is Ground.DOWNGRADE
    legacy = PeerMap({"192.0.2.1": Terms(Level.LEGACY)})
    assert judge(replace(ARRIVED, encryption_protocol=""), replace(PROVEN, waivers=legacy)).ground is Ground.DOWNGRADE


@pytest.mark.parametrize(
    ("snapshot", "ground"),
    [
        (of_peer("192.0.2.1"), Ground.NOT_PROTECTED_ENOUGH),
        (of_peer("192.0.2.0/24"), Ground.NOT_PROTECTED_ENOUGH),
        (of_peer(".example.net"), Ground.NOT_PROTECTED_ENOUGH),
        (of_peer("example.net"), Ground.NOTHING),
        (of_peer("192.0.2.1", SSLV3), Ground.NOTHING),
        (of_domain("example.net"), Ground.NOT_PROTECTED_ENOUGH),
        (of_domain(".net"), Ground.NOT_PROTECTED_ENOUGH),
        (of_domain("mx.example.net"), Ground.NOTHING),
    ],
)
def test_a_floor_is_required_of_a_peer_or_of_a_senders_domain(snapshot: Snapshot, ground: Ground) -> None:
    verdict = judge(AT_DOOR, snapshot)
    assert verdict.ground is ground
    assert verdict.answer is (Answer.DEFER if ground is not Ground.NOTHING else Answer.DUNNO)
    assert judge(ARRIVED, snapshot) == DUNNO


def test_any_tls_at_all_can_be_required() -> None:
    assert judge(replace(ARRIVED, encryption_protocol=""), of_domain("example.net", SSLV3)).answer is Answer.DEFER


def test_of_two_requirements_the_higher_is_said() -> None:
    both = replace(of_domain("example.net", TLS13), required_of_peers=of_peer("192.0.2.1").required_of_peers)
    assert "asks for TLSv1.3 of its sender's domain" in judge(AT_DOOR, both).reason


def test_behind_the_gateway_cleartext_is_counted_as_sslv3() -> None:
    facts = replace(ARRIVED, encryption_protocol="", policy_context="mailtls-sslv3")
    assert judge(facts, of_domain("example.net", SSLV3)) == DUNNO
    assert "gateway" in judge(facts, of_domain("example.net")).reason


def test_the_client_reads_the_operators_own_text_and_url() -> None:
    said = judge(AT_DOOR, of_domain("example.net", text="TLS 1.2 please", url="https://example.org/tls"))
    assert said.text == "TLS 1.2 please https://example.org/tls"
    assert judge(AT_DOOR, of_domain("example.net")).text == "This site takes such mail over TLSv1.2 or later only"


@pytest.mark.parametrize(
    ("sender", "ground"),
    [
        ("a@example.net", Ground.NOTHING),
        ("a@EXAMPLE.net.", Ground.NOTHING),
        ("a@sub.example.com", Ground.NOTHING),
        ("", Ground.NOTHING),  # a bounce
        ("a@example.net@evil.example", Ground.SENDER_NOT_WAIVED),
        ("@evil.example", Ground.SENDER_NOT_WAIVED),
        ("a@", Ground.SENDER_NOT_WAIVED),
        ("example.net", Ground.SENDER_NOT_WAIVED),
        ("a@" + "x." * 100_000 + "example.com", Ground.SENDER_NOT_WAIVED),
    ],
)
def test_a_waiver_may_be_for_some_sender_domains_only(sender: str, ground: Ground) -> None:
    snapshot = waived(senders=("example.net", ".example.com"))
    verdict = judge(replace(AT_DOOR, sender=sender), snapshot)
    assert verdict.ground is ground
    assert verdict.answer is (Answer.DEFER if ground is not Ground.NOTHING else Answer.DUNNO)


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize(
    ("recipient", "ground"),
    [
        ("B@Example.Org", Ground.NOTHING),
        ("any@example.com", Ground.NOTHING),
        ("c@example.org", Ground.RECIPIENT_NOT_WAIVED),
        ("postmaster", Ground.RECIPIENT_NOT_WAIVED),
        ("", Ground.NOTHING),  # several of them, each of which RCPT has seen
    ],
)
def test_a_waiver_may_be_for_some_recipients_only(stage: Stage, recipient: str, ground: Ground) -> None:
    snapshot = waived(recipients=("b@example.org", "example.com"))
    assert judge(replace(AT_DOOR, protocol_state=stage, recipient=recipient), snapshot).ground is ground


@pytest.mark.parametrize("stage", [Stage.DATA, Stage.END_OF_MESSAGE])
@pytest.mark.parametrize(("size", "ground"), [(0, Ground.NOTHING), (999, Ground.NOTHING), (1000, Ground.TOO_LARGE)])
def test_a_waiver_may_be_for_small_mail_only(stage: Stage, size: int, ground: Ground) -> None:
    assert judge(replace(AT_DOOR, protocol_state=stage, size=size), waived(size=999)).ground is ground


@pytest.mark.parametrize(
    ("level", "facts", "used"),
    [
        (Level.LEGACY, AT_DOOR, True),
        (Level.LEGACY, ARRIVED, False),
        (Level.LEGACY, replace(ARRIVED, encryption_protocol=""), False),
        (Level.CLEARTEXT, replace(ARRIVED, encryption_protocol=""), True),
        (Level.CLEARTEXT, ARRIVED, False),
        (Level.SSLV3, replace(ARRIVED, encryption_protocol="", policy_context="mailtls-sslv3"), True),
    ],
)
def test_limits_hold_only_where_the_waiver_is_made_use_of(level: Level, facts: SmtpFacts, used: bool) -> None:
    assert (judge(facts, waived(level, size=10)).ground is Ground.TOO_LARGE) is used


HARD = Offering(
    versions=("TLSv1.2", "TLSv1.3"),
    certificates=(KeyType.ECDSA,),
    ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
)


@pytest.mark.parametrize(
    ("protocol", "cipher", "strict", "held"),
    [
        ("TLSv1.3", "TLS_AES_256_GCM_SHA384", HARD, False),
        ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", HARD, False),
        ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", HARD, True),  # for which the strict door has no certificate
        ("TLSv1.2", "AES128-SHA", HARD, True),
        ("TLSv1.2", "", HARD, True),
        ("TLSv1", "ECDHE-ECDSA-AES128-GCM-SHA256", HARD, True),
        ("TLSv1.4", "TLS_AES_256_GCM_SHA384", HARD, True),
        ("", "", HARD, True),
        ("TLSv1.3", "TLS_AES_256_GCM_SHA384", Offering(versions=("TLSv1.2",)), True),
        ("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, True),
    ],
)
def test_a_waived_peer_that_needs_its_door_no_more_is_not_held_to_limits(
    protocol: str, cipher: str, strict: Offering | None, held: bool
) -> None:
    """Until its waiver is withdrawn it comes by the door whatever it can do: a limit would make its mail bounce."""
    facts = replace(AT_DOOR, encryption_protocol=protocol, encryption_cipher=cipher)
    verdict = judge(facts, replace(waived(senders=("x.example",)), strict=strict))
    assert verdict.ground is (Ground.SENDER_NOT_WAIVED if held else Ground.NOTHING)
    assert "outdated" not in verdict.text, "a door may be for the kind of certificate only"


def test_the_gravest_verdict_counts() -> None:
    snapshot = replace(of_domain("example.net"), proven=PROVEN.proven)
    plain = replace(ARRIVED, encryption_protocol="")
    assert judge(plain, snapshot).ground is Ground.NOT_PROTECTED_ENOUGH
    rejecting = replace(snapshot, guard=Guard(Answer.REJECT))
    assert judge(plain, rejecting).ground is Ground.DOWNGRADE
    assert judge(plain, rejecting).answer is Answer.REJECT


def test_users_that_have_logged_in_are_not_judged() -> None:
    user = replace(ARRIVED, encryption_protocol="", sasl_method="plain", sasl_username="a")
    assert judge(user, PROVEN) == DUNNO


OWN = PeerMap({"192.0.2.0/24": True})
PLAIN = replace(ARRIVED, encryption_protocol="", queue_id="4Xy")


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot(phases=(Phase(TLS12, 100, Answer.REJECT, cleartext=True),)),
        replace(PROVEN, guard=Guard(Answer.REJECT, 20)),
        of_domain("example.net"),
    ],
)
def test_the_sites_own_networks_are_not_judged(snapshot: Snapshot) -> None:
    """The question stands in front of permit_mynetworks: an application in the house sends in cleartext."""
    assert judge(PLAIN, snapshot).answer in (Answer.DEFER, Answer.REJECT)
    assert judge(PLAIN, replace(snapshot, own=OWN)) == DUNNO
    assert judge(PLAIN, replace(snapshot, own=PeerMap({"192.0.2.0/31": True}))) == DUNNO
    assert judge(PLAIN, replace(snapshot, own=PeerMap({"192.0.2.0/32": True}))) != DUNNO, "a neighbour is none of them"


def test_what_a_person_requires_of_a_peer_by_its_address_is_required_in_the_house_too() -> None:
    both = replace(of_domain("example.net", TLS13), required_of_peers=of_peer("192.0.2.1").required_of_peers, own=OWN)
    verdict = judge(PLAIN, both)
    assert (verdict.answer, verdict.ground) == (Answer.DEFER, Ground.NOT_PROTECTED_ENOUGH)
    assert "asks for TLSv1.2 of this peer" in verdict.reason


@pytest.mark.parametrize("address", ["$(reboot)", "fe80::1%$(reboot)", "unknown", ""])
def test_only_an_address_becomes_part_of_a_command(address: str) -> None:
    verdict = judge(replace(AT_DOOR, client_address=address), of_domain("example.net"))
    assert verdict.reason.endswith("see mailtlsctl status")


@pytest.mark.parametrize(
    ("address", "domain"),
    [("a@B.c", "b.c"), ('"x@y"@b.c.', "b.c"), ("", ""), ("local", ""), ("a@", ""), ("@b.c", "b.c")],
)
def test_a_domain_is_what_follows_the_last_at(address: str, domain: str) -> None:
    assert domain_of(address) == domain


HOSTILE = st.text(max_size=80)


@given(
    st.builds(
        SmtpFacts,
        protocol_state=st.sampled_from(Stage),
        client_address=st.one_of(st.just("192.0.2.1"), HOSTILE),
        client_name=HOSTILE,
        helo_name=HOSTILE,
        server_port=st.sampled_from(["25", "10225"]),
        sender=st.one_of(st.just("a@example.net"), HOSTILE),
        recipient=HOSTILE,
        size=st.integers(0, 2000),
        encryption_protocol=st.one_of(st.sampled_from(["", "TLSv1", "TLSv1.2"]), HOSTILE),
    ),
    st.sampled_from(Answer),
    st.sampled_from(NUMBERS),
)
def test_nothing_that_a_stranger_wrote_leaves_raw(facts: SmtpFacts, answer: Answer, lowest: int) -> None:
    snapshot = replace(
        waived(senders=("x.example",), recipients=("y.example",), size=1000),
        guard=Guard(answer, 1),
        proven=PROVEN.proven,
        required_of_domains=PeerMap({"example.net": Requirement(lowest)}),
    )
    verdict = judge(facts, snapshot)
    for text in (verdict.text, verdict.reason):
        assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)
    assert (verdict.answer is Answer.DUNNO) is (not verdict.text and not verdict.reason) or answer is Answer.DUNNO
    for strange in (facts.sender, facts.recipient, facts.helo_name):
        if len(strange) > 30:
            assert strange not in verdict.text


def phased(percent: int, answer: Answer = Answer.DEFER, **fields: Any) -> Snapshot:
    return Snapshot(ports=PORTS, phases=(Phase(TLS12, percent, answer, **fields),))


OLD = replace(ARRIVED, encryption_protocol="TLSv1", queue_id="4Xy")


def drawn(snapshot: Snapshot, facts: SmtpFacts = OLD, attempts: int = 2000) -> float:
    """The part of attempts, each with a queue id of its own, that is not let through."""
    answers = [judge(replace(facts, queue_id=f"4Xy{number}"), snapshot).answer for number in range(attempts)]
    return sum(answer is not Answer.DUNNO for answer in answers) / attempts


@pytest.mark.parametrize("percent", [0, 5, 50, 95, 100])
def test_a_stage_defers_as_many_attempts_as_it_says(percent: int) -> None:
    assert abs(drawn(phased(percent)) - percent / 100) < 0.05


def test_the_same_message_always_draws_the_same_lot() -> None:
    snapshot = phased(50)
    verdicts = {judge(replace(OLD, instance=f"a{number}", helo_name="x" * number), snapshot) for number in range(20)}
    assert len(verdicts) == 1, "both interfaces give the same verdict, whatever else they know"
    without = [judge(replace(OLD, queue_id="", instance=f"a{number}"), snapshot).answer for number in range(200)]
    assert len(set(without)) == 2, "before a content filter there is no queue id yet"


def unnamed(port: int | str, **others: str) -> Answer:
    """Answer a message without a queue id (smtpd_proxy_filter), of which the milter knows no instance either."""
    facts = replace(OLD, queue_id="", client_port=str(port), **others)
    return judge(facts, phased(75)).answer


def test_a_message_that_nothing_names_draws_by_its_session_so_that_a_retry_has_another_lot() -> None:
    answers = [unnamed(port) for port in range(40_000, 42_000)]
    assert abs(answers.count(Answer.DEFER) / len(answers) - 0.75) < 0.05
    assert all(unnamed(port) is unnamed(port, instance="a.1") for port in range(40_000, 40_100)), "both say the same"


@pytest.mark.parametrize("port", ["", "0", "unknown"])
def test_where_retries_cannot_be_told_apart_no_lot_is_drawn_until_everybody_is_meant(port: str) -> None:
    for number in range(200):
        facts = replace(OLD, queue_id="", client_port=port, client_address=f"192.0.2.{number}")
        assert judge(facts, phased(99)) == DUNNO
        assert judge(facts, phased(100, Answer.REJECT)).answer is Answer.REJECT


def test_only_what_is_below_the_floor_is_phased_out() -> None:
    all_of_it = phased(100)
    assert judge(OLD, all_of_it).ground is Ground.PHASED_OUT
    assert judge(replace(OLD, encryption_protocol="TLSv1.2"), all_of_it) == DUNNO
    assert judge(replace(OLD, encryption_protocol="TLSv1.9"), all_of_it) == DUNNO
    assert judge(replace(OLD, encryption_protocol=""), all_of_it) == DUNNO, "no TLS at all is another matter"
    assert judge(replace(OLD, encryption_protocol=""), phased(100, cleartext=True)).ground is Ground.PHASED_OUT
    assert judge(replace(OLD, sasl_method="PLAIN", sasl_username="u"), all_of_it) == DUNNO


def test_who_has_a_waiver_is_phased_out_only_where_the_file_says_so() -> None:
    waivers = PeerMap({"192.0.2.1": Terms(Level.LEGACY)})
    assert judge(AT_DOOR, replace(phased(100), waivers=waivers)) == DUNNO
    assert judge(AT_DOOR, replace(phased(100, waived=True), waivers=waivers)).ground is Ground.PHASED_OUT


def test_of_several_rules_that_draw_the_gravest_counts_wherever_it_stands() -> None:
    deferring, refusing = Phase(TLS13, 100), Phase(TLS12, 100, Answer.REJECT)
    for phases in ((deferring, refusing), (refusing, deferring)):
        assert judge(OLD, Snapshot(phases=phases)).answer is Answer.REJECT
        assert judge(replace(OLD, encryption_protocol="TLSv1.2"), Snapshot(phases=phases)).answer is Answer.DEFER
    first = Phase(TLS12, 100, text="The first")
    assert judge(OLD, Snapshot(phases=(first, deferring))).text == "The first", "of two that defer"


def test_the_client_reads_until_when_and_what_to_do() -> None:
    deferred = judge(OLD, phased(100, refused_on="2027-07-01", url="https://x.example/tls"))
    assert deferred.answer is Answer.DEFER
    assert deferred.text == (
        "This server delays mail over TLSv1, and will refuse it from 2027-07-01 on; please update your mail server to "
        "TLSv1.2 or later https://x.example/tls"
    )
    assert "defers 100 of 100 attempts by now and refuses all from 2027-07-01 on" in deferred.reason
    refused = judge(OLD, phased(100, Answer.REJECT))
    assert refused.answer is Answer.REJECT
    assert refused.text.startswith("This server does not take mail over TLSv1 any more")
    assert judge(OLD, phased(100, text="Our own words")).text == "Our own words"
