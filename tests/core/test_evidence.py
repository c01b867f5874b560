"""Evidence is a plain value: one fact of one line."""

from __future__ import annotations

from mailtls.core.evidence import Evidence, Kind


def test_equal_facts_are_equal_and_cannot_be_changed() -> None:
    fact = Evidence(Kind.CONNECT, b"x[192.0.2.1]", b"")
    assert fact == Evidence(Kind.CONNECT, b"x[192.0.2.1]", b"")
    assert fact != Evidence(Kind.DISCONNECT, b"x[192.0.2.1]", b"")
    assert not hasattr(fact, "__dict__")


def test_no_two_kinds_are_one() -> None:
    assert len({kind.value for kind in Kind}) == len(Kind)
