"""What our programs log is one printable line a message, with its priority where systemd wants it."""

from __future__ import annotations

import logging

import pytest

from mailtls.edge.loglines import NOTICE, LogLines


def line(words: str, level: int = logging.INFO, *, prefixed: bool = True, info: int = 6) -> str:
    record = logging.LogRecord("x", level, "x", 1, words, None, None)
    return LogLines("mailtls-keeper", prefixed=prefixed, info=info).format(record)


@pytest.mark.parametrize(
    ("level", "priority"), [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (25, NOTICE)]
)
def test_under_systemd_a_line_begins_with_its_priority(level: int, priority: int) -> None:
    assert line("a peer", level) == f"<{priority}>a peer"


def test_elsewhere_it_says_who_speaks_and_how_loud() -> None:
    assert line("a peer", logging.ERROR, prefixed=False) == "mailtls-keeper: ERROR: a peer"


def test_information_may_be_made_a_notice() -> None:
    assert line("a peer", info=NOTICE) == "<5>a peer"


def test_no_terminal_obeys_what_a_stranger_wrote_and_no_line_is_two() -> None:
    assert line("a\x1b[2J\nb") == "<6>a?[2J?b"
