"""The keeper's own end of its socket: whose it is, and who may connect."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mailtls.edge.keeperlistener import own_socket, passed_socket
from mailtls.errors import ConfigError

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")


@ROOT_ONLY
@pytest.mark.parametrize(
    ("daemon", "admins", "owner", "group"),
    [
        ("65533", "65532", 65_533, 65_532),
        ("65533", "no-such-group", 65_533, 0),
        ("no-such-user", "no-such-group", 0, 0),
    ],
)
def test_the_daemon_and_the_operators_may_connect_and_nobody_else(
    tmp_path: Path, daemon: str, admins: str, owner: int, group: int
) -> None:
    with own_socket(tmp_path / "run" / "keeper.sock", daemon, admins):
        status = (tmp_path / "run" / "keeper.sock").stat()
        assert stat.S_ISSOCK(status.st_mode)
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o660, owner, group)
        directory = (tmp_path / "run").stat()
        assert (directory.st_mode & 0o022, directory.st_uid) == (0, 0), "whoever could swap it would be asked instead"


def test_what_a_killed_predecessor_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keeper.sock"
    own_socket(path, "nobody-here", "nobody-here").close()
    (tmp_path / "keeper.sock.new").write_text("half done")
    with own_socket(path, "nobody-here", "nobody-here"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_place_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="the keeper cannot listen there"):
        own_socket(tmp_path / "file" / "keeper.sock", "x", "x")


CHILD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
from mailtls.edge.keeperlistener import passed_socket
print(passed_socket().getsockname())
"""


def test_a_socket_that_systemd_passes_is_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        number = listening.fileno()
        command = [sys.executable, "-c", CHILD, str(number)]
        done = subprocess.run(command, pass_fds=[number], capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "s"), done.stderr


def test_without_systemd_none_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert passed_socket() is None
