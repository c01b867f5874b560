"""What a policy may not say; each row of its table is refused in test_policy with its words."""

from __future__ import annotations

import ipaddress

import pytest

from mailtls.core.contradiction import CHECKS, contradictions, name_fault, network_fault, wider_than
from mailtls.core.policy import Policy


def test_a_policy_without_contradictions_has_none() -> None:
    assert list(contradictions(Policy())) == []


def test_the_table_of_checks_is_whole() -> None:
    assert len(set(CHECKS)) == len(CHECKS) == 17


@pytest.mark.parametrize("text", ["192.0.2.7", "192.0.2.0/24", "::1", "2001:db8::/32", "0.0.0.0/0"])
def test_addresses_and_networks_are_taken(text: str) -> None:
    assert network_fault(text) is None


@pytest.mark.parametrize("text", [".example.com", "mx.example.com", ".a-b.example", "mx_1.example.com", "1.2.3.4.example", "mx.x1", ".exämple.de"])
def test_host_names_are_taken(text: str) -> None:
    assert name_fault(text) is None


@pytest.mark.parametrize(
    ("network", "widest"),
    [("192.0.2.0/24", None), ("192.0.2.0/23", 24), ("192.0.2.7", None), ("2001:db8::/48", None), ("2001:db8::/47", 48)],
)
def test_a_network_may_be_as_wide_as_the_policy_says(network: str, widest: int | None) -> None:
    assert wider_than(ipaddress.ip_network(network), Policy()) == widest
