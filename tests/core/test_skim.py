"""The skim lists the worst peers as the assembler would, and counts all others."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.test_sieve import (
    CALENDAR,
    alert_after_success,
    by_lines,
    cut_off,
    failure,
    log_of,
    plaintext,
    success,
    success_at_loglevel_0,
)

from mailtls.core.assembler import Assembler
from mailtls.core.crowd import Crowd, Successes
from mailtls.core.follower import Follower
from mailtls.core.history import History
from mailtls.core.search import PLAIN, Search
from mailtls.core.skim import Skim

REGULAR = (success, plaintext, failure, cut_off, alert_after_success)


def skimmed(
    lines: list[bytes], size: int, cut: int, search: Search = PLAIN, own: bytes = b"mx1 postfix/smtpd"
) -> tuple[History, Skim]:
    """Two passes over two parts, as over the halves of a file."""
    blocks = [b"\n".join(lines[i : i + size]) + b"\n" for i in range(0, len(lines), size)]
    first, second = Skim(16, search), Skim(16, search)
    for number, block in enumerate(blocks):
        (first if number < cut else second).read(block)
    first.end(second)
    history = History()
    wanted: set[bytes] = set()
    for shapes in (*first.lanes.values(), first.logins):
        wanted |= set(Crowd(shapes, CALENDAR).failing())
    followers = Follower(16, frozenset(wanted), search, own), Follower(16, frozenset(wanted), search, own)
    for number, block in enumerate(blocks):  # by whoever comes first
        followers[number * 7 % 3 % 2].follow(block, number)
    followers[0].join(*followers[1].parcel())
    first.take(followers[0])
    assembler = Assembler(CALENDAR)
    for session in [s for line in first.odd for s in assembler.feed(line)] + assembler.finish():
        history.record(session)
    for group in first.alerts:
        assembler = Assembler(CALENDAR)
        for session in [s for line in group for s in assembler.feed(line)] + assembler.finish():
            history.record(session)
    for shapes in (*first.lanes.values(), first.logins):
        crowd = Crowd(shapes, CALENDAR)
        crowd.settle_these(history, wanted)
        history.crowds.append(crowd)
    history.crowds.append(Successes(first))
    return history, first


def failures_of(history: History) -> Counter:
    rows: Counter = Counter()
    for ip, _, verdict, tally in history.rows():
        if verdict.outcome == "tls_failed":
            rows[ip, verdict] += tally.count
    return rows


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 80), data=st.data())
def test_every_failure_is_found_however_the_log_is_cut(seed: int, sessions: int, data: st.DataObject) -> None:
    lines = log_of(seed, sessions, (success, plaintext, failure, cut_off))
    cut = data.draw(st.integers(0, len(lines) // 50 + 1))
    assert failures_of(skimmed(lines, 50, cut)[0]) == failures_of(by_lines(lines))


@pytest.mark.parametrize("own", [b"mx1 postfix/smtpd", b"mx1 postfix/submission/smtpd", b""])
def test_followed_peers_have_their_successes_and_mails(own: bytes) -> None:
    lines = log_of(3, 400, (success, plaintext, failure, cut_off))
    fast, slow = skimmed(lines, 100, 3, own=own)[0], by_lines(lines)
    failing = {ip for ip, peer in slow.peers.items() if peer.failing and ip.startswith("192.0.2.")}
    assert len(failing) > 10
    for ip in failing:
        mine, theirs = fast.peers[ip], slow.peers[ip]
        assert {v: t.count for v, t in mine.verdicts.items()} == {v: t.count for v, t in theirs.verdicts.items()}
        assert mine.mail.count == theirs.mail.count
        assert mine.cleartext_mail.count == theirs.cleartext_mail.count


def test_totals_count_everybody() -> None:
    lines = log_of(9, 400, (success, plaintext, failure, cut_off))
    fast, slow = skimmed(lines, 100, 2)[0].totals(), by_lines(lines).totals()
    kinds = {"tls_ok", "no_starttls", "tls_failed"}

    def by_outcome(totals: Counter) -> Counter:
        found: Counter = Counter()
        for (service, outcome, _, reason, version, cipher), count in totals.items():
            if outcome in kinds and service in ("smtpd", "submission"):
                found[outcome, reason, version, cipher] += count
        return found

    assert by_outcome(fast) == by_outcome(slow)


def test_an_alert_behind_a_success_is_the_failure_of_that_session() -> None:
    lines = log_of(4, 60, (alert_after_success,))
    found = failures_of(skimmed(lines, 200, 99)[0])
    assert {verdict.reason for _, verdict in found} <= {"tlsv1 alert unknown ca", "sslv3 alert certificate unknown",
                                                          "Connection reset by peer", None}  # fmt: skip
    expected = failures_of(by_lines(lines))
    assert {key for key in found if key[1].reason == "tlsv1 alert unknown ca"} <= set(expected)
    assert sum(found.values()) > 20


@pytest.mark.parametrize(("kinds", "regular"), [(REGULAR, True), ((success_at_loglevel_0,), False)])
def test_a_log_whose_successes_are_not_logged_is_not_regular(kinds: tuple, regular: bool) -> None:
    lines = log_of(6, 300, kinds)
    assert skimmed(lines, 200, 2)[1].regular is regular


def test_failures_of_a_process_without_its_chain_file_are_not_charged_to_the_peer() -> None:
    head = "Nov 20 10:00:00 mx1 postfix/smtpd[1]:"
    said = (
        "warning: error opening chain file: /x.pem: No such file or directory",
        "warning: TLS library problem: error:80000002:system library::No such file or directory:x.c:308:",
    )
    lines = [f"{head} {text}".encode() for text in (*said, *failure("mx.example[192.0.2.1]"))]
    history, _ = skimmed(lines, 50, 9)
    outcomes = {verdict.outcome for ip, _, verdict, _ in history.rows() if ip == "192.0.2.1"}
    assert outcomes == {"server_tls_broken"}
