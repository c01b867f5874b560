"""The progress bar: on standard error, on a terminal, and only when reading takes a while."""

from __future__ import annotations

import io

import pytest

from mailtls.ctl import progress
from mailtls.ctl.progress import AskingBar, ReadingBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch, term: str = "xterm") -> Terminal:
    """A terminal as standard error; not a fixture, because pytest takes standard error back after those."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", term)
    return screen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_long_log_gets_a_bar_that_is_gone_afterwards(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with ReadingBar() as bar:
        assert bar.callback is not None
        bar.callback(10, 1000)
        assert terminal.getvalue() == ""
        clock[0] += progress.PATIENCE
        bar.callback(500, 1000)
        assert "reading" in terminal.getvalue()
        assert "0.5/1.0 kB" in terminal.getvalue()
        drawn = len(terminal.getvalue())
        bar.callback(501, 1000)
        assert len(terminal.getvalue()) == drawn, "no more than one drawing in BETWEEN seconds"
        clock[0] += progress.BETWEEN
        bar.callback(900, 0)
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is erased"


def test_a_short_log_gets_none(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with ReadingBar() as bar:
        assert bar.callback is not None
        bar.callback(10, 10)
    assert terminal.getvalue() == ""


def test_a_server_that_is_asked_much_gets_one_with_its_steps(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = terminal_of(monkeypatch)
    with AskingBar(["versions", "groups", "names"]) as bar:
        bar.told("versions")
        assert terminal.getvalue() == ""
        clock[0] += progress.PATIENCE
        bar.told("groups")
    assert "groups, question 2" in terminal.getvalue()
    assert "1/3" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is erased"


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_dumb_terminal_gets_none(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal_of(monkeypatch, term)
    assert ReadingBar().callback is None


@pytest.mark.parametrize("stderr", [None, io.StringIO()])
def test_a_pipe_or_nothing_gets_none(stderr: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stderr)
    assert ReadingBar().callback is None
