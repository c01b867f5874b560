"""What is remembered of one address, and that strangers cannot make it too much, or make it forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.conduct import EVIDENCE_LINE_LENGTH, EVIDENCE_LINES, KINDS, Conduct, Rooms, Series
from mailtls.core.decision import Rule
from mailtls.core.peer import Peer
from mailtls.core.rule import MOST_SESSIONS
from mailtls.core.session import Session

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def failure(reason: str | None, cause: Cause = Cause.PEER_TOO_OLD, lines: tuple[str, ...] = ()) -> Session:
    peer = Peer("192.0.2.7")
    return Session(NOW, peer, Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, cause, reason, lines=lines)


def fail(conduct: Conduct, *reasons: tuple[str | None, Cause, float]) -> None:
    for reason, cause, minutes in reasons:
        conduct.failed((cause, None), failure(reason, cause), NOW + minutes * MINUTE, DAY)


def test_failures_leave_the_series_when_they_lie_too_far_back() -> None:
    series = Series()
    for hours in (0, 1, 2, 26):
        series.add(NOW + hours * HOUR, DAY)
    assert series.times == [NOW + 2 * HOUR, NOW + 26 * HOUR]
    assert series.spread == DAY
    assert series.count == 4


@given(st.lists(st.integers(0, 1440), min_size=1, max_size=200))
def test_a_long_series_keeps_its_first_and_enough_of_the_rest(minutes: list[int]) -> None:
    minutes.sort()
    series = Series()
    for minute in minutes:
        series.add(NOW + minute * MINUTE, DAY)
    assert len(series.times) == min(len(minutes), MOST_SESSIONS)
    assert series.spread == (minutes[-1] - minutes[0]) * MINUTE


def test_a_series_without_stamps_is_counted_and_spans_nothing() -> None:
    series = Series()
    series.add(None, DAY)
    assert (series.count, series.times, series.last, series.spread) == (1, [], None, timedelta(0))


def test_three_reasons_within_minutes_and_no_mail_make_a_scanner() -> None:
    conduct = Conduct()
    old = Cause.PEER_TOO_OLD
    fail(conduct, ("unsupported protocol", old, 0), ("version too low", old, 1))
    assert not conduct.scanner
    fail(conduct, ("http request", Cause.NOT_TLS, 2))
    assert conduct.scanner


@pytest.mark.parametrize(
    "tries",
    [
        [("a", Cause.NOT_TLS, 0), ("a", Cause.NOT_TLS, 1), ("a", Cause.NOT_TLS, 2)],  # one reason
        [("a", Cause.NOT_TLS, 0), ("b", Cause.NOT_TLS, 6), ("c", Cause.NOT_TLS, 12)],  # not within minutes
        [("a", Cause.NOT_TLS, 0), (None, Cause.NETWORK_CUT, 1), ("c", Cause.FALLBACK_SCSV, 2)],  # follow from one
    ],
)
def test_less_than_that_makes_none(tries: list[tuple[str | None, Cause, float]]) -> None:
    conduct = Conduct()
    fail(conduct, *tries)
    assert not conduct.scanner


def test_without_stamps_nobody_is_called_a_scanner() -> None:
    conduct = Conduct()
    for reason in "abcd":
        conduct.failed((Cause.NOT_TLS, None), failure(reason), None, DAY)
    assert not conduct.scanner


def test_whoever_delivers_is_no_scanner_and_becomes_none() -> None:
    conduct = Conduct()
    tries = [(reason, Cause.NOT_TLS, 1.0) for reason in "abc"]
    fail(conduct, *tries)
    conduct.delivered()
    assert not conduct.scanner
    fail(conduct, *tries)
    assert not conduct.scanner


def test_a_failed_look_up_does_not_undo_a_confirmed_name() -> None:
    conduct = Conduct()
    names = []
    for name in (None, "unknown", "mx.example.org", "unknown", None, "mx2.example.org"):
        conduct.named(name)
        names.append(conduct.name)
    assert names == [None, "unknown", "mx.example.org", "mx.example.org", "mx.example.org", "mx2.example.org"]


def test_evidence_is_the_first_failures_and_the_latest_and_bounded() -> None:
    conduct = Conduct()
    for number in range(50):
        lines = tuple(f"{number} line {line} " + "x" * 9999 for line in range(8))
        conduct.failed((Cause.TIMEOUT, None), failure(None, lines=lines), NOW, DAY)
    assert len(conduct.evidence) == EVIDENCE_LINES
    assert all(len(line) == EVIDENCE_LINE_LENGTH for line in conduct.evidence)
    assert [line.split()[0] for line in conduct.evidence] == ["0"] * 2 + ["49"] * 2


def test_the_line_with_the_reason_is_kept_before_those_around_it() -> None:
    conduct = Conduct()
    lines = (
        "mx postfix/smtpd[1]: connect from a[192.0.2.7]",
        "mx postfix/smtpd[1]: SSL_accept error from a[192.0.2.7]: -1",
        "mx postfix/smtpd[1]: warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol",
        "mx postfix/smtpd[1]: lost connection after STARTTLS from a[192.0.2.7]",
        "mx postfix/smtpd[1]: disconnect from a[192.0.2.7] ehlo=1 starttls=0/1 commands=1/2",
    )
    conduct.failed((Cause.PEER_TOO_OLD, None), failure(None, lines=lines), NOW, DAY)
    assert conduct.evidence == list(lines[1:3])
    alone = Conduct()
    alone.failed((Cause.UNKNOWN, None), failure(None, lines=lines[4:]), NOW, DAY)
    assert alone.evidence == [lines[4]], "where there is no other, the frame is the proof"


def test_kinds_of_failure_are_bounded() -> None:
    conduct = Conduct()
    for number in range(100):
        conduct.failed((Cause.UNKNOWN, number), failure(None), NOW, DAY)
    assert list(conduct.series) == [(Cause.UNKNOWN, number) for number in range(100 - KINDS, 100)]


def test_forgiven_failures_are_those_of_the_last_minutes() -> None:
    conduct = Conduct()
    fail(conduct, ("a", Cause.TIMEOUT, 0), ("a", Cause.TIMEOUT, 30), ("b", Cause.NOT_TLS, 30))
    conduct.failed((Cause.UNKNOWN, None), failure(None), None, DAY)
    conduct.forgive(NOW + 20 * MINUTE)
    assert {kind[0]: series.times for kind, series in conduct.series.items()} == {
        Cause.TIMEOUT: [NOW],
        Cause.UNKNOWN: [],
    }


def test_news_is_news_once_until_all_begins_anew() -> None:
    conduct = Conduct()
    assert conduct.is_news(None, Rule.NEVER)
    assert not conduct.is_news(None, Rule.NEVER)
    assert conduct.is_news(Cause.TIMEOUT, Rule.NEVER)
    conduct.begin_anew()
    assert conduct.is_news(None, Rule.NEVER)


def test_the_quietest_stranger_leaves_first() -> None:
    rooms = Rooms(2)
    for ip in ("a", "b", "a", "c"):
        rooms.of(ip)
    assert [ip for ip, _ in rooms.all()] == ["a", "c"]
    assert rooms.forgotten == 1


def test_a_flood_of_strangers_does_not_make_good_history_forgotten() -> None:
    rooms = Rooms(10)
    good = rooms.of("192.0.2.7")
    good.good = "TLSv1.3"
    rooms.settle("192.0.2.7", good)
    for number in range(1000):
        rooms.of(f"stranger {number}")
    assert rooms.seen("192.0.2.7") is good
    assert len(rooms) == 11


def test_a_waived_peer_is_not_forgotten() -> None:
    rooms = Rooms(2)
    rooms.kept.add("a")
    for ip in ("a", "b", "c", "d"):
        rooms.of(ip)
    assert [ip for ip, _ in rooms.all()] == ["a", "d"]
    assert rooms.seen("b") is None
