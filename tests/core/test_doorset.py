"""Who belongs in which set: compared with a look through all waivers, address by address."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.doorset import (
    DOOR_LEVELS,
    LONGEST,
    NETWORKS,
    Waived,
    after,
    armed,
    difference,
    door_sets,
    networks_of,
    set_names,
    shrinking,
)
from mailtls.core.level import Level

from .waivers import NOW

HOUR = timedelta(hours=1)
LEGACY, RSA = Level.LEGACY, Level.LEGACY_RSA


def waived(network: str, level: Level = LEGACY, hours: float = 5) -> Waived:
    return Waived(network, level, NOW + hours * HOUR)


def sets(*waivers: Waived, own: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """The sets that hold anything, with hours in place of ends."""
    made = door_sets(waivers, networks_of(own), DOOR_LEVELS)
    return {name: {each: (end - NOW) / HOUR for each, end in of.items()} for name, of in made.items() if of}


def test_each_door_has_four_sets_that_may_be_empty() -> None:
    assert set(door_sets((), (), [LEGACY])) == set(set_names(LEGACY))
    assert set_names(RSA) == ("legacy_rsa_host4", "legacy_rsa_host6", "legacy_rsa_net4", "legacy_rsa_net6")


CASES = {
    "hosts of both families": (
        (waived("192.0.2.7"), waived("2001:db8::7", RSA)),
        {"legacy_host4": {"192.0.2.7": 5}, "legacy_rsa_host6": {"2001:db8::7": 5}},
    ),
    "the deeper of two levels of one host": (
        (waived("192.0.2.7", LEGACY, 1), waived("192.0.2.7", RSA, 9)), {"legacy_host4": {"192.0.2.7": 1}},
    ),
    "the longer of two waivers of one host": (
        (waived("192.0.2.7", LEGACY, 1), waived("192.0.2.7", LEGACY, 9)), {"legacy_host4": {"192.0.2.7": 9}},
    ),
    "cleartext has no sets": ((waived("192.0.2.7", Level.CLEARTEXT),), {}),
    "the gateway has its own": (
        (waived("192.0.2.7", Level.SSLV3), waived("2001:db8::/64", Level.SSLV3)),
        {"sslv3_host4": {"192.0.2.7": 5}, "sslv3_net6": {"2001:db8::/64": 5}},
    ),
    "a network in a network that lasts longer": (
        (waived("192.0.2.0/24"), waived("192.0.2.0/28", LEGACY, 4)), {"legacy_net4": {"192.0.2.0/24": 5}},
    ),
    "a network in a network that ends before": (
        (waived("192.0.2.0/30"), waived("192.0.2.0/31", LEGACY, 6)),
        {"legacy_net4": {"192.0.2.2/31": 5, "192.0.2.0/31": 6}},
    ),
    "a network in a network at another door": (
        (waived("192.0.2.0/30"), waived("192.0.2.3/32", RSA, 1)),
        {"legacy_net4": {"192.0.2.0/31": 5, "192.0.2.2": 5}, "legacy_rsa_net4": {"192.0.2.3": 1}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_waivers_become_sets(what: str) -> None:
    waivers, wanted = CASES[what]
    assert sets(*waivers) == wanted
    assert sets(*reversed(waivers)) == wanted


def test_the_site_s_own_networks_go_to_no_door() -> None:
    own = ("127.0.0.0/8", "[::1]/128", "192.0.2.7", "198.51.100.128/25", "not-a-network", "/etc/postfix/networks")
    assert sets(waived("192.0.2.7"), waived("127.0.0.9"), waived("::1"), waived("127.0.0.0/24"), own=own) == {}
    assert sets(waived("198.51.100.0/24"), own=own) == {"legacy_net4": {"198.51.100.0/25": 5}}
    assert sets(waived("198.51.100.0/24"), waived("198.51.100.192/26", RSA), own=own) == {
        "legacy_net4": {"198.51.100.0/25": 5}
    }


def test_what_is_not_the_site_s_stays() -> None:
    assert sets(waived("2001:db8::7"), own=("127.0.0.0/8",)) == {"legacy_host6": {"2001:db8::7": 5}}


networks = st.tuples(st.integers(24, 31), st.integers(0, 255)).map(
    lambda drawn: str(ipaddress.ip_network((f"192.0.2.{drawn[1]}", drawn[0]), strict=False))
)
waivers = st.builds(waived, networks, st.sampled_from(DOOR_LEVELS), st.integers(1, 30))


@given(st.lists(waivers, max_size=8), st.lists(networks, max_size=2))
def test_networks_are_cut_so_that_each_address_belongs_to_the_narrowest_waiver(
    given_waivers: list[Waived], own: list[str]
) -> None:
    made = door_sets(given_waivers, networks_of(own), DOOR_LEVELS)
    pieces = [(ipaddress.ip_network(each), name) for name, of in made.items() for each in of]
    assert not [pair for pair in combinations([piece for piece, _ in pieces], 2) if pair[0].overlaps(pair[1])]
    for number in range(256):
        address = ipaddress.ip_address(f"192.0.2.{number}")
        found = {name for piece, name in pieces if address in piece}
        around = [each for each in given_waivers if address in ipaddress.ip_network(each.network)]
        if any(address in ipaddress.ip_network(each) for each in own) or not around:
            assert not found
        else:
            narrowest = max(around, key=lambda each: (ipaddress.ip_network(each.network).prefixlen, each.level.depth))
            assert found == {f"{narrowest.level.replace('-', '_')}_net4"}


# --- from one state to the next ----------------------------------------------------------------------------------


def test_nothing_changes_where_all_is_as_wanted() -> None:
    wanted = door_sets([waived("192.0.2.7"), waived("198.51.100.0/24", RSA)], (), DOOR_LEVELS)
    assert not difference(armed(wanted, NOW), wanted, NOW)
    assert not shrinking(armed(wanted, NOW), wanted, NOW)


def test_an_element_lasts_a_day_at_most_and_is_armed_anew_when_half_of_it_is_over() -> None:
    wanted = door_sets([waived("192.0.2.7", hours=100)], (), [LEGACY])
    held = armed(wanted, NOW)
    assert held["legacy_host4"] == {"192.0.2.7": NOW + LONGEST}
    assert not difference(held, wanted, NOW + 11 * HOUR)
    later = difference(held, wanted, NOW + 13 * HOUR)
    assert later.fresh == {"legacy_host4": {"192.0.2.7": NOW + 37 * HOUR}}


@pytest.mark.parametrize(("held", "changes"), [(1, True), (4.999, False), (5, False), (5.001, False), (6, True), (24, True)])
def test_an_element_that_ends_earlier_or_later_than_its_waiver_is_armed_anew(held: float, changes: bool) -> None:
    wanted = door_sets([waived("192.0.2.7", hours=5)], (), [LEGACY])
    present = {"legacy_host4": {"192.0.2.7": NOW + held * HOUR}}
    assert bool(difference(present, wanted, NOW)) is changes
    assert bool(shrinking(present, wanted, NOW)) is (changes and held > 5), "shortened, never lengthened"


def test_what_is_over_is_not_armed() -> None:
    wanted = door_sets([waived("192.0.2.7", hours=0)], (), [LEGACY])
    assert not difference({}, wanted, NOW)


def test_shrinking_opens_nothing() -> None:
    wanted = door_sets([waived("192.0.2.7"), waived("198.51.100.0/24")], (), [LEGACY])
    assert not shrinking({}, wanted, NOW)
    gone = shrinking({"legacy_host4": {"192.0.2.8": NOW + HOUR}}, wanted, NOW)
    assert (gone.fresh, gone.gone) == ({"legacy_host4": {}}, {"legacy_host4": {"192.0.2.8"}})


def test_shrinking_cuts_networks_anew_where_one_of_them_ended() -> None:
    both = door_sets([waived("192.0.2.0/24"), waived("192.0.2.0/25", RSA)], (), DOOR_LEVELS)
    outer = door_sets([waived("192.0.2.0/24")], (), DOOR_LEVELS)
    found = shrinking(armed(both, NOW), outer, NOW)
    assert after(armed(both, NOW), found)["legacy_net4"] == {"192.0.2.0/24": NOW + 5 * HOUR}
    assert after(armed(both, NOW), found)["legacy_rsa_net4"] == {}


hosts = st.integers(0, 9).map(lambda number: f"203.0.113.{number}")
many = st.lists(st.builds(waived, st.one_of(networks, hosts), st.sampled_from(DOOR_LEVELS), st.integers(1, 60)), max_size=8)


@given(many, many)
def test_a_difference_leads_from_any_state_to_any_other(before: list[Waived], then: list[Waived]) -> None:
    old, new = (door_sets(each, (), DOOR_LEVELS) for each in (before, then))
    present = armed(old, NOW)
    found = difference(present, new, NOW)
    assert not difference(after(present, found), new, NOW)
    assert {name: set(of) for name, of in after(present, found).items()} == {name: set(of) for name, of in new.items()}


@given(many, many)
def test_shrinking_never_leads_an_address_where_nobody_waived_it(before: list[Waived], then: list[Waived]) -> None:
    old, new = (door_sets(each, (), DOOR_LEVELS) for each in (before, then))
    left = after(armed(old, NOW), shrinking(armed(old, NOW), new, NOW))
    for name, elements in left.items():
        assert elements.keys() <= new[name].keys()
        if NETWORKS not in name:
            assert elements.keys() <= old[name].keys()
