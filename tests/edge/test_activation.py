"""Sockets are taken over from systemd, by name, and only when they were meant for this process."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mailtls.edge.activation import FIRST, MOST, passed_sockets
from mailtls.errors import ConfigError

# Puts itself in systemd's place: descriptors 3 and 4 are open, and the variables name the process that follows.
RECEIVER = """
import json, os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from mailtls.edge.activation import passed_sockets
found = passed_sockets()
print(json.dumps([[each.name, each.descriptor, os.get_inheritable(each.descriptor)] for each in found]))
"""


def received(environ: dict[str, str], tmp_path: Path) -> list[list[object]]:
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(str(tmp_path / "first"))
        second.bind(str(tmp_path / "second"))

        def move() -> None:
            one, two = os.dup(first.fileno()), os.dup(second.fileno())
            os.dup2(one, FIRST)
            os.dup2(two, FIRST + 1)

        result = subprocess.run(
            [sys.executable, "-c", RECEIVER],
            env={**os.environ, **environ}, preexec_fn=move, close_fds=False, capture_output=True, check=True,
        )  # fmt: skip
    return list(json.loads(result.stdout))


def test_passed_sockets_come_with_their_names_and_stay_with_this_process(tmp_path: Path) -> None:
    environ = {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "policy:milter"}
    assert received(environ, tmp_path) == [["policy", 3, False], ["milter", 4, False]]


def test_sockets_without_names_are_called_what_systemd_calls_them(tmp_path: Path) -> None:
    assert received({"LISTEN_FDS": "2"}, tmp_path) == [["unknown", 3, False], ["unknown", 4, False]]


@pytest.mark.parametrize("environ", [{}, {"LISTEN_FDS": "2"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1"}])
def test_what_was_meant_for_another_process_is_left_alone(environ: dict[str, str]) -> None:
    assert passed_sockets(environ) == ()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LISTEN_FDS": "many"}, "LISTEN_FDS is 'many'"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS is '-1'"),
        ({"LISTEN_FDS": str(MOST + 1)}, f"LISTEN_FDS is '{MOST + 1}'"),
        ({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"}, "LISTEN_FDNAMES has 2 names for 1 sockets"),
        ({"LISTEN_FDS": "0", "LISTEN_FDNAMES": "a"}, "LISTEN_FDNAMES has 1 names for 0 sockets"),
    ],
)
def test_variables_that_nobody_could_mean_are_one_sentence(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match="start this by its systemd unit") as caught:
        passed_sockets({**environ, "LISTEN_PID": str(os.getpid())})
    assert words in str(caught.value)


def test_a_socket_that_is_not_open_is_named() -> None:
    environ = {"LISTEN_FDS": str(MOST), "LISTEN_FDNAMES": ":".join(["gone"] * MOST)}
    result = subprocess.run(  # a process of its own, because this one may have so many files open
        [sys.executable, "-c", RECEIVER], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert re.search(r"ConfigError: LISTEN_FDS names socket \d+ \(gone\), which is not open", result.stderr)
