"""Segments out of frames of every kind of link."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.capture import Frame
from mailtls.core.segment import LINKS, Segment, read_segment

from .captures import FIN, SYN, ip, linked, tcp

V4 = ip("192.0.2.7", "198.51.100.1", tcp(40000, 25, 7, b"EHLO"))
V6 = ip("2001:db8::7", "2001:db8::1", tcp(40000, 25, 7, b"EHLO"))


@pytest.mark.parametrize("link", sorted(LINKS))
@pytest.mark.parametrize(("packet", "source", "target"), [(V4, "192.0.2.7", "198.51.100.1"), (V6, "2001:db8::7", "2001:db8::1")])  # fmt: skip
def test_every_link_gives_the_segment(link: int, packet: bytes, source: str, target: str) -> None:
    read = read_segment(Frame(link, 1.5, linked(link, packet)))
    assert read == Segment(1.5, source, 40000, target, 25, 7, begins=False, ends=False, data=b"EHLO")


def test_vlan_tags_are_skipped_but_not_without_end() -> None:
    tagged = bytes(12) + b"\x88\xa8\0\1" + b"\x81\0\0\2" + b"\x08\0" + V4
    assert read_segment(Frame(1, None, tagged)) is not None
    assert read_segment(Frame(1, None, bytes(12) + b"\x81\0\0\1" * 20 + b"\x08\0" + V4)) is None


def test_padding_behind_the_packet_is_not_read() -> None:
    read = read_segment(Frame(1, None, linked(1, V4) + bytes(6)))
    assert read is not None
    assert read.data == b"EHLO"


def test_a_packet_that_the_card_was_to_split_is_as_long_as_it_is() -> None:
    read = read_segment(Frame(101, None, V4[:2] + b"\0\0" + V4[4:]))
    assert read is not None
    assert read.data == b"EHLO"


def test_flags_say_where_a_connection_begins_and_ends() -> None:
    begins = read_segment(Frame(101, None, ip("192.0.2.7", "198.51.100.1", tcp(1, 25, 0, flags=SYN))))
    ends = read_segment(Frame(101, None, ip("192.0.2.7", "198.51.100.1", tcp(1, 25, 0, flags=FIN))))
    assert begins is not None
    assert ends is not None
    assert (begins.begins, begins.ends, ends.begins, ends.ends) == (True, False, False, True)


def test_extension_headers_of_ipv6_are_skipped() -> None:
    inner = tcp(40000, 25, 7, b"EHLO")
    hop, first, later = b"\x2c\0" + bytes(6), b"\x06\0\0\1" + bytes(4), b"\x06\0\x05\xa9" + bytes(4)
    for fragment, there in ((first, True), (later, False)):
        payload = hop + fragment + inner
        packet = struct.pack(">IHBB", 6 << 28, len(payload), 0, 64) + V6[8:40] + payload
        assert (read_segment(Frame(101, None, packet)) is not None) == there


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        V4[:9] + b"\x11" + V4[10:],  # UDP
        V4[:6] + b"\x20\x05" + V4[8:],  # a later fragment
        b"\x41" + V4[1:],  # a header of four bytes
        V4[:12],
        V4[:19],
        V4[:30],
        V4[:32] + b"\x10" + V4[33:],  # a TCP header of four bytes
        b"\x95" + V4[1:],
        V6[:6] + b"\x3b" + V6[7:],  # no next header
        V6[:20],
    ],
)
def test_what_holds_no_segment_is_none(packet: bytes) -> None:
    assert read_segment(Frame(101, None, packet)) is None


def test_an_unknown_link_or_another_protocol_is_none() -> None:
    assert read_segment(Frame(9999, None, V4)) is None
    assert read_segment(Frame(1, None, bytes(12) + b"\x08\x06" + V4)) is None
    assert read_segment(Frame(276, None, b"\x08\x06" + bytes(18) + V4)) is None


@pytest.mark.parametrize("packet", [V4, V6])
def test_a_packet_that_is_cut_anywhere_is_none_or_a_shorter_segment(packet: bytes) -> None:
    for size in range(len(packet)):
        read = read_segment(Frame(101, None, packet[:size]))
        assert read is None or read.data == b"EHLO"[: max(0, size - len(packet) + 4)]


@given(st.sampled_from(sorted(LINKS)), st.binary(max_size=100))
def test_no_bytes_raise(link: int, data: bytes) -> None:
    for start in (b"", b"\x45", b"\x60", V4[:20], V6[:40]):
        read_segment(Frame(link, None, linked(link, start + data) if start else data))
