"""Peers, each with something: by address, by the narrowest network, or by name."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.peermap import PeerMap

SOME = PeerMap(
    {
        "192.0.2.1": "address",
        "192.0.2.0/24": "network",
        "192.0.0.0/16": "wide",
        "2001:db8::/32": "six",
        "mx.example.net": "name",
        ".example.net": "domain",
        ".Sub.Example.NET.": "below",
    }
)


@pytest.mark.parametrize(
    ("ip", "found"),
    [
        ("192.0.2.1", "address"),
        ("192.0.2.2", "network"),
        ("192.0.3.1", "wide"),
        ("192.1.0.1", None),
        ("2001:db8::1", "six"),
        ("2001:db9::1", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_the_narrowest_network_that_holds_an_address_counts(ip: str, found: str | None) -> None:
    assert SOME.by_address(ip) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mx.example.net", "name"),
        ("MX.Example.Net.", "name"),
        ("example.net", "domain"),
        ("a.b.example.net", "domain"),
        ("a.sub.example.net", "below"),
        ("notexample.net", None),
        ("net", None),
        ("unknown", None),
        ("", None),
        (None, None),
    ],
)
def test_the_narrowest_name_above_a_name_counts(name: str | None, found: str | None) -> None:
    assert SOME.by_name(name) == found


def test_a_name_without_a_dot_in_front_is_itself_only() -> None:
    assert PeerMap({"example.net": 1}).by_name("mx.example.net") is None


def test_a_name_that_was_not_confirmed_is_nobodys() -> None:
    assert PeerMap({"unknown": 1, ".unknown": 1}).by_name("unknown") is None


def test_a_name_longer_than_dns_allows_is_nobodys() -> None:
    assert PeerMap({".net": 1}).by_name("a." * 125 + "net") == 1
    assert PeerMap({".net": 1}).by_name("a." * 127 + "net") is None


def test_an_address_comes_before_a_name() -> None:
    assert SOME.of("192.0.2.2", "mx.example.net") == "network"
    assert SOME.of("198.51.100.1", "mx.example.net") == "name"
    assert PeerMap[int]().of("198.51.100.1", "mx.example.net") is None


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), max_size=8), st.integers(0, 255))
def test_it_finds_what_a_walk_over_all_networks_finds(entries: list[tuple[int, int]], last: int) -> None:
    networks = [ipaddress.ip_network((f"198.51.100.{host}", length), strict=False) for host, length in entries]
    address = ipaddress.ip_address(f"198.51.100.{last}")
    holding = [network for network in networks if address in network]
    expected = str(max(holding, key=lambda network: network.prefixlen)) if holding else None
    assert PeerMap({str(network): str(network) for network in networks}).by_address(str(address)) == expected


def test_no_address_lies_in_a_network_of_the_other_family() -> None:
    assert PeerMap({"::c000:201": 1, "::/0": 2, "::/16": 3}).by_address("192.0.2.1") is None
    assert PeerMap({"192.0.2.1": 1, "0.0.0.0/0": 2}).by_address("::c000:201") is None


def test_a_map_of_a_maps_entries_is_equal_to_it() -> None:
    assert PeerMap(dict(SOME.items())) == SOME
    assert len(SOME) == len(dict(SOME.items()))
    assert PeerMap({"192.0.2.1": 1}) != PeerMap({"192.0.2.1": 2})
    assert dict(PeerMap({"192.0.2.0/24": 1, "192.0.2.1": 2}).items()) == {"192.0.2.1": 2, "192.0.2.0/24": 1}


def test_what_is_said_of_anybody_is_all_of_it() -> None:
    assert sorted(SOME.values()) == sorted(value for _, value in SOME.items())
    assert list(PeerMap[str]().values()) == []
