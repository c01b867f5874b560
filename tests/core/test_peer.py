"""An address is spelled in one way, whatever the log does."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.peer import Peer, canonical_ip, is_address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("::1", "::1"),
        ("unknown", "unknown"),
        ("x.x.x.x", "x.x.x.x"),
        ("192.0.2.256", "192.0.2.256"),
        ("", ""),
    ],
)
def test_addresses_are_spelled_as_postfix_looks_them_up(text: str, canonical: str) -> None:
    assert canonical_ip(text) == canonical


def test_redacted_and_unknown_addresses_are_none() -> None:
    assert is_address("192.0.2.1")
    assert is_address("2001:db8::1")
    for text in ("unknown", "x.x.x.x", "REMOVED", "", "192.0.2.0/24"):
        assert not is_address(text)


def test_a_peer_is_shown_as_postfix_prints_it() -> None:
    assert str(Peer("192.0.2.1", "mx.example.net")) == "mx.example.net[192.0.2.1]"
    assert str(Peer("192.0.2.1")) == "[192.0.2.1]"


@given(st.ip_addresses())
def test_every_spelling_of_an_address_is_one_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    spelled = canonical_ip(str(address))
    assert canonical_ip(address.exploded.upper()) == spelled
    assert canonical_ip(spelled) == spelled


@given(st.text(max_size=80))
def test_no_text_whatever_raises(text: str) -> None:
    canonical_ip(text)
    is_address(text)
