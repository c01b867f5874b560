"""A waiver has an owner and an end, and a person's word is final."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause
from mailtls.core.level import Level
from mailtls.core.waiver import Origin, Waiver

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def waiver(**changes: object) -> Waiver:
    plain = Waiver(
        network="192.0.2.7",
        level=Level.LEGACY,
        owner="policy",
        reason="too old",
        granted=NOW,
        until=NOW + 30 * DAY,
        latest=NOW + 180 * DAY,
        origin=Origin.POLICY,
        cause=Cause.PEER_TOO_OLD,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"owner": " "}, "owner"),
        ({"until": NOW}, "ends after it was granted"),
        ({"until": NOW - DAY}, "ends after it was granted"),
        ({"until": NOW + 181 * DAY}, "not later than its latest end"),
        ({"network": "example.org"}, "does not appear to be"),
        ({"network": "192.0.2.7/24"}, "host bits"),
    ],
)
def test_a_waiver_without_owner_end_or_address_cannot_be_made(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        waiver(**changes)


@pytest.mark.parametrize(
    ("network", "ip", "covered"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.8", True),
        ("192.0.2.0/24", "192.0.3.8", False),
        ("2001:db8::/48", "2001:db8::1", True),
        ("2001:db8::/48", "192.0.2.8", False),
        ("192.0.2.0/24", "unknown", False),
        ("192.0.2.0/24", "", False),
    ],
)
def test_it_covers_its_address_or_network_and_nobody_else(network: str, ip: str, covered: bool) -> None:
    assert waiver(network=network).covers(ip) is covered


def test_it_stands_from_the_grant_until_just_before_its_end() -> None:
    one = waiver()
    assert not one.stands(NOW - timedelta(seconds=1))
    assert one.stands(NOW)
    assert one.stands(one.until - timedelta(seconds=1))
    assert not one.stands(one.until)
    assert waiver(granted=None).stands(NOW - 1000 * DAY)


@given(days=st.integers(0, 400), lifetime=st.integers(1, 400))
def test_renewal_moves_the_end_forward_but_never_beyond_the_latest(days: int, lifetime: int) -> None:
    renewed = waiver().renewed(NOW + days * DAY, lifetime * DAY)
    assert NOW + 30 * DAY <= renewed.until <= NOW + 180 * DAY
    assert renewed.renewable is (renewed.until < NOW + 180 * DAY)


def test_a_persons_waiver_is_final() -> None:
    final = waiver(origin=Origin.PERSON, owner="postmaster", latest=NOW + 30 * DAY)
    assert not final.renewable
    assert final.renewed(NOW + 29 * DAY, 30 * DAY) == final


@pytest.mark.parametrize(
    ("changes", "automatic"),
    [
        ({"origin": Origin.POLICY}, True),
        ({"origin": Origin.PERSON}, False),
        ({"origin": Origin.KNOWN_LEGACY}, True),  # authorised by name, given to an address at a time
        ({"origin": Origin.KNOWN_LEGACY, "granted": None}, False),  # an entry of the file itself
    ],
)
def test_what_nobody_said_of_this_very_address_is_automatic(changes: dict[str, object], automatic: bool) -> None:
    assert waiver(**changes).automatic is automatic
