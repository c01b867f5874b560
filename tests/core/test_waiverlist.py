"""The list of standing waivers: who is covered, and what ends when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailtls.core.level import Level
from mailtls.core.waiver import Origin, Waiver
from mailtls.core.waiverlist import WaiverList

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def waiver(network: str, days: float = 30, origin: Origin = Origin.POLICY) -> Waiver:
    end = NOW + days * DAY
    return Waiver(network, Level.LEGACY, "somebody", "old", NOW, end, end, origin)


def test_an_address_is_found_before_the_network_around_it() -> None:
    wide, narrow, host = waiver("192.0.0.0/16"), waiver("192.0.2.0/24"), waiver("192.0.2.7")
    waivers = WaiverList([wide, narrow, host])
    assert waivers.covering("192.0.2.7", NOW) == host
    assert waivers.covering("192.0.2.8", NOW) == narrow
    assert waivers.covering("192.0.3.8", NOW) == wide
    assert waivers.covering("198.51.100.1", NOW) is None
    assert waivers.covering("192.0.2.7", None) is None


def test_an_ended_waiver_covers_nobody_even_before_it_is_taken_off() -> None:
    waivers = WaiverList([waiver("192.0.2.7", 1), waiver("192.0.2.0/24", 2)])
    assert waivers.covering("192.0.2.7", NOW + 1.5 * DAY) == waiver("192.0.2.0/24", 2)
    assert waivers.covering("192.0.2.7", NOW + 2 * DAY) is None


def test_waivers_end_in_the_order_of_their_ends() -> None:
    waivers = WaiverList([waiver("192.0.2.3", 3), waiver("192.0.2.1", 1), waiver("192.0.2.2", 2)])
    assert waivers.next_expiry() == NOW + DAY
    assert waivers.expire(NOW) == []
    assert [one.network for one in waivers.expire(NOW + 2 * DAY)] == ["192.0.2.1", "192.0.2.2"]
    assert [one.network for one in waivers] == ["192.0.2.3"]
    assert waivers.next_expiry() == NOW + 3 * DAY
    assert [one.network for one in waivers.expire(NOW + 9 * DAY)] == ["192.0.2.3"]
    assert waivers.next_expiry() is None


def test_the_days_grants_are_counted_for_24_hours_and_withdrawal_does_not_give_them_back() -> None:
    waivers = WaiverList()
    for minute in range(3):
        one = waiver(f"192.0.2.{minute}")
        waivers.grant(one, NOW + timedelta(minutes=minute))
        waivers.withdraw(one)
    assert waivers.automatic() == 0
    assert waivers.granted_since(NOW + timedelta(hours=23)) == 3
    assert waivers.granted_since(NOW + timedelta(hours=24, minutes=1)) == 1
    assert waivers.granted_since(NOW + timedelta(hours=25)) == 0


def test_only_automatic_waivers_count_in_the_quota() -> None:
    waivers = WaiverList([waiver("192.0.2.1"), waiver("192.0.2.2", origin=Origin.PERSON)])
    assert waivers.automatic() == 1
    waivers.put(waiver("192.0.2.1", origin=Origin.PERSON))
    assert waivers.automatic() == 0, "a person has taken it over"
