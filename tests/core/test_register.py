"""The keeper's list is nothing but its events."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import register as module
from mailtls.core.keeperprotocol import Event, Step
from mailtls.core.level import Level
from mailtls.core.register import Register, is_automatic, is_from_file

from .waivers import NOW, days, event, listed, persons, replayed, waiver


def test_a_granted_waiver_stands_until_it_is_withdrawn_or_expired() -> None:
    one, two = waiver("192.0.2.1"), waiver("192.0.2.2")
    register = replayed([event(1, Step.GRANTED, one), event(2, Step.GRANTED, two), event(3, Step.WITHDRAWN, one)])
    assert list(register.standing.values()) == [two]
    register.apply(event(4, Step.EXPIRED, two, "clock"))
    assert not register.standing
    assert register.last == 4


def test_a_renewed_waiver_stands_as_renewed() -> None:
    first = waiver()
    later = first.model_copy(update={"until": NOW + days(60), "generation": 2})
    register = replayed([event(1, Step.GRANTED, first), event(2, Step.RENEWED, later)])
    assert register.of("192.0.2.7") == (later,)
    assert register.next_end() == NOW + days(60)


def test_what_a_person_ended_is_remembered_and_what_the_clock_or_the_daemon_ended_is_not() -> None:
    register = Register()
    for number, (by, step) in enumerate(
        [("mailtlsd", Step.WITHDRAWN), ("clock", Step.EXPIRED), ("known-legacy.toml", Step.WITHDRAWN)], 1
    ):
        register.apply(event(number, step, waiver(f"192.0.2.{number}"), by))
    assert not register.revoked
    register.apply(event(4, Step.WITHDRAWN, waiver("192.0.2.4"), "alice"))
    assert register.revoked_by_person("192.0.2.4") == "192.0.2.4"
    assert register.revoked_by_person("192.0.2.5") is None


def test_a_revoked_network_covers_the_addresses_in_it() -> None:
    register = replayed([event(1, Step.WITHDRAWN, persons("192.0.2.0/28"), "root")])
    assert register.revoked_by_person("192.0.2.3") == "192.0.2.0/28"
    assert register.revoked_by_person("192.0.2.16") is None
    assert register.revoked_by_person("2001:db8::1") is None


@pytest.mark.parametrize(("network", "by", "left"), [
    ("192.0.2.7", "alice", ["198.51.100.1"]),
    ("192.0.2.0/24", "root", ["198.51.100.1"]),
    ("192.0.2.7", "known-legacy.toml", ["198.51.100.1"]),
    ("192.0.2.7", "mailtlsd", ["192.0.2.7", "198.51.100.1"]),
    ("192.0.2.8", "alice", ["192.0.2.7", "198.51.100.1"]),
])  # fmt: skip
def test_a_revocation_ends_when_a_person_allows_the_peer_again(network: str, by: str, left: list[str]) -> None:
    register = Register()
    register.revoke("192.0.2.7", NOW)
    register.revoke("198.51.100.1", NOW)
    register.apply(event(1, Step.GRANTED, persons(network), by))
    assert list(register.revoked) == left


def test_revocations_and_events_are_bounded_and_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_REVOCATIONS", 3)
    monkeypatch.setattr(module, "KEPT_EVENTS", 3)
    register = replayed(event(n, Step.WITHDRAWN, waiver(f"192.0.2.{n}"), "root") for n in range(1, 8))
    assert list(register.revoked) == ["192.0.2.5", "192.0.2.6", "192.0.2.7"]
    assert [each.number for each in register.since(0, 100)] == [5, 6, 7]
    assert register.ever("policy-192.0.2.4") is None
    assert register.ever("policy-192.0.2.5") is not None


def test_events_after_a_number_are_given_in_their_order_and_within_the_limit() -> None:
    register = replayed(event(n, Step.GRANTED, waiver(f"192.0.2.{n}")) for n in range(1, 6))
    assert [each.number for each in register.since(2, 10)] == [3, 4, 5]
    assert [each.number for each in register.since(0, 2)] == [1, 2]
    assert register.since(5, 10) == ()
    assert register.since(99, 10) == ()


def test_grants_of_a_day_count_although_they_were_withdrawn_and_persons_do_not() -> None:
    one = waiver("192.0.2.1")
    register = replayed(
        [
            event(1, Step.GRANTED, one),
            event(2, Step.WITHDRAWN, one),
            event(3, Step.GRANTED, persons("192.0.2.2"), "alice"),
            event(4, Step.GRANTED, listed("192.0.2.3"), "known-legacy.toml"),
        ]
    )
    assert register.granted_in_a_day(NOW + timedelta(hours=23)) == 1
    assert register.granted_in_a_day(NOW - timedelta(hours=5)) == 1, "a clock that was set back forgets no grant"
    assert register.granted_in_a_day(NOW + timedelta(hours=24)) == 0
    assert register.automatic() == 0


def test_what_covers_an_address_is_found_by_address_and_by_network() -> None:
    register = replayed([event(1, Step.GRANTED, persons("192.0.2.0/28")), event(2, Step.GRANTED, waiver("192.0.2.99"))])
    assert register.covering("192.0.2.3") is not None
    assert register.covering("192.0.2.99") is not None
    assert register.covering("192.0.2.98") is None
    assert register.covering("2001:db8::1") is None


def test_a_file_entry_and_a_persons_waiver_may_stand_for_the_same_peer() -> None:
    register = replayed([event(1, Step.GRANTED, listed()), event(2, Step.GRANTED, persons(), "alice")])
    assert len(register.of("192.0.2.7")) == 2
    register.apply(event(3, Step.WITHDRAWN, persons(), "alice"))
    assert register.of("192.0.2.7") == (listed(),)
    assert register.peers(NOW, Level.CLEARTEXT) == ("192.0.2.7",)


def test_what_is_over_is_waived_no_more_although_it_is_still_on_the_list() -> None:
    short, long = persons("192.0.2.1", until=NOW + days(1)), persons("192.0.2.2")
    register = replayed([event(1, Step.GRANTED, short), event(2, Step.GRANTED, long)])
    assert register.over(NOW + days(1)) == (short,)
    assert register.peers(NOW + days(1), Level.CLEARTEXT) == ("192.0.2.2",)
    assert register.peers(NOW, Level.CLEARTEXT) == ("192.0.2.1", "192.0.2.2")


def test_peers_are_told_apart_by_their_level() -> None:
    register = replayed(
        [
            event(1, Step.GRANTED, persons("192.0.2.1", level="legacy")),
            event(2, Step.GRANTED, persons("192.0.2.2", level="legacy-rsa")),
            event(3, Step.GRANTED, persons("192.0.2.3")),
        ]
    )
    peers = {level: register.peers(NOW, level) for level in Level}
    assert peers == {"legacy": ("192.0.2.1",), "legacy-rsa": ("192.0.2.2",), "cleartext": ("192.0.2.3",), "sslv3": ()}


def test_a_waiver_that_got_another_level_is_only_there() -> None:
    register = replayed([event(1, Step.GRANTED, listed()), event(2, Step.RENEWED, listed(level=Level.LEGACY))])
    assert (register.peers(NOW, Level.CLEARTEXT), register.peers(NOW, Level.LEGACY)) == ((), ("192.0.2.7",))
    assert [waiver.level for waiver in register.at(Level.LEGACY)] == [Level.LEGACY]


def test_what_ended_lately_is_remembered_by_its_level() -> None:
    one, two, three = (persons(f"192.0.2.{n}", level="legacy") for n in (1, 2, 3))
    register = replayed([event(n, Step.GRANTED, each) for n, each in enumerate((one, two, three, persons()), 1)])
    for number, each in enumerate((one, two, persons()), 5):
        step = Step.EXPIRED if each is two else Step.WITHDRAWN
        register.apply(event(number, step, each).model_copy(update={"at": NOW + timedelta(minutes=number)}))
    assert register.ended_since(NOW + timedelta(minutes=4), Level.LEGACY) == ("192.0.2.2", "192.0.2.1")
    assert register.ended_since(NOW + timedelta(minutes=5), Level.LEGACY) == ("192.0.2.2",)
    assert register.ended_since(NOW + timedelta(minutes=6), Level.LEGACY) == ()


def test_origins_are_told_apart() -> None:
    assert is_automatic(waiver())
    assert not is_automatic(persons())
    assert not is_automatic(listed())
    assert is_from_file(listed())
    assert not is_from_file(listed(granted=NOW))
    assert is_automatic(listed(granted=NOW)), "authorised by a name, granted on evidence"


steps = st.lists(st.tuples(st.sampled_from(Step), st.integers(1, 6), st.integers(1, 40), st.booleans()), max_size=40)


@given(steps)
def test_the_indexes_agree_with_the_list(story: list[tuple[Step, int, int, bool]]) -> None:
    """Whatever happens in whatever order, every question has the answer that a look through the list gives."""
    register = Register()
    for number, (step, peer, end, automatic) in enumerate(story, 1):
        network = f"192.0.2.{peer}" if peer < 5 else f"192.0.2.{16 * peer}/28"
        made = (waiver if automatic else persons)(network, until=NOW + days(end), latest=NOW + days(end))
        register.apply(event(number, step, made, "mailtlsd" if automatic else "alice"))
    standing = list(register.standing.values())
    assert register.next_end() == min((each.until for each in standing), default=None)
    assert register.automatic() == sum(map(is_automatic, standing))
    assert set(register.peers(NOW, Level.CLEARTEXT)) == {each.network for each in standing}
    assert set(register.over(NOW + days(20))) == {each for each in standing if each.until <= NOW + days(20)}
    for network in {each.network for each in standing}:
        assert set(register.of(network)) == {each for each in standing if each.network == network}
    covers = any(each.waiver().covers("192.0.2.81") for each in standing)
    assert (register.covering("192.0.2.81") is not None) == covers


def test_the_same_events_make_the_same_list() -> None:
    events: list[Event] = [event(n, Step.GRANTED, waiver(f"192.0.2.{n}")) for n in range(1, 5)]
    assert replayed(events).standing == replayed(events).standing


NETWORKS = ("192.0.2.7", "192.0.2.8", "192.0.2.0/24", "192.0.2.0/28", "192.0.0.0/16", "198.51.100.0/24", "2001:db8::1",
            "2001:db8::/32", "192.0.2.0")  # fmt: skip


@pytest.mark.parametrize("peer", [*NETWORKS, "192.0.2.9", "0.0.0.0/0", "::/0", "203.0.113.1"])
def test_what_has_to_do_with_a_peer_holds_it_or_lies_in_it(peer: str) -> None:
    register = Register()
    for network in NETWORKS:
        register.put(waiver(network))
    asked = ipaddress.ip_network(peer)
    wanted = {each for each in NETWORKS if ipaddress.ip_network(each).overlaps(asked)}
    found = [each.network for each in register.about(peer)]
    assert set(found) == wanted
    assert len(found) == len(wanted), "each is named once"


def test_no_list_is_looked_through_for_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    register = Register()
    for number in range(1000):
        register.put(waiver(f"192.0.{number // 256}.{number % 256}"))
    monkeypatch.setattr(module, "_within", lambda *_: pytest.fail("it was looked through"))
    assert [each.network for each in register.about("192.0.2.7")] == ["192.0.2.7"]
