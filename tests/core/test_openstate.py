"""A restart in the middle of sessions changes nothing: what is open is written down and read back."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailtls.core import openstate
from mailtls.core.assembler import Assembler
from mailtls.core.openstate import freeze, thaw
from mailtls.core.session import Session
from mailtls.core.stamp import Calendar

from .interleaving import World, lines_of, logs
from .reading import NOW, facts, read
from .test_assembler_properties import nobody_else_is_charged

Log = tuple[World, list[list[str]]]
RESTARTS = st.lists(st.integers(0, 400), max_size=6)


def read_with_restarts(lines: list[str], restarts: list[int]) -> list[Session]:
    assembler = Assembler(Calendar(NOW))
    sessions: list[Session] = []
    for number, line in enumerate(lines):
        if number in restarts:
            text = freeze(assembler)
            assert text is not None
            again = thaw(text, Calendar(NOW))
            assert again is not None
            assembler = again
        sessions += assembler.feed(line.encode("utf-8", "surrogateescape"))
    return sessions + assembler.finish()


@settings(max_examples=150)
@given(logs(), RESTARTS)
def test_restarts_in_the_middle_of_sessions_change_no_verdict(log: Log, restarts: list[int]) -> None:
    world, units = log
    lines = lines_of(units)
    assert Counter(map(facts, read_with_restarts(lines, restarts))) == world.truth == Counter(map(facts, read(lines)))


@settings(max_examples=100)
@given(logs(), RESTARTS, st.integers(0, 100))
def test_a_log_that_begins_late_and_restarts_charges_nobody_else(log: Log, restarts: list[int], start: int) -> None:
    world, units = log
    nobody_else_is_charged(world, read_with_restarts(lines_of(units)[start:], restarts))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "[1,[],[],null]", '[2,[["bx"]],[],null]', "[2,[[1,2,3,4,5,6]],[],null]", "[" * 100_000],
)
def test_what_is_not_this_version_s_text_gives_nothing(text: str) -> None:
    assert thaw(text, Calendar(NOW)) is None


@settings(max_examples=100)
@given(logs(), st.data())
def test_a_damaged_text_never_raises(log: Log, data: st.DataObject) -> None:
    _, units = log
    lines = lines_of(units)
    assembler = Assembler(Calendar(NOW))
    for line in lines[: data.draw(st.integers(0, len(lines)))]:
        assembler.feed(line.encode())
    text = freeze(assembler)
    assert text is not None
    place = data.draw(st.integers(0, len(text)))
    thaw(
        text[:place] + data.draw(st.sampled_from(["", "x", "null", '"b"', "[", "1"])) + text[place + 1 :], Calendar(NOW)
    )


def test_processes_without_an_open_session_are_not_written_down() -> None:
    assembler = Assembler(Calendar(NOW))
    for pid in range(1000):
        assembler.feed(b"Nov 21 00:00:00 mx postfix/smtpd[%d]: connect from a[192.0.2.1]" % pid)
        assembler.feed(b"Nov 21 00:00:00 mx postfix/smtpd[%d]: disconnect from a[192.0.2.1] ehlo=1 quit=1" % pid)
    text = freeze(assembler)
    assert text is not None
    assert json.loads(text)[1] == []


def test_a_flood_of_half_open_sessions_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstate, "LARGEST", 1000)
    assembler = Assembler(Calendar(NOW))
    for pid in range(20):
        assembler.feed(b"Nov 21 00:00:00 mx postfix/smtpd[%d]: connect from a[192.0.2.1]" % pid)
    assert freeze(assembler) is None
