"""Datagrams of the observer: what is written is read, and of anything else nothing is made."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.clienthello import read_hello
from mailtls.core.helloframe import read_frame
from mailtls.core.hellorecord import LONGEST, Kind, Sighting, Tally, read_record, write_record

from .captures import ip, tcp
from .hellotexts import MODERN, message, record, sslv2

HELLO = record(message(0x0303, [0x1301, 0x002F], MODERN))
ALERT = b"\x15\x03\x01\0\2\2\x30"


def sighting(data: bytes = HELLO, kind: Kind = Kind.HELLO, peer: str = "192.0.2.7", server: str = "198.51.100.1") -> Sighting:
    return Sighting(kind, 1763.25, peer, 40000, server, 25, data)


@pytest.mark.parametrize(
    "written",
    [
        sighting(),
        sighting(ALERT, Kind.ALERT),
        sighting(peer="2001:db8::7", server="2001:db8::25"),
        Tally(passed=1, lost=2, told=3, dropped=2**63),
    ],
    ids=str,
)
def test_what_is_written_is_read(written: Sighting | Tally) -> None:
    assert read_record(write_record(written)) == written


def test_a_sighting_tells_its_hello_or_its_alert() -> None:
    assert sighting().hello == read_hello(HELLO)
    assert (sighting().alert, sighting(ALERT, Kind.ALERT).alert) == (None, 48)
    assert (sighting(ALERT, Kind.ALERT).hello, sighting(b"\x16\x03").hello) == (None, None)


def test_an_address_is_spelled_as_the_log_spells_it() -> None:
    for spelled in ("::ffff:192.0.2.7", "2001:0DB8::0007"):
        read = read_record(write_record(sighting(peer=spelled)))
        assert isinstance(read, Sighting)
        assert read.peer in ("192.0.2.7", "2001:db8::7")


@given(st.binary(max_size=120))
def test_of_any_other_bytes_nothing_is_made(data: bytes) -> None:
    for datagram in (data, b"mtLS\1" + data, b"mtLS\1\1" + data):
        read = read_record(datagram)
        assert read is None or read_record(write_record(read)) == read


def test_other_versions_kinds_times_and_lengths_are_refused() -> None:
    good = write_record(sighting())
    assert read_record(good[:4] + b"\2" + good[5:]) is None
    assert read_record(good[:5] + b"\x09" + good[6:]) is None
    assert read_record(good[:6] + struct.pack(">d", float("nan")) + good[14:]) is None
    assert read_record(good[:6] + struct.pack(">d", -1) + good[14:]) is None
    assert read_record(good + bytes(LONGEST)) is None
    assert read_record(write_record(Tally()) + b"x") is None
    assert len(write_record(sighting(bytes(1 << 17)))) == LONGEST, "what is longer is cut"


def framed(data: bytes, source: str = "192.0.2.7", target: str = "198.51.100.1") -> bytes:
    return ip(source, target, tcp(40000, 25, 7, data))


@pytest.mark.parametrize("ends", [("192.0.2.7", "198.51.100.1"), ("2001:db8::7", "2001:db8::25")])
def test_a_frame_becomes_a_sighting(ends: tuple[str, str]) -> None:
    for data, kind in ((HELLO, Kind.HELLO), (sslv2(0x0301, [0x2F]), Kind.HELLO), (ALERT, Kind.ALERT)):
        assert read_frame(framed(data, *ends), 5.0) == Sighting(kind, 5.0, ends[0], 40000, ends[1], 25, data)


def test_what_follows_an_alert_and_what_lies_behind_the_packet_is_left_out() -> None:
    seen = read_frame(framed(ALERT + b"secret"), 5.0)
    assert seen is not None
    assert seen.data == ALERT
    padded = framed(HELLO[:40]) + HELLO[40:60]
    seen = read_frame(padded, 5.0)
    assert seen is not None
    assert seen.data == HELLO[:40]


def test_a_frame_that_is_none_tells_nothing() -> None:
    for packet in (b"", b"\x45", framed(b""), framed(b"EHLO x\r\n"), framed(ALERT[:5]), framed(b"") + HELLO):
        assert read_frame(packet, 5.0) is None
