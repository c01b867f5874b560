"""Logical lines are found as Postfix finds them, and a change touches its own span only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.configfile import Span, below, parse_lines, replaced, without_lines

from .configtexts import files, main_lines, master_lines

READ = [
    # what is written, the logical lines (seen with `postconf -n` of 3.7.11 where it is odd)
    ("a = 1\nb = 2\n", ["a = 1", "b = 2"]),
    ("a = 1\n  2\n", ["a = 1  2"]),
    ("a = 1\n\n# between\n   # and this\n\t2\n", ["a = 1\t2"]),
    ("a = 1", ["a = 1"]),
    ("a = 1\r\n  2\r\n", ["a = 1\r  2\r"]),
    ("a = 1\n\r\n  2\n", ["a = 1  2"]),
    ("  lost = 1\n  lost, too\na = 1\n", ["a = 1"]),
    ("\n# only\n\n", []),
    ("", []),
    ("a = # no comment\n", ["a = # no comment"]),
    ("a = 1\n\x0b2\n", ["a = 1\x0b2"]),
]


@pytest.mark.parametrize(("text", "logical"), READ)
def test_logical_lines_are_those_of_postfix(text: str, logical: list[str]) -> None:
    assert [line.text for line in parse_lines(text)] == logical


@given(files(st.one_of(main_lines(), master_lines())))
def test_every_character_of_a_logical_line_is_found_in_the_file(text: str) -> None:
    for line in parse_lines(text):
        assert "".join(text[line.place(index)] for index in range(len(line.text))) == line.text
        assert all(line.behind(index) == line.place(index - 1) + 1 for index in range(1, len(line.text) + 1))


@given(files(st.one_of(main_lines(), master_lines())), st.data())
def test_a_line_put_below_an_entry_joins_it_and_is_taken_out_without_a_trace(text: str, data: st.DataObject) -> None:
    lines = parse_lines(text)
    if not lines:
        return
    line = data.draw(st.sampled_from(lines))
    span = below(text, line, "  -o x=y")
    changed = replaced(text, [span])
    joined = [each.text.replace("\r", "") for each in parse_lines(changed)]
    assert f"{line.text}  -o x=y".replace("\r", "") in joined
    assert len(joined) == len(lines)
    assert replaced(changed, [Span(span.start, span.start + len(span.new), "")]) == text


def test_the_line_below_ends_as_the_entry_does_also_at_the_end_of_the_file() -> None:
    for text, wanted in (
        ("a\nb\n", "a\n  x\nb\n"),
        ("a\r\nb\r\n", "a\r\n  x\r\nb\r\n"),
        ("a", "a\n  x"),
        ("z\r\na", "z\r\na\r\n  x"),
    ):
        line = parse_lines(text)[-1 if text.startswith("z") else 0]
        assert replaced(text, [below(text, line, "  x")]) == wanted


def test_taking_a_line_out_keeps_the_comments_inside_it() -> None:
    text = "a = 1\n# why\n  2\nb = 3"
    assert without_lines(text, parse_lines(text)[0]) == "# why\nb = 3"
    assert without_lines(text, parse_lines(text)[1]) == "a = 1\n# why\n  2"


def test_changes_of_the_same_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="same bytes"):
        replaced("abc", [Span(0, 2, ""), Span(1, 3, "")])


def test_an_index_outside_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        parse_lines("a = 1\n")[0].place(5)
