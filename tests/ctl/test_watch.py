"""`mailtlsctl watch`: lines in a pipe, a page on a terminal, and a quiet end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pexpect
import pytest

from ctl.parties import NOW, World, a_world
from ctl.program import PROGRAM, environment
from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import Happening
from mailtls.core.level import Level
from mailtls.ctl.watch import spell

HOSTILE = "mx\x1b[31m\u202emoc.\x9b2J\u2028\x07[bold]"
FAILED = Happening(at=NOW, kind="session", ip="192.0.2.7", name=HOSTILE, what="tls_failed", cause=Cause.PEER_TOO_OLD)
WAIVED = Happening(at=NOW, kind="waiver", ip="192.0.2.7", what="granted by root", level=Level.CLEARTEXT)
NO_LOG = Happening(at=NOW, kind="source", what="the log is silent")


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        world.daemon.happenings = (FAILED, WAIVED, NO_LOG)
        with world.running():
            yield world
        world.daemon.end_of_watch.set()


def watched(world: World, *arguments: str) -> tuple[list[str], str, int]:
    """Read one line for each happening, then press Ctrl-C: the lines, the complaint, the exit status."""
    with subprocess.Popen(
        [PROGRAM, "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(MAILTLS_CONFIG=str(world.config)),
    ) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in world.daemon.happenings]
        running.send_signal(signal.SIGINT)
        rest, complaint = running.communicate()
    return [*lines, *rest.splitlines()], complaint, running.returncode


def test_in_a_pipe_each_happening_is_a_line_at_once_and_ctrl_c_ends_quietly(world: World) -> None:
    lines, complaint, status = watched(world)
    assert (complaint, status) == ("", 0)
    assert [line.split(None, 3)[1:3] for line in lines] == [
        ["session", "192.0.2.7"],
        ["waiver", "192.0.2.7"],
        ["source", "the"],
    ]
    assert lines[0].rstrip().endswith("tls_failed (peer_too_old)")
    assert lines[1].rstrip().endswith("granted by root (cleartext)")
    assert not {"\x1b", "\u202e", "\u2028", "\x9b", "\x07"} & set("".join(lines))


def test_with_json_each_happening_is_an_object_a_line(world: World) -> None:
    lines, complaint, status = watched(world, "--json")
    assert (complaint, status) == ("", 0)
    assert [Happening.model_validate(json.loads(line)) for line in lines] == [FAILED, WAIVED, NO_LOG]
    assert not {"\x1b", "\u202e", "\u2028", "\x9b", "\x07"} & set("".join(lines))


@pytest.mark.parametrize("colour", [{}, {"NO_COLOR": "1"}], ids=str)
def test_on_a_terminal_the_latest_fill_the_screen_and_ctrl_c_ends_quietly(world: World, colour: dict[str, str]) -> None:
    changes = {"MAILTLS_CONFIG": str(world.config), "TERM": "xterm-256color", **colour}
    screen = pexpect.spawn(
        str(PROGRAM), ["watch"], env=environment(**changes), encoding="utf-8", dimensions=(24, 80), timeout=60
    )
    try:
        screen.expect("1 session, 1 waiver, 1 source; Ctrl-C ends")
        screen.expect("the log is silent")
        seen = str(screen.before)
        screen.sendintr()
        screen.expect(pexpect.EOF)
        seen += str(screen.before)
    finally:
        screen.close(force=True)
    assert screen.exitstatus == 0
    assert "Traceback" not in seen
    assert not {"\u202e", "\u2028", "\x9b", "\x07"} & set(seen)
    assert "\x1b[31m\u202e" not in seen
    assert "mx?[31m" in seen.replace("\x1b[0m", "")


def test_a_dumb_terminal_gets_lines(world: World) -> None:
    changes = {"MAILTLS_CONFIG": str(world.config), "TERM": "dumb"}
    screen = pexpect.spawn(str(PROGRAM), ["watch"], env=environment(**changes), encoding="utf-8", timeout=60)
    try:
        screen.expect("the log is silent\r\n")
        assert "\x1b" not in str(screen.before)
    finally:
        screen.close(force=True)


def test_a_reader_that_goes_away_ends_it_without_a_word(world: World) -> None:
    world.daemon.happenings = (FAILED,) * 20_000
    with subprocess.Popen([PROGRAM, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment(MAILTLS_CONFIG=str(world.config))) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_the_time_is_of_this_machines_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setitem(os.environ, "TZ", "XYZ-3")
    time.tzset()
    try:
        assert spell(NO_LOG).startswith("13:00:00  source    the log is silent")
    finally:
        monkeypatch.undo()
        time.tzset()
