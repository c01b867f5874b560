"""Lines come out whole however the blocks were cut, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.linecutter import LONGEST_LINE, LineCutter

TEXT = b"Nov 21 00:42:35 mail postfix/smtpd[1]: connect\r\n\n\0\0after a crash\nlast \0 one\nwithout end"
LINES = [b"Nov 21 00:42:35 mail postfix/smtpd[1]: connect", b"", b"after a crash", b"last \0 one"]


def cut(text: bytes, size: int) -> tuple[list[bytes], LineCutter]:
    cutter = LineCutter()
    lines = [line for at in range(0, len(text), size) for line in cutter.feed(text[at : at + size])]
    return lines, cutter


@pytest.mark.parametrize("size", [4096, 128, 16, 3, 2, 1])
def test_lines_are_the_same_at_every_block_size(size: int) -> None:
    lines, cutter = cut(TEXT, size)
    assert lines == LINES
    assert cutter.pending == len(b"without end")
    assert cutter.finish() == [b"without end"]
    assert cutter.finish() == []


@given(st.lists(st.binary().filter(lambda line: not {10, 13, 0} & set(line))), st.integers(1, 40))
def test_what_was_joined_is_cut_again(lines: list[bytes], size: int) -> None:
    found, cutter = cut(b"".join(line + b"\n" for line in lines), size)
    assert found == lines
    assert (cutter.pending, cutter.cut) == (0, 0)


@pytest.mark.parametrize("size", [1 << 18, 65_537])
def test_a_line_without_measure_is_given_without_its_rest(size: int) -> None:
    lines, cutter = cut(b"before\n" + b"x" * (3 * LONGEST_LINE) + b"\nafter\n", size)
    assert [len(line) for line in lines] == [6, LONGEST_LINE, 5]
    assert cutter.cut == 1


def test_what_waits_is_counted_in_full_though_it_is_not_kept() -> None:
    _, cutter = cut(b"x" * (2 * LONGEST_LINE), 1 << 18)
    assert cutter.pending == 2 * LONGEST_LINE
    assert len(cutter.finish()[0]) == LONGEST_LINE


def test_a_hole_of_nuls_of_any_length_hides_no_line() -> None:
    lines, cutter = cut(b"\0" * (2 * LONGEST_LINE) + b"first\nsecond\n", 1 << 18)
    assert lines == [b"first", b"second"]
    assert cutter.cut == 0
