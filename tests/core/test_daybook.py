"""A batch of sessions added up: nothing is lost, nothing doubled, and strangers' words are short and printable."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.daybook import AHEAD, DAY, LONGEST_NAME, LONGEST_REASON, LONGEST_WORD, Seen, write_daybook
from mailtls.core.peer import Peer
from mailtls.core.peerkey import key_of
from mailtls.core.peerstate import PeerState
from mailtls.core.session import Session

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = int(NOW.timestamp()) // DAY
IPS = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "unknown"]


def session(ip: str | None = "192.0.2.1", at: datetime | None = NOW, **fields: object) -> Session:
    defaults = {
        "service": Service.SMTPD,
        "door": Door.STRICT,
        "outcome": Outcome.TLS_OK,
        "cause": Cause.NONE,
    }
    peer = Peer(ip, "mx.example.com") if ip is not None else None
    return Session(at, peer, **(defaults | fields))  # type: ignore[arg-type]


def failed(reason: str = "unsupported protocol", **fields: object) -> Session:
    return session(outcome=Outcome.TLS_FAILED, cause=Cause.PEER_TOO_OLD, reason=reason, **fields)


def seen_of(*sessions: Session) -> Seen:
    (seen,) = write_daybook(sessions, NOW).peers.values()
    return seen


SESSIONS = st.lists(
    st.builds(
        session,
        ip=st.none() | st.sampled_from(IPS),
        at=st.none() | st.integers(-400, 0).map(lambda hours: NOW + timedelta(hours=hours)),
        service=st.sampled_from([Service.SMTPD, Service.IMAP]),
        outcome=st.sampled_from(Outcome),
        delivered=st.booleans(),
    )
)


@given(SESSIONS)
def test_every_session_is_counted_once(sessions: list[Session]) -> None:
    book = write_daybook(sessions, NOW)
    counted = Counter[bytes | None]()
    for (key, _, _), tally in book.days.items():
        counted[key] += tally.sessions
    expected = Counter(key_of(each.peer.ip) if each.peer is not None else None for each in sessions)
    assert counted == expected
    assert {key: seen.sessions for key, seen in book.peers.items()} == {k: n for k, n in expected.items() if k}
    assert sum(tally.mails for tally in book.days.values()) == sum(each.delivered for each in sessions)


def test_a_day_is_a_day_of_utc() -> None:
    east = timezone(timedelta(hours=10))
    book = write_daybook([session(at=datetime(2026, 11, 21, 9, tzinfo=east))], NOW)
    assert [day for _, day, _ in book.days] == [TODAY - 1]


@pytest.mark.parametrize("at", [None, NOW + timedelta(days=400), NOW + AHEAD + timedelta(seconds=1)])
def test_what_has_no_time_or_one_of_the_future_is_of_now(at: datetime | None) -> None:
    seen = seen_of(session(at=at))
    assert seen.first == seen.last == int(NOW.timestamp())


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    assert seen_of(session(at=NOW + AHEAD)).last == int((NOW + AHEAD).timestamp())


def test_first_and_last_do_not_depend_on_the_order() -> None:
    hours = [2, 0, 3, 1]
    seen = seen_of(*(session(at=NOW - timedelta(hours=hour)) for hour in hours))
    assert (seen.last - seen.first, seen.sessions) == (3 * 3600, 4)


def test_the_latest_failure_says_why_and_the_latest_success_how() -> None:
    seen = seen_of(failed("no shared cipher"), failed(), session(tls_version="TLSv1.3"), session(tls_version=None))
    assert (seen.failures, seen.cause, seen.reason) == (2, Cause.PEER_TOO_OLD, "unsupported protocol")
    assert (seen.tls_version, seen.got_through, seen.state) == ("TLSv1.3", True, PeerState.OK)


@pytest.mark.parametrize(
    ("sessions", "state", "got_through"),
    [
        ([session(outcome=Outcome.NO_STARTTLS)], PeerState.QUIET, False),
        ([session(outcome=Outcome.NO_STARTTLS, delivered=True)], PeerState.OK, True),
        ([session(), failed()], PeerState.FAILING, True),
        ([failed(), session(outcome=Outcome.NO_STARTTLS)], PeerState.FAILING, False),
        ([session(outcome=Outcome.SERVER_TLS_BROKEN)], PeerState.QUIET, False),
    ],
)
def test_the_state_is_what_the_sessions_leave(sessions: list[Session], state: PeerState, got_through: bool) -> None:
    seen = seen_of(*sessions)
    assert (seen.state, seen.got_through) == (state, got_through)


def test_a_failed_lookup_does_not_undo_a_name() -> None:
    names = ["unknown", "mx.example.com", "Unknown", None]
    seen = seen_of(
        *(
            Session(NOW, Peer("192.0.2.1", name), Service.SMTPD, Door.STRICT, Outcome.TLS_OK, Cause.NONE)
            for name in names
        )
    )
    assert seen.name == "mx.example.com"


def test_words_of_strangers_are_short_and_printable() -> None:
    nasty = "\x1b[2J\udcff" + "x" * 5000
    peer = Peer("192.0.2.1", nasty)
    one = Session(NOW, peer, Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, Cause.UNKNOWN, nasty, None, nasty, nasty)
    book = write_daybook([one], NOW)
    (seen,) = book.peers.values()
    ((_, _, kind),) = book.days
    for text, longest in (
        (seen.name, LONGEST_NAME),
        (seen.reason, LONGEST_REASON),
        (kind.tls_version, LONGEST_WORD),
        (kind.cipher, LONGEST_WORD),
    ):
        assert text is not None
        assert len(text) == longest
        assert text.startswith("?[2J?x")
