"""Patterns are searched for, and what is asked for is gathered."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.search import PLAIN, one_of

WORDS = st.lists(st.binary(min_size=1, max_size=4), max_size=30)


@given(words=WORDS, other=st.binary(max_size=5))
def test_one_of_many_words_is_matched_and_nothing_else(words: list[bytes], other: bytes) -> None:
    pattern = re.compile(one_of(words))
    assert all(pattern.fullmatch(word) for word in words)
    assert bool(pattern.fullmatch(other)) == (other in words)


def test_a_word_that_begins_another_is_matched() -> None:
    pattern = re.compile(rb"\[" + one_of([b"192.0.2.1", b"192.0.2.11", b"2001:db8::1"]) + rb"\]")
    assert pattern.findall(b"[192.0.2.11] [192.0.2.111] [192.0.2.1] [2001:db8::1] [192x0.2.1]") == [
        b"[192.0.2.11]", b"[192.0.2.1]", b"[2001:db8::1]"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "template", "gathered"),
    [
        (rb"a(\d)(x)?", b"%b-%b;", (3, b"1-x;2-x;3-;")),
        (rb"a(\d)", b"%b", (3, b"123")),
        (rb"(?<=(.)a\d)", b"%b", (2, b"xx")),
        (rb"a", b"", (3, b"")),
        (rb"b", b"", (0, b"")),
    ],
)
def test_groups_fill_the_template(pattern: bytes, template: bytes, gathered: tuple[int, bytes]) -> None:
    assert PLAIN.gatherer(pattern, template)(b"a1xa2xa3") == gathered


def test_gathering_from_a_place_on_sees_what_stands_before_it() -> None:
    assert PLAIN.gatherer(rb"(?<=(.))a", b"%b")(b"1a2a3a", 3) == (2, b"23")


@given(text=st.binary(min_size=1, max_size=3), block=st.binary(max_size=60))
def test_a_literal_is_found_where_its_pattern_would_be(text: bytes, block: bytes) -> None:
    assert PLAIN.finder(re.escape(text))(block) == [match.start() for match in re.finditer(re.escape(text), block)]
