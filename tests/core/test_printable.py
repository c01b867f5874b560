"""What a terminal gets to see of a stranger's text: nothing that it would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.printable import LONGEST, printable

OBEYED = [chr(code) for code in (*range(9), *range(10, 32), *range(127, 160))]
TURNING = ["\u061c", "\u200b", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff"]


@pytest.mark.parametrize("sign", OBEYED + TURNING, ids=lambda sign: f"U+{ord(sign):04X}")
def test_what_a_terminal_obeys_becomes_a_question_mark(sign: str) -> None:
    assert printable(f"a{sign}b") == "a?b"
    assert printable(f"a{sign}b".encode()) == "a?b"


def test_ordinary_text_of_any_language_stays() -> None:
    for text in ("mx.example.net[192.0.2.1]", "Grüße, Ωμέγα, почта, 郵件, 💌", ""):
        assert printable(text) == text
        assert printable(text.encode()) == text


def test_a_tab_is_a_blank() -> None:
    assert printable("a\tb") == "a b"


def test_bytes_that_are_no_text_are_shown_as_numbers() -> None:
    assert printable(b"a\xff\x1bb") == "a\\xff?b"


def test_long_text_is_cut_and_says_so() -> None:
    assert len(printable("x" * 10_000)) == LONGEST
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"
    assert len(printable(b"\xff" * 10_000, 50)) == 50


@given(st.one_of(st.text(max_size=600), st.binary(max_size=600)))
def test_nothing_whatever_comes_out_raw(text: str | bytes) -> None:
    shown = printable(text)
    assert len(shown) <= LONGEST
    assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in shown)
    assert printable(shown) == shown
    shown.encode()
