"""systemd hears what it is told, on a real socket; without systemd nothing happens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailtls.edge.sdnotify import LONGEST, Notifier


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.settimeout(5)
        yield listener


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@mailtls-test-{os.getpid()}"


def test_assignments_are_heard_as_one_message(address: str) -> None:
    with manager(address) as listener:
        assert Notifier({"NOTIFY_SOCKET": address}).send("READY=1", "STATUS=3 peers, größer")
        assert listener.recv(LONGEST) == "READY=1\nSTATUS=3 peers, größer".encode()


def test_a_line_end_in_a_value_begins_no_assignment(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with manager(address) as listener:
        Notifier({"NOTIFY_SOCKET": address}).send("STATUS=a peer named x\nMAINPID=1\r\nREADY=1")
        assert listener.recv(LONGEST) == b"STATUS=a peer named x MAINPID=1 READY=1"


def test_a_message_is_never_longer_than_systemd_takes(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with manager(address) as listener:
        Notifier({"NOTIFY_SOCKET": address}).send("STATUS=" + "x" * 100_000)
        assert len(listener.recv(1 << 20)) == LONGEST


def test_reloading_says_since_when(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with manager(address) as listener:
        Notifier({"NOTIFY_SOCKET": address}).reloading()
        first, second = listener.recv(LONGEST).decode().split("\n")
    assert first == "RELOADING=1"
    name, value = second.split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize("named", [None, "", "@", "/", "relative/path", "vsock:2:1234"])
def test_without_a_socket_nothing_is_told(named: str | None) -> None:
    notifier = Notifier({} if named is None else {"NOTIFY_SOCKET": named})
    assert not notifier.send("READY=1")


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with manager(str(address)):
        notifier = Notifier({"NOTIFY_SOCKET": str(address)})
    assert not notifier.send("WATCHDOG=1")
    address.unlink()
    assert not notifier.send("WATCHDOG=1")


def test_a_manager_that_does_not_read_does_not_stop_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailtls.edge.sdnotify.SEND_TIMEOUT_S", 0.01)
    address = str(tmp_path / "notify")
    with manager(address):
        notifier = Notifier({"NOTIFY_SOCKET": address})
        taken = list(iter(lambda: notifier.send("WATCHDOG=1"), False))
    assert taken, "nothing was ever taken; this test shows nothing"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
    ],
)
def test_the_watchdog_counts_only_where_it_watches_this_process(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environ).watchdog_seconds == seconds
