"""A conduct is written down and read back unchanged; what is damaged is nothing, and lets nobody in."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import conductrecord
from mailtls.core.action import Action
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.conduct import EVIDENCE_LINES, KINDS, SCANNER_REASONS, Conduct, Series
from mailtls.core.conductrecord import LARGEST, distrusted, read_conduct, write_conduct
from mailtls.core.decider import Decider
from mailtls.core.decision import Rule
from mailtls.core.level import Level
from mailtls.core.livedecider import LiveDecider
from mailtls.core.peer import Peer
from mailtls.core.policy import Policy
from mailtls.core.rule import MOST_SESSIONS, After, CauseRule
from mailtls.core.session import Session

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

ANY_TEXT = st.text(st.characters(), max_size=60)  # surrogates too: names are bytes of strangers
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=ZONES)
KIND = st.tuples(st.sampled_from(Cause), st.none() | st.integers(0, 2000))
SERIES = st.builds(Series, st.lists(TIMES, max_size=MOST_SESSIONS), st.integers(0, 10**9), st.none() | TIMES)
CONDUCTS = st.builds(
    Conduct,
    name=st.none() | ANY_TEXT,
    series=st.dictionaries(KIND, SERIES, max_size=KINDS),
    good=st.none() | ANY_TEXT,
    used_to_succeed=st.booleans(),
    mailed=st.booleans(),
    fell_back=st.none() | TIMES,
    recovered=st.none() | TIMES,
    refuses_cleartext=st.booleans(),
    scanner=st.booleans(),
    turned_bad=st.booleans(),
    spent=st.booleans(),
    door_failures=st.integers(0, 1000),
    door_worked=st.booleans(),
    useless=st.frozensets(st.sampled_from(Level)),
    said=st.frozensets(st.tuples(st.none() | st.sampled_from(Cause), st.sampled_from(Rule))),
    tried=st.lists(st.tuples(st.none() | TIMES, ANY_TEXT), max_size=SCANNER_REASONS),
    evidence=st.lists(ANY_TEXT, max_size=EVIDENCE_LINES),
)
FULL = Conduct(
    name="mx.example.com",
    series={(Cause.PEER_TOO_OLD, 0x102): Series([NOW, NOW + timedelta(microseconds=1)], 2, NOW)},
    good="",
    fell_back=NOW,
    useless=frozenset({Level.LEGACY}),
    said=frozenset({(None, Rule.OUTGROWN)}),
    tried=[(None, "unsupported protocol")],
    evidence=["a line"],
    mailed=True,
)


@given(CONDUCTS)
def test_a_conduct_is_read_back_as_it_was(conduct: Conduct) -> None:
    again = read_conduct(write_conduct(conduct))
    assert again == conduct
    assert list(again.series) == list(conduct.series), "the oldest kind is the first to go"


def test_every_field_is_written() -> None:
    """A field that is added to Conduct is forgotten by the store unless it is named here."""
    by_hand = ("series", "door_failures", "useless", "said", "tried", "evidence")
    groups = (conductrecord.TEXTS, conductrecord.TIMES, conductrecord.FLAGS, by_hand)
    assert sorted(name for group in groups for name in group) == sorted(field.name for field in fields(Conduct))


def test_a_good_peer_takes_few_bytes() -> None:
    text = write_conduct(Conduct(name="mx.example.com", good="TLSv1.3", used_to_succeed=True, mailed=True))
    assert json.loads(text) == {"name": "mx.example.com", "good": "TLSv1.3", "used_to_succeed": 1, "mailed": 1}
    assert write_conduct(Conduct()) == "{}"


def test_a_time_without_offset_is_taken_for_utc() -> None:
    again = read_conduct(write_conduct(Conduct(fell_back=NOW.replace(tzinfo=None))))
    assert again is not None
    assert again.fell_back == NOW


def damaged(**changes: Any) -> str:
    return json.dumps(json.loads(write_conduct(FULL)) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        "{",
        "[" * 100_000,
        '{"fell_back":1e999}',
        '{"fell_back":NaN}',
        '{"fell_back":' + "9" * 5000 + "}",
        damaged(unheard_of=1),
        damaged(kept=1),
        damaged(name=7),
        damaged(good=None),
        damaged(mailed=0),
        damaged(mailed=True),
        damaged(mailed="1"),
        damaged(fell_back="2026-11-21"),
        damaged(fell_back=True),
        damaged(fell_back=10**20),
        damaged(door_failures=-1),
        damaged(door_failures=1.5),
        damaged(useless=["sslv4"]),
        damaged(useless="legacy"),
        damaged(said=[["peer_too_old", "whim"]]),
        damaged(said=[[["peer_too_old"], "quota"]]),
        damaged(series=[["peer_too_old", 258, 1, None]]),
        damaged(series=[["peer_too_old", "258", 1, None, []]]),
        damaged(series=[["peer_too_old", 258, 1, None, [1] * (MOST_SESSIONS + 1)]]),
        damaged(series=[["peer_too_old", number, 1, None, []] for number in range(KINDS + 1)]),
        damaged(series={}),
        damaged(tried=[[None, None]]),
        damaged(evidence=["x"] * (EVIDENCE_LINES + 1)),
        damaged(evidence=[b"x".hex(), 1]),
        damaged(name="x" * LARGEST),
    ],
)
def test_what_no_conduct_looks_like_is_none(text: str) -> None:
    assert read_conduct(text) is None


@given(st.integers(0, len(write_conduct(FULL)) - 1), st.characters())
def test_one_changed_character_never_raises(place: int, character: str) -> None:
    text = write_conduct(FULL)
    read_conduct(text[:place] + character + text[place + 1 :])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists), st.data())
def test_no_value_of_any_field_raises(value: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(Conduct)]))
    again = read_conduct(json.dumps({name: value}))
    assert again is None or isinstance(again, Conduct)


@pytest.mark.parametrize("blank", [True, False], ids=["blank", "distrusted"])
def test_nothing_is_given_by_itself_on_a_conduct_that_could_not_be_read(blank: bool) -> None:
    """The same failures would win a waiver for somebody who was never heard of."""
    rule = CauseRule(
        action=Action.WAIVE, level_floor=Level.LEGACY, after=After(sessions=3, spread=timedelta(minutes=10))
    )
    decider = LiveDecider(Policy(causes={Cause.PEER_TOO_OLD: rule}))
    decider.recall("192.0.2.7", Conduct() if blank else distrusted())
    said = [decision.action for number in range(4) for decision in _fail(decider, number)]
    assert (Action.WAIVE in said) is blank
    assert (Action.PROPOSE in said) is not blank


def _fail(decider: LiveDecider, number: int) -> tuple[Any, ...]:
    at = NOW + number * timedelta(minutes=10)
    session = Session(
        at, Peer("192.0.2.7", "mx.example.com"), Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED,
        Cause.PEER_TOO_OLD, "unsupported protocol", 0x102,
    )  # fmt: skip
    return decider.take(session, at)


def test_the_decider_goes_on_from_what_was_written() -> None:
    """Failures before a restart count as those after it: also a conduct that was really made is read back."""
    one, other = Decider(Policy()), Decider(Policy())
    peer = Peer("192.0.2.7", "mx.example.com")
    for number in range(30):
        at = NOW + number * timedelta(minutes=7)
        outcome = Outcome.TLS_OK if number % 11 == 10 else Outcome.TLS_FAILED
        cause = Cause.NONE if outcome is Outcome.TLS_OK else (Cause.PEER_TOO_OLD, Cause.NOT_TLS)[number % 2]
        session = Session(at, peer, Service.SMTPD, Door.STRICT, outcome, cause, "a reason", lines=("a line",))
        assert one.feed(session) == other.feed(session)
        conduct = other._rooms.of(peer.ip)
        again = read_conduct(write_conduct(conduct))
        assert again == conduct
        other._rooms._strangers.pop(peer.ip, None)
        other._rooms._proven.pop(peer.ip, None)
        other._rooms.put(peer.ip, again)
