"""Addresses as keys: they sort, and a network is a range without anybody else in it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.peer import canonical_ip
from mailtls.core.peerkey import ip_of, key_of, span_of


@given(st.ip_addresses())
def test_a_key_gives_its_address_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    key = key_of(str(address))
    assert key is not None
    assert ip_of(key) == canonical_ip(str(address))


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_a_network_is_the_range_of_its_addresses(
    one: ipaddress.IPv4Address, other: ipaddress.IPv4Address, bits: int
) -> None:
    one, other = (ipaddress.ip_address(canonical_ip(str(each))) for each in (one, other))  # ::ffff:0:0 is 0.0.0.0
    network = ipaddress.ip_network(f"{one}/{min(bits, one.max_prefixlen)}", strict=False)
    span, key = span_of(str(network)), key_of(str(other))
    assert span is not None
    assert key is not None
    assert (span[0] <= key <= span[1]) == (other in network)


def test_ipv4_written_as_ipv6_is_the_same_peer() -> None:
    assert key_of("::ffff:192.0.2.1") == key_of("192.0.2.1")


@pytest.mark.parametrize("text", ["unknown", "x.x.x.x", "", "192.0.2.0/24", "mx.example.com", "192.0.2.1\n"])
def test_what_is_no_address_has_no_key(text: str) -> None:
    assert key_of(text) is None


@pytest.mark.parametrize("text", ["unknown", "", "192.0.2.1/24", ".example.com"])
def test_what_is_no_network_has_no_range(text: str) -> None:
    assert span_of(text) is None
