"""pcap and pcapng give the same frames, in pieces of any size; what is broken is one sentence."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.capture import LARGEST, CaptureReader, Frame
from mailtls.errors import InputError

from .captures import block, pcap, pcapng

FRAMES = (b"first", b"", b"third frame")
EXPECTED = [Frame(1, 0.5, b"first"), Frame(1, 1.5, b""), Frame(1, 2.5, b"third frame")]
FILES = {
    "pcap": pcap(FRAMES),
    "pcap big-endian": pcap(FRAMES, order=">"),
    "pcap nanoseconds": pcap(FRAMES, magic=0xA1B23C4D),
    "pcapng": pcapng(FRAMES),
    "pcapng big-endian": pcapng(FRAMES, order=">"),
    "pcapng nanoseconds": pcapng(FRAMES, resolution=9),
    "pcapng powers of two": pcapng(FRAMES, resolution=0x94),
}


def read(data: bytes, piece: int = 1 << 16) -> tuple[list[Frame], int]:
    """Read all frames; also give how many bytes were left over."""
    reader = CaptureReader()
    frames = [frame for at in range(0, len(data), piece) for frame in reader.feed(data[at : at + piece])]
    return frames, reader.close()


@pytest.mark.parametrize("piece", [1, 16, 128, 4096])
@pytest.mark.parametrize("name", FILES)
def test_frames_are_the_same_whatever_the_format_and_the_pieces(name: str, piece: int) -> None:
    assert read(FILES[name], piece) == (EXPECTED, 0)


def test_a_second_section_begins_with_interfaces_of_its_own() -> None:
    frames, _ = read(pcapng(FRAMES) + pcapng(FRAMES, link=101, order=">"))
    assert [frame.link for frame in frames] == [1, 1, 1, 101, 101, 101]


def test_simple_and_obsolete_blocks_are_read() -> None:
    simple = block(3, struct.pack("<I", 4) + b"data")
    obsolete = block(2, struct.pack("<HHIIII", 0, 0, 0, 1_500_000, 4, 4) + b"more")
    assert read(pcapng([]) + simple + obsolete)[0] == [Frame(1, None, b"data"), Frame(1, 1.5, b"more")]


def test_a_packet_of_an_interface_that_was_never_described_is_left_out() -> None:
    stray = block(6, struct.pack("<IIIII", 7, 0, 0, 4, 4) + b"data")
    assert read(pcapng(FRAMES) + stray)[0] == EXPECTED


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_off_gives_what_is_whole(name: str) -> None:
    frames, left = read(FILES[name][:-3])
    assert frames == EXPECTED[:2]
    assert left > 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too short"),
        (b"\xd4\xc3\xb2\xa1", "too short"),
        (b"Nov 21 00:42:35 mx postfix/smtpd[1]: connect", "neither pcap nor pcapng"),
        (pcap(FRAMES)[:24] + struct.pack("<IIII", 0, 0, LARGEST, LARGEST), "a packet of 1,048,592 bytes"),
        (pcapng(FRAMES) + struct.pack("<IIII", 6, 0, 0, 0), "a packet of 0 bytes"),
        (pcapng(FRAMES) + struct.pack("<IIII", 6, 4, 0, 0), "a packet of 4 bytes"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "without its byte order"),
    ],
)
def test_what_is_no_capture_is_said_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(data)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 200), st.binary(max_size=40))
def test_no_change_of_a_file_gives_another_error(name: str, place: int, change: bytes) -> None:
    data = FILES[name]
    try:
        read(data[:place] + change + data[place + len(change) :])
    except InputError as error:
        assert "\n" not in str(error)
