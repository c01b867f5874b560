"""Only one of us listens at a socket, whatever state the last one left it in."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailtls.edge.socketfile import SocketFile
from mailtls.errors import ConfigError, RefusedError

LISTENER = """
import sys
from pathlib import Path
from mailtls.edge.socketfile import SocketFile
from mailtls.errors import MailtlsError
try:
    listener = SocketFile(Path(sys.argv[1]), "mailtlsd").open()
except MailtlsError as error:
    print(type(error).__name__, flush=True)
else:
    print("listening", flush=True)
    sys.stdin.read()
"""


@contextmanager
def listening_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that wants to listen; its first line says whether it does."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "some.sock"


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def test_it_listens_with_the_mode_of_its_group_and_leaves_no_socket(path: Path) -> None:
    ours = SocketFile(path, "mailtlsd")
    first = ours.open()
    assert ours.open() is first
    assert not first.getblocking()
    assert stat.filemode(path.stat().st_mode) == "srw-rw----"
    assert connects(path)
    ours.close()
    assert not path.exists()
    ours.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to any group")
def test_a_group_that_the_directory_gives_needs_no_right_to_give_files_away(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    os.chown(path.parent, -1, 12345)
    path.parent.chmod(0o2755)
    monkeypatch.setattr(os, "chown", refuse)
    ours = SocketFile(path, "mailtlsd", "12345")
    ours.open()
    assert path.stat().st_gid == 12345
    ours.close()
    assert caplog.text == ""
    SocketFile(path, "mailtlsd", "54321").open()
    assert "could not be given to group 54321" in caplog.text


def refuse(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_it_can_be_opened_again(path: Path) -> None:
    ours = SocketFile(path, "mailtlsd")
    for _ in range(3):
        ours.open()
        assert connects(path)
        ours.close()


def test_what_a_killed_process_left_is_replaced(path: Path) -> None:
    with listening_elsewhere(path) as process:
        assert said(process) == "listening"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.exists(), "a killed process removes nothing; this test shows nothing"
    assert not connects(path)
    ours = SocketFile(path, "mailtlsd")
    ours.open()
    assert connects(path)
    ours.close()


def test_a_process_that_is_stopped_or_hangs_is_alive(path: Path) -> None:
    with listening_elsewhere(path) as process:
        assert said(process) == "listening"
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(
            RefusedError, match=r"another mailtlsd listens at .*; stop it first: systemctl stop mailtlsd"
        ):
            SocketFile(path, "mailtlsd").open()
        assert connects(path)


def test_of_several_that_start_together_on_a_left_socket_exactly_one_listens(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with (
        listening_elsewhere(path) as one, listening_elsewhere(path) as two, listening_elsewhere(path) as three,
    ):  # fmt: skip
        assert sorted(said(each) for each in (one, two, three)) == ["RefusedError", "RefusedError", "listening"]
        assert connects(path)


def test_the_lock_is_no_way_to_somebody_elses_file(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "precious").write_text("precious")
    path.with_name("some.sock.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError, match="no socket can be made here"):
        SocketFile(path, "mailtlsd").open()


def test_a_refused_file_holds_no_lock(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    ours = SocketFile(path, "mailtlsd")
    with pytest.raises(ConfigError, match="this is no socket, and is not removed"):
        ours.open()
    assert path.read_text() == "precious"
    path.unlink()
    SocketFile(path, "mailtlsd").open()


def test_programs_that_are_started_do_not_inherit_it(path: Path) -> None:
    ours = SocketFile(path, "mailtlsd")
    listener = ours.open()
    assert not os.get_inheritable(listener.fileno())
    ours.close()
