"""A position survives being stored, says where to go on, and knows a file again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.logposition import (
    MOST_DONE,
    MOST_FILES,
    SPAN,
    KnownFile,
    LogPosition,
    Place,
    Track,
    fingerprint,
    read_position,
)

BIG = (1 << 63) - 1


def place(number: int) -> Place:
    mark = fingerprint(b"x" * (number % SPAN))
    return Place(BIG - number, BIG, BIG, mark, fingerprint(b"y" * SPAN))


def test_a_position_of_as_many_files_as_there_may_be_is_read_as_it_was_stored_in_less_than_four_kilobytes() -> None:
    position = LogPosition(
        tuple(place(number) for number in range(MOST_FILES)),
        tuple(KnownFile(number, fingerprint(b"z" * SPAN)) for number in range(MOST_DONE)),
        1_700_000_000.125,
    )
    assert read_position(position.text()) == position
    assert len(position.text()) < 4_000


def test_of_more_files_the_oldest_are_left_out() -> None:
    files = tuple(place(number) for number in range(MOST_FILES + 3))
    stored = read_position(LogPosition(files, (), 0.0).text())
    assert stored is not None
    assert stored.files == files[3:]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "[]",
        "{}",
        "7",
        "{",
        '{"v":2,"looked":0,"files":[],"done":[]}',
        '{"v":1,"looked":0,"files":[[1,2]],"done":[]}',
        '{"v":1,"looked":0,"files":[["a",2,3,0,"",0,""]],"done":[]}',
        '{"v":1,"looked":"x","files":[],"done":[]}',
        '{"v":1,"looked":0,"files":7,"done":[]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_position_is_none(text: str | None) -> None:
    assert read_position(text) is None


@given(st.text())
def test_no_text_makes_reading_a_position_fail(text: str) -> None:
    assert read_position(text) is None


def test_a_fingerprint_fits_only_what_begins_with_its_bytes() -> None:
    mark = fingerprint(b"abc")
    assert mark.fits(b"abcd")
    assert not mark.fits(b"ab")
    assert not mark.fits(b"abx")
    assert fingerprint(b"").fits(b"anything")


@given(st.lists(st.binary(max_size=600)), st.integers(1, 300))
def test_a_track_stands_behind_the_last_line_end_and_knows_the_bytes_around(parts: list[bytes], size: int) -> None:
    text = b"\n".join(parts)
    track = Track()
    for at in range(0, len(text), size):
        track.feed(text[at : at + size])
    end = text.rfind(b"\n") + 1
    found = track.place(7, len(text))
    assert found.offset == end
    assert found.head == fingerprint(text[: min(end, SPAN)])
    assert found.tail == fingerprint(text[max(0, end - SPAN) : end])
    assert track.recent == text[-SPAN:]
    assert track.reached == len(text)


def test_skipping_and_reading_lead_to_the_same_place() -> None:
    text = b"one line\n" * 100
    read, skipped = Track(), Track()
    for at in range(0, len(text), 90):
        read.feed(text[at : at + 90])
        skipped.skip(text[at : at + 90])
    assert read.place(1, 900) == skipped.place(1, 900)


def test_half_a_line_is_no_mark_of_a_file() -> None:
    track = Track()
    track.feed(b"Nov 21 00:42:35 mail")
    assert track.place(1, 20).head.length == 0
