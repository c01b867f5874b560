"""What sessions add up to: per peer, per kind, with times and proof; bounded whatever comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import history as history_module
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.history import (
    EVIDENCE_LINES,
    STATEMENTS,
    TIMES_PER_PEER,
    VERDICTS_PER_PEER,
    History,
    Tally,
    verdict_of,
)
from mailtls.core.peer import Peer
from mailtls.core.session import Session

T0 = datetime(2024, 11, 21, tzinfo=UTC)
FAILED = Session(
    T0, Peer("192.0.2.1", "mx.example.net"), Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, Cause.PEER_TOO_OLD,
    "unsupported protocol", 0x102, lines=("one", "two"),
)  # fmt: skip
OK = replace(
    FAILED, outcome=Outcome.TLS_OK, cause=Cause.NONE, reason=None, reason_number=None, tls_version="TLSv1.3", lines=()
)
PLAIN = replace(
    OK, outcome=Outcome.NO_STARTTLS, tls_version=None, commands="ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"
)


def at(minutes: int, session: Session = FAILED, ip: str = "192.0.2.1") -> Session:
    return replace(session, at=T0 + timedelta(minutes=minutes), peer=Peer(ip, "mx.example.net"))


def recorded(*sessions: Session) -> History:
    history = History()
    for session in sessions:
        history.record(session)
    return history


def test_equal_sessions_are_one_row_with_first_and_last() -> None:
    history = recorded(at(5), at(1), at(9))
    ((ip, name, verdict, tally),) = history.rows()
    assert (ip, name, verdict) == ("192.0.2.1", "mx.example.net", verdict_of(FAILED))
    assert tally == Tally(3, T0 + timedelta(minutes=1), T0 + timedelta(minutes=9))


@pytest.mark.parametrize(
    "change",
    [
        {"service": Service.SMTPS}, {"door": Door.LEGACY}, {"outcome": Outcome.SERVER_TLS_BROKEN}, {"reason": "x"},
        {"cause": Cause.UNKNOWN}, {"peer": Peer("192.0.2.2")},
    ],
)  # fmt: skip
def test_sessions_that_differ_in_what_a_report_shows_are_two_rows(change: dict[str, object]) -> None:
    assert len(list(recorded(FAILED, replace(FAILED, **change)).rows())) == 2  # type: ignore[arg-type]


def test_versions_and_ciphers_of_successes_are_told_apart() -> None:
    other = replace(OK, tls_version="TLSv1.2")
    assert len(list(recorded(OK, other, replace(other, cipher="X")).rows())) == 3


def test_the_reason_of_a_success_is_no_row_of_its_own() -> None:
    assert len(list(recorded(OK, replace(OK, reason="unexpected record")).rows())) == 1


def test_a_known_name_is_kept_over_unknown() -> None:
    history = recorded(
        replace(FAILED, peer=Peer("192.0.2.1", "unknown")), FAILED, replace(FAILED, peer=Peer("192.0.2.1"))
    )
    assert history.peers["192.0.2.1"].name == "mx.example.net"


def test_a_count_may_stand_for_many_sessions() -> None:
    history = History()
    history.record(FAILED, 40, T0 + timedelta(hours=1))
    assert history.peers["192.0.2.1"].tally(Outcome.TLS_FAILED) == Tally(40, T0, T0 + timedelta(hours=1))


def test_faults_of_the_server_are_rows_of_nobody() -> None:
    server = replace(FAILED, peer=None, outcome=Outcome.SERVER_TLS_BROKEN, cause=Cause.SERVER_MISCONFIGURED)
    history = recorded(FAILED, server, server)
    assert [(ip, tally.count) for ip, _, _, tally in history.rows()] == [("192.0.2.1", 1), (None, 2)]
    assert len(history.peers) == 1


def test_only_failures_make_a_peer_failing_and_leave_proof_and_times() -> None:
    quiet = recorded(OK, PLAIN).peers["192.0.2.1"]
    assert not quiet.failing
    assert (quiet.evidence, quiet.failed_at) == ([], [])
    failing = recorded(OK, at(3)).peers["192.0.2.1"]
    assert failing.failing
    assert failing.evidence == ["one", "two"]
    assert failing.failed_at == [T0 + timedelta(minutes=3)]


@pytest.mark.parametrize(
    ("session", "mail", "cleartext", "refused"),
    [
        (replace(OK, delivered=True), 1, 0, 0),
        (OK, 0, 0, 0),
        (replace(PLAIN, delivered=True), 1, 1, 0),
        (replace(PLAIN, commands="ehlo=1 quit=1 commands=2"), 0, 0, 1),
        (replace(PLAIN, commands="ehlo=1 quit=1 commands=2", delivered=True), 1, 1, 0),
        (replace(PLAIN, commands="ehlo=1 mail=0/1 quit=1 commands=2/3"), 0, 0, 0),
        (replace(PLAIN, commands="helo=1 quit=1 commands=2"), 0, 0, 0),
        (replace(PLAIN, commands=None), 0, 0, 0),
    ],
)
def test_mail_and_cleartext_are_told_apart(session: Session, mail: int, cleartext: int, refused: int) -> None:
    peer = recorded(session).peers["192.0.2.1"]
    assert (peer.mail.count, peer.cleartext_mail.count, peer.cleartext_refused.count) == (mail, cleartext, refused)


def test_hidden_starttls_is_counted() -> None:
    assert recorded(replace(PLAIN, hidden=True), PLAIN).peers["192.0.2.1"].hidden.count == 1


def test_sessions_without_time_are_counted() -> None:
    peer = recorded(replace(FAILED, at=None), FAILED).peers["192.0.2.1"]
    assert peer.tally(Outcome.TLS_FAILED) == Tally(2, T0, T0)
    assert peer.failed_at == [T0]


def test_one_peer_takes_no_more_than_its_room() -> None:
    history = recorded(
        *(replace(at(number), reason=f"reason {number}", lines=(f"line {number}",)) for number in range(500))
    )
    peer = history.peers["192.0.2.1"]
    assert len(peer.verdicts) == VERDICTS_PER_PEER
    assert len(peer.evidence) <= EVIDENCE_LINES
    assert len(peer.failed_at) <= TIMES_PER_PEER
    assert history.sessions_left_out == 500 - VERDICTS_PER_PEER


def test_more_peers_than_there_is_room_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "QUIET_PEERS", 10)
    monkeypatch.setattr(history_module, "FAILING_PEERS", 5)
    history = recorded(
        *(at(0, OK, f"192.0.2.{number}") for number in range(40)),
        *(at(0, FAILED, f"198.51.100.{number}") for number in range(40)),
    )
    assert len(history.peers) == 15
    assert sum(peer.failing for peer in history.peers.values()) == 5
    assert history.peers_left_out == 30 + 35
    assert history.sessions_left_out == 30 + 35


def test_the_server_may_say_only_so_much() -> None:
    history = recorded(*(replace(FAILED, peer=None) for _ in range(STATEMENTS * 3)))
    assert len(history.server) == STATEMENTS


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from([FAILED, OK, PLAIN]), st.integers(1, 3)), max_size=30))
def test_every_session_is_in_exactly_one_row(played: list[tuple[int, Session, int]]) -> None:
    history = recorded(*(at(minute, session, f"192.0.2.{ip}") for minute, session, ip in played))
    assert sum(tally.count for *_, tally in history.rows()) == len(played)
    for outcome in Outcome:
        counted = sum(peer.tally(outcome).count for peer in history.peers.values())
        assert counted == sum(session.outcome is outcome for _, session, _ in played)
    for *_, tally in history.rows():
        assert tally.first is not None
        assert tally.last is not None
        assert tally.first <= tally.last
