"""Entries of known-legacy.toml that are waivers while they stand."""

from __future__ import annotations

import ipaddress
from typing import Any

from mailtls.core.keeperprotocol import LiveWaiver, Step
from mailtls.core.level import Level
from mailtls.core.listedpeers import listed_changes, not_served
from mailtls.core.register import KNOWN_LEGACY, Register
from mailtls.core.waiver import Origin

from .waivers import NOW, bounds, days, event, known, persons

ENTRY = """
[[peer]]
network = "{network}"
level = "{level}"
reason = "Copier"
owner = "office-it"
until = 2026-12-31
"""


def entries(*pairs: tuple[str, str]) -> str:
    return "".join(ENTRY.format(network=network, level=level) for network, level in pairs)


COPIER = known(entries(("192.0.2.7", "cleartext")))


def adopted(register: Register, text: str = "", **within: object) -> list[tuple[Step, LiveWaiver]]:
    changes = listed_changes(known(text), register, bounds(**within), NOW)
    for step, waiver in changes:
        register.apply(event(register.last + 1, step, waiver, KNOWN_LEGACY))
    return changes


def test_an_entry_with_an_address_is_a_waiver_of_its_owner_until_its_day_is_over() -> None:
    register = Register()
    adopted(register, entries(("192.0.2.7", "cleartext"), ("192.0.2.16/28", "cleartext")))
    one, two = register.standing.values()
    assert (one.owner, one.reason, one.granted, one.origin) == ("office-it", "Copier", None, Origin.KNOWN_LEGACY)
    assert one.until.isoformat() == one.latest.isoformat() == "2027-01-01T00:00:00+00:00"
    assert (one.id, two.id) == ("known-legacy:192.0.2.7", "known-legacy:192.0.2.16-28")


def test_an_unchanged_file_changes_nothing() -> None:
    register = Register()
    text = entries(("192.0.2.7", "cleartext"))
    assert len(adopted(register, text)) == 1
    assert adopted(register, text) == []


def test_an_entry_that_left_the_file_is_withdrawn_and_persons_waivers_stay() -> None:
    register = Register()
    adopted(register, entries(("192.0.2.7", "cleartext")))
    register.apply(event(9, Step.GRANTED, persons("192.0.2.8"), "alice"))
    assert [step for step, _ in adopted(register)] == [Step.WITHDRAWN]
    assert register.peers(NOW, Level.CLEARTEXT) == ("192.0.2.8",)


def test_a_changed_entry_is_renewed_under_the_same_id() -> None:
    register = Register()
    text = entries(("192.0.2.7", "cleartext"))
    adopted(register, text)
    ((step, waiver),) = adopted(register, text.replace("office-it", "it"))
    assert (step, waiver.id, waiver.owner, waiver.generation) == (Step.RENEWED, "known-legacy:192.0.2.7", "it", 2)
    assert adopted(register, text.replace("office-it", "it")) == []


def test_an_entry_whose_day_is_over_is_no_waiver() -> None:
    assert listed_changes(COPIER, Register(), bounds(), NOW + days(60)) == []


def test_entries_of_a_level_without_a_door_are_said_and_not_waived() -> None:
    text = entries(("192.0.2.7", "legacy"), ("192.0.2.8", "sslv3"), ("192.0.2.9", "cleartext"))
    register = Register()
    adopted(register, text)
    assert register.peers(NOW, Level.CLEARTEXT) == ("192.0.2.9",)
    said = not_served(known(text), bounds(), NOW)
    assert said is not None
    assert "192.0.2.7 (legacy), 192.0.2.8 (sslv3)" in said
    assert "192.0.2.9" not in said


def test_an_entry_whose_door_is_dead_stays_and_one_that_may_relay_gets_none() -> None:
    register = Register()
    text = entries(("192.0.2.7", "legacy"), ("192.0.2.17", "legacy"), ("192.0.2.18", "cleartext"))
    doors: dict[str, Any] = {"served": frozenset(Level), "own": (ipaddress.ip_network("192.0.2.16/30"),)}
    adopted(register, text, **doors)
    assert adopted(register, text, closed={Level.LEGACY: "it is dead"}, **doors) == []
    assert {each.network for each in register.standing.values()} == {"192.0.2.7", "192.0.2.18"}
    assert "192.0.2.17 (legacy)" in (not_served(known(text), bounds(**doors), NOW) or "")


def test_where_tls_is_demanded_no_cleartext_entry_is_waived() -> None:
    register = Register()
    adopted(register, entries(("192.0.2.9", "cleartext")), encrypt=True)
    assert not register.standing
    assert not_served(COPIER, bounds(encrypt=True), NOW) is not None
    assert not_served(COPIER, bounds(), NOW) is None
