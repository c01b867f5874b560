"""What holds for any log and any policy: the decider's promises, tried on random ones."""

from __future__ import annotations

import datetime as datetime_module
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NoReturn

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mailtls.core.action import Action
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.decider import PORT_25, Decider
from mailtls.core.decision import Decision, Rule
from mailtls.core.knownlegacy import KnownPeer, KnownPeers
from mailtls.core.level import Level, levels_for
from mailtls.core.peer import Peer
from mailtls.core.policy import Policy
from mailtls.core.rule import After, CauseRule, Limits, Never
from mailtls.core.session import Session
from mailtls.core.strictdoor import is_low

from .screenplay import NOW, failed

IPS = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.4", "2001:db8::5", "unknown")
NAMES = ("mx.example.org", "big.example.com", "unknown", None)
NUMBERS = (0x102, 0x18C, 0x0FC, 0x0C1, 0x10B, 0x418, None)
NEVER = Never(networks=("198.51.100.0/24",), names=(".example.com",))
HELPLESS = [cause for cause in Cause if not levels_for(cause)]
HELPFUL = [cause for cause in Cause if levels_for(cause)]

minutes = st.one_of(st.integers(0, 300), st.integers(0, 60 * 24 * 40))
sessions = st.builds(
    Session,
    at=st.one_of(*[minutes.map(lambda minute: NOW + timedelta(minutes=minute))] * 12, st.none()),
    peer=st.one_of(*[st.builds(Peer, st.sampled_from(IPS), st.sampled_from(NAMES))] * 12, st.none()),
    service=st.sampled_from([Service.SMTPD] * 40 + list(Service)),
    door=st.sampled_from([Door.STRICT] * 20 + list(Door)),
    outcome=st.sampled_from([Outcome.TLS_FAILED] * 40 + [Outcome.TLS_OK, Outcome.NO_STARTTLS] * 3 + list(Outcome)),
    cause=st.sampled_from([Cause.PEER_TOO_OLD] * 20 + list(Cause)),
    reason=st.sampled_from(["unsupported protocol", "version too low", "x", None]),
    reason_number=st.sampled_from([0x102] * 8 + list(NUMBERS)),
    tls_version=st.sampled_from(["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", None]),
    cipher=st.sampled_from(["A", "B", None]),
    delivered=st.booleans(),
    hidden=st.booleans(),
    commands=st.sampled_from(["ehlo=1 quit=1 commands=2", "ehlo=1 mail=1", None]),
    lines=st.just(("a line",)),
)


def episode(ip: str, name: str | None, number: int | None, start: int, gaps: list[int]) -> list[Session]:
    """A peer that fails in one way, several times, as real ones do."""
    made = []
    for gap in gaps:
        start += gap
        made.append(failed(start, number, ip, name))
    return made


episodes = st.builds(
    episode,
    st.sampled_from(IPS[:3] + IPS),
    st.sampled_from(NAMES),
    st.sampled_from([0x102, 0x102, 0x18C, 0x0FC, 0x0C1, 0x10B]),
    st.integers(0, 60 * 24 * 40),
    st.lists(st.sampled_from([1, 5, 10, 60, 60 * 24, 60 * 24 * 9]), min_size=3, max_size=8),
)
pieces = st.lists(st.one_of(episodes, episodes, episodes, st.lists(sessions, max_size=4)), max_size=10)
logs = st.one_of(
    pieces.map(lambda parts: [session for part in parts for session in part]),
    pieces.map(lambda parts: sorted((one for part in parts for one in part), key=lambda one: one.at or NOW)),
)
hours = st.integers(1, 100).map(lambda hour: timedelta(hours=hour))
afters = st.builds(
    After,
    sessions=st.integers(1, 3),
    within=hours,
    spread=st.integers(0, 20).map(lambda minute: timedelta(minutes=minute)),
)
rules = st.builds(
    CauseRule,
    action=st.sampled_from([Action.WAIVE] * 4 + [Action.IGNORE, Action.ADVISE, Action.PROPOSE]),
    level_floor=st.sampled_from(list(Level)),
    after=afters,
    lifetime=st.integers(1, 20).map(lambda day: timedelta(days=day)),
    longest=st.integers(20, 40).map(lambda day: timedelta(days=day)),
)
policies = st.builds(
    Policy,
    causes=st.fixed_dictionaries({Cause.PEER_TOO_OLD: rules}, optional=dict.fromkeys(HELPFUL[1:], rules)),
    limits=st.builds(
        Limits,
        automatic=st.sets(st.sampled_from([Level.LEGACY_RSA, Level.LEGACY, Level.CLEARTEXT]), min_size=1).map(
            lambda levels: tuple(sorted(levels))
        ),
        waivers=st.integers(1, 4),
        per_day=st.integers(1, 3),
    ),
    never=st.sampled_from([NEVER, Never()]),
)
entries = st.builds(
    KnownPeer,
    name=st.sampled_from([".example.org", "big.example.com"]),
    level=st.sampled_from(list(Level)),
    reason=st.just("old"),
    owner=st.just("me"),
    until=st.dates(NOW.date(), NOW.date() + timedelta(days=60)),
)
lists = st.builds(KnownPeers, peer=st.lists(entries, max_size=2).map(tuple))


def decisions_of(log: Iterable[Session], policy: Policy, known: KnownPeers) -> list[Decision]:
    decider = Decider(policy, known)
    told = [one for session in log for one in decider.feed(session)]
    return [*told, *decider.conclude()]


@given(log=logs, policy=policies, known=lists)
def test_the_same_log_and_policy_give_the_same_decisions(log: list[Session], policy: Policy, known: KnownPeers) -> None:
    assert decisions_of(log, policy, known) == decisions_of(log, policy, known)


def test_no_clock_is_ever_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_clock(*_: object) -> NoReturn:
        raise AssertionError("the clock was read")

    class Clockless(datetime):
        now = utcnow = today = no_clock  # type: ignore[assignment]

    for clock in ("time", "time_ns", "monotonic", "localtime", "gmtime"):
        monkeypatch.setattr(time, clock, no_clock)
    monkeypatch.setattr(datetime_module, "datetime", Clockless)
    rule = CauseRule(action=Action.WAIVE, level_floor=Level.LEGACY, after=After(sessions=2))
    log = [
        Session(NOW + timedelta(days=day), Peer("192.0.2.1"), Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED,
                Cause.PEER_TOO_OLD, None, 0x102)
        for day in (0, 0, 20, 60)
    ]  # fmt: skip
    told = decisions_of(log, Policy(causes={Cause.PEER_TOO_OLD: rule}), KnownPeers())
    assert [one.action for one in told] == [Action.WAIVE, Action.EXTEND, Action.WITHDRAW, Action.ADVISE]


@settings(max_examples=300)
@given(log=logs, policy=policies, known=lists)
def test_a_waiver_is_given_only_where_everything_allows_it(
    log: list[Session], policy: Policy, known: KnownPeers
) -> None:
    decider = Decider(policy, known)
    good: set[str] = set()
    grants: Counter[datetime] = Counter()
    for session in log:
        for one in decider.feed(session):
            if one.action is not Action.WAIVE:
                continue
            assert one.peer is not None and one.at is not None and one.until is not None and one.level is not None
            assert session.service in PORT_25 and session.door is Door.STRICT and session.outcome is Outcome.TLS_FAILED
            assert one.peer.ip not in good, "it has completed TLS 1.2 or better at the strict door"
            assert one.peer.ip != "unknown"
            assert policy.never.covers_address(one.peer.ip) is None
            assert policy.never.covers_name(one.peer.name) is None
            assert one.cause not in HELPLESS
            assert one.at < one.until <= one.at + policy.rule(session.cause).longest
            if one.rule is Rule.THRESHOLD:
                floor = policy.rule(session.cause).level_floor
                assert policy.rule(session.cause).action is Action.WAIVE
                assert floor is not None and floor.reaches(one.level)
                assert one.level in policy.limits.automatic and one.level is not Level.SSLV3
            else:
                assert any(entry.level.reaches(one.level) and one.until <= entry.ends for entry in known.peer)
            if session.cause is Cause.PEER_TOO_OLD and session.reason_number in (0x18C, 0x0FC):
                assert one.level in (Level.SSLV3, Level.CLEARTEXT)
            grants[one.at] += 1
            event(f"waived to {one.level} by {one.rule}")
        assert sum(waiver.automatic for waiver in decider.waivers) <= policy.limits.waivers
        at_strict = session.service in PORT_25 and session.door is Door.STRICT and session.outcome is Outcome.TLS_OK
        if session.peer and at_strict and not is_low(session.tls_version):
            good.add(session.peer.ip)
    for at in grants:
        assert sum(count for other, count in grants.items() if timedelta(0) <= at - other < timedelta(hours=24)) <= (
            policy.limits.per_day
        ) or sorted(grants) != list(grants), "a log out of order may be counted too strictly, never too freely"


@given(log=logs, policy=policies, known=lists)
def test_every_waiver_ends_within_the_longest_time(log: list[Session], policy: Policy, known: KnownPeers) -> None:
    decider = Decider(policy, known)
    told = [one for session in log for one in decider.feed(session)]
    given_at = {one.peer.ip: one for one in told if one.action is Action.WAIVE and one.peer}
    for waiver in decider.waivers:
        assert waiver.granted is not None and waiver.cause is not None
        assert waiver.until <= waiver.granted + policy.rule(waiver.cause).longest
        assert waiver.network in given_at
    late = decider.expire(NOW + timedelta(days=3650))
    assert decider.waivers == () and decider.next_expiry() is None
    assert all(one.rule is Rule.EXPIRED for one in late)
    kinds = Counter(one.action for one in (*told, *late))
    assert kinds[Action.WAIVE] == kinds[Action.WITHDRAW]


@given(log=logs, policy=policies, known=lists)
def test_every_decision_has_sentences_and_at_the_end_nobody_is_let_down(
    log: list[Session], policy: Policy, known: KnownPeers
) -> None:
    for one in decisions_of(log, policy, known):
        assert one.reasons
        assert all(reason.endswith(".") and "\n" not in reason for reason in one.reasons)
        assert (one.level is not None) is (one.action not in (Action.ADVISE, Action.IGNORE))
    decider = Decider(policy, known)
    for session in log:
        decider.feed(session)
    assert {one.action for one in decider.conclude()} <= {Action.ADVISE}


@given(log=logs, policy=policies)
def test_other_services_change_nothing(log: list[Session], policy: Policy) -> None:
    """A log with its IMAP and submission sessions taken out gives the same waivers."""
    waived = [one for one in decisions_of(log, policy, KnownPeers()) if one.action is Action.WAIVE]
    without = [session for session in log if session.service in PORT_25 or session.at is not None]
    only_time = [
        session if session.service in PORT_25 else Session(session.at, None, session.service, Door.STRICT,
                                                           Outcome.NO_STARTTLS, Cause.NONE)
        for session in without
    ]  # fmt: skip
    assert [one for one in decisions_of(only_time, policy, KnownPeers()) if one.action is Action.WAIVE] == waived
