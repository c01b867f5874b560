"""A parameter of main.cf is found where Postfix finds it, and changing it changes nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given

from mailtls.core.maincf import parse_main_cf

from .configtexts import NAMES, files, main_lines

FOUND = [
    ("a = 1\n", "1"),
    ("a=1", "1"),
    ("a\t=\t1 2 \n", "1 2"),
    ("a = 1\na = 2\n", "2"),
    ("a =\n  1\n# x\n  2\n", "1  2"),
    ("a =\n", ""),
    ("a = b = c\n", "b = c"),
    ("a = 1\r\n", "1"),
    ("#a = 1\n", None),
    ("a b = 1\n", None),
    ("= 1\n", None),
    ("a\n", None),
]

CHANGED = [
    ("a = 1\nb = 2\n", "a = NEW\nb = 2\n"),
    ("a=1  \nb = 2\n", "a=NEW  \nb = 2\n"),
    ("a = 1,\n  2,\n# why\n    3\nb = 2\n", "a = NEW\n# why\nb = 2\n"),
    ("a = 1\r\n# why\r\n  2\r\nb = 2\r\n", "a = NEW\r\n# why\r\nb = 2\r\n"),
    ("a =\n  1\n  2", "a =\n  NEW"),
    ("a =\nb = 2\n", "a = NEW\nb = 2\n"),
    ("a = 1\nb = 2\na = 3\n", "a = 1\nb = 2\na = NEW\n"),
    ("b = 2\n", "b = 2\na = NEW\n"),
    ("b = 2", "b = 2\na = NEW"),
    ("b = 2\r\n", "b = 2\r\na = NEW\r\n"),
    ("", "a = NEW\n"),
]


@pytest.mark.parametrize(("text", "value"), FOUND)
def test_the_value_is_what_postfix_reads(text: str, value: str | None) -> None:
    found = parse_main_cf(text).find("a")
    assert (None if found is None else found.value) == value


@pytest.mark.parametrize(("text", "wanted"), CHANGED)
def test_a_value_is_changed_in_its_place(text: str, wanted: str) -> None:
    assert parse_main_cf(text).with_value("a", "NEW") == wanted


def test_a_parameter_is_taken_out_wherever_it_stands() -> None:
    assert parse_main_cf("a = 1\n# of b\nb = 2\na = 3\n 4\n").without("a") == "# of b\nb = 2\n"
    assert parse_main_cf("b = 2\n").without("a") == "b = 2\n"


def test_a_value_over_several_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        parse_main_cf("").with_value("a", "1\nb = 2")


@given(files(main_lines()), NAMES)
def test_a_change_is_read_back_and_touches_no_other_parameter(text: str, name: str) -> None:
    before = parse_main_cf(text)
    after = parse_main_cf(before.with_value(name, "new value"))
    found = after.find(name)
    assert found is not None
    assert found.value == "new value"
    assert [e.value for e in after.parameters if e.name != name] == [
        e.value for e in before.parameters if e.name != name
    ]


@given(files(main_lines()))
def test_a_parameter_that_is_added_and_taken_out_leaves_no_trace(text: str) -> None:
    added = parse_main_cf(text).with_value("new_one", "x")
    assert parse_main_cf(added).without("new_one") == text
