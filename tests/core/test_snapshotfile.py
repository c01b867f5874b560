"""The file of verdicts: what was written is read again, and what is broken is a sentence, never half a snapshot."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mailtls.core import snapshotfile
from mailtls.core.cause import Door
from mailtls.core.level import Level
from mailtls.core.peermap import PeerMap
from mailtls.core.postfixview import Offering
from mailtls.core.snapshotfile import LARGEST, VERSION, Unreadable, read_snapshot, write_snapshot
from mailtls.core.suite import KeyType
from mailtls.core.verdict import Answer, Guard, Proof, Requirement, Snapshot, Terms
from mailtls.core.waiver import WaiverLimits

FULL = Snapshot(
    guard=Guard(Answer.STAMP, 7),
    ports={"10225": Door.LEGACY},
    proven={"192.0.2.1": Proof(30), "2001:db8::1": Proof(21, 0x0304)},
    waivers=PeerMap(
        {
            "192.0.2.9": Terms(Level.LEGACY, WaiverLimits((".example.net",), ("a@b.example",), 5000)),
            "2001:db8::/48": Terms(Level.CLEARTEXT),
        }
    ),
    required_of_peers=PeerMap({"198.51.100.0/24": Requirement(text="Bitte TLS", url="https://x.example/")}),
    required_of_domains=PeerMap({".bank.example": Requirement(0x0304)}),
    own=PeerMap({"10.0.0.0/8": True, "::1": True}),
    strict=Offering(versions=("TLSv1.2",), certificates=(KeyType.ECDSA,), ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",)),
)

FIELDS = {
    3: {
        "Snapshot": [
            "guard", "ports", "proven", "waivers", "required_of_peers", "required_of_domains", "phases", "own", "strict",
        ],
        "Offering": ["versions", "certificates", "ciphers"],
        "Guard": ["answer", "sessions"],
        "Proof": ["sessions", "version"],
        "Terms": ["level", "limits"],
        "WaiverLimits": ["senders", "recipients", "size"],
        "Phase": ["lowest", "percent", "answer", "refused_on", "cleartext", "waived", "text", "url"],
        "Requirement": ["lowest", "text", "url"],
    },
}  # fmt: skip
"""What each version of the file holds; a change of the newest needs a new number."""


def test_a_snapshot_that_was_written_is_read_again() -> None:
    assert read_snapshot(write_snapshot(FULL)) == FULL


def test_an_empty_snapshot_is_one_too() -> None:
    assert read_snapshot(write_snapshot(Snapshot())) == Snapshot()


def test_maps_find_the_same_after_the_way_through_the_file() -> None:
    again = read_snapshot(write_snapshot(FULL))
    assert isinstance(again, Snapshot)
    assert again.waivers.by_address("2001:db8:0:7::1") == Terms(Level.CLEARTEXT)
    assert again.required_of_domains.by_name("mx.bank.example") == Requirement(0x0304)
    assert again.own.by_address("10.1.2.3") and again.own.by_address("::1")


def test_a_version_of_the_file_holds_what_it_is_known_to_hold() -> None:
    held: dict[str, list[str]] = {}
    pending: list[Any] = [Snapshot]
    while pending:
        kind = pending.pop()
        pending += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            held[kind.__name__] = list(kind.model_fields)
        elif isinstance(kind, type) and is_dataclass(kind) and kind.__name__ not in held:
            held[kind.__name__] = [each.name for each in fields(kind)]
            pending += get_type_hints(kind).values()
    assert held == FIELDS[VERSION], "a milter of yesterday would ignore the change: VERSION goes up"


@given(st.integers(0, len(write_snapshot(FULL)) - 2))
def test_a_file_that_is_cut_off_anywhere_is_no_snapshot(length: int) -> None:
    assert isinstance(read_snapshot(write_snapshot(FULL)[:length]), Unreadable)


@given(st.binary())
def test_whatever_bytes_there_are_a_sentence_comes_out(content: bytes) -> None:
    found = read_snapshot(content)
    assert isinstance(found, Unreadable)
    assert found.clause.isprintable()


@given(st.binary())
def test_whatever_stands_behind_the_heading_a_sentence_comes_out(content: bytes) -> None:
    found = read_snapshot(b"mailtls-verdicts %d\n%s" % (VERSION, content))
    assert isinstance(found, Snapshot) or found.clause.isprintable()


def test_a_newer_file_says_what_to_do() -> None:
    found = read_snapshot(write_snapshot(FULL).replace(b" %d\n" % VERSION, b" %d\n" % (VERSION + 1), 1))
    assert isinstance(found, Unreadable)
    assert f"version {VERSION + 1}" in found.clause and "systemctl restart" in found.clause


def test_a_value_that_cannot_be_is_named_with_its_place() -> None:
    found = read_snapshot(write_snapshot(FULL).replace(b'"10225":"legacy"', b'"10225":"barn"'))
    assert isinstance(found, Unreadable)
    assert "ports.10225" in found.clause


def test_numbers_are_not_made_of_texts() -> None:
    assert isinstance(read_snapshot(write_snapshot(FULL).replace(b'"size":5000', b'"size":"5000"')), Unreadable)


def test_too_large_a_file_is_not_even_parsed() -> None:
    found = read_snapshot(b" " * (LARGEST + 1))
    assert isinstance(found, Unreadable) and str(LARGEST) in found.clause


def test_too_large_a_snapshot_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Snapshot(proven={f"192.0.2.{n}": Proof(20) for n in range(250)})
    size = len(write_snapshot(many))
    assert size < 250 * 75
    monkeypatch.setattr(snapshotfile, "LARGEST", size - 1)
    with pytest.raises(ValueError, match="the most that the milter reads"):
        write_snapshot(many)
