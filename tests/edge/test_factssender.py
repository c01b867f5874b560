"""The milter's datagrams: handed over at once, or given up at once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mailtls.edge.factssender import FactsSender
from mailtls.errors import UnreachableError


def listening(path: Path) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    receiver.settimeout(20)
    return receiver


def test_a_mailtlsd_that_is_started_anew_is_found(tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    sender = FactsSender(path)
    for data in (b"one", b"two"):
        with listening(path) as receiver:
            sender.send(data)
            assert receiver.recv(100) == data
        path.unlink()


def test_nobody_is_waited_for_where_mailtlsd_does_not_read(tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    with listening(path), pytest.raises(UnreachableError, match="does not keep up"):
        for _ in range(100_000):
            FactsSender(path).send(b"x" * 1000)


@pytest.mark.parametrize("dead", [True, False])
def test_where_no_mailtlsd_is_that_is_said_with_the_place(tmp_path: Path, dead: bool) -> None:
    path = tmp_path / "facts.sock"
    if dead:
        listening(path).close()
    with pytest.raises(UnreachableError, match=r"facts\.sock: (no such file|connection refused)"):
        FactsSender(path).send(b"x")
