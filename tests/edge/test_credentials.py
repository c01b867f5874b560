"""Who is at the other end, as the kernel says: tried with real users and groups."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailtls.core.objection import Kind, Requester
from mailtls.edge.credentials import gid_of, requester, uid_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="being somebody else needs root")

DAEMON, ADMINS, OTHER = "65533", "65532", "65531"
CONNECT = """
import os, socket, sys
place, uid, gid, groups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [int(word) for word in sys.argv[4:]]
client = socket.socket(socket.AF_UNIX)
os.setgroups(groups), os.setgid(gid), os.setuid(uid)
client.connect(place)
client.recv(1)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mailtls-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "socket"


def told(place: Path, uid: int, gid: int, groups: tuple[int, ...] = (), daemon: str = DAEMON) -> Requester | None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        place.chmod(0o666)
        listening.listen()
        with subprocess.Popen([sys.executable, "-I", "-c", CONNECT, *map(str, (place, uid, gid, *groups))]):
            connection, _ = listening.accept()
            with connection:
                return requester(connection, daemon, ADMINS)


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "expected"),
    [
        (0, 0, (), Requester(Kind.PERSON, "root")),
        (65_533, 65_533, (), Requester(Kind.DAEMON, "mailtlsd")),
        (65_533, 65_532, (65_532,), Requester(Kind.DAEMON, "mailtlsd")),
        (65_531, 65_531, (1, 2, 65_532), Requester(Kind.PERSON, "uid 65531")),
        (65_531, 65_531, (65_532, *range(1000, 1250)), Requester(Kind.PERSON, "uid 65531")),
        (65_531, 65_531, (65_532, *range(1000, 1300)), None),
        (65_531, 65_532, (), None),
        (65_531, 65_531, (1, 2), None),
        (65_531, 65_531, (), None),
    ],
    ids=[
        "root", "the daemon", "the daemon in the operators' group", "an operator", "an operator in many groups", "one in too many groups, without a record", "a lent group", "others", "a stranger",
    ],
)  # fmt: skip
def test_who_connects(place: Path, uid: int, gid: int, groups: tuple[int, ...], expected: Requester | None) -> None:
    assert told(place, uid, gid, groups) == expected


def test_root_is_a_person_also_where_the_daemon_is_said_to_be_root(place: Path) -> None:
    assert told(place, 0, 0, daemon="root") == Requester(Kind.PERSON, "root")


def test_names_and_numbers_mean_the_same_and_unknown_ones_nobody() -> None:
    assert uid_of("root") == uid_of("0") == 0
    assert gid_of("root") == gid_of("0") == 0
    for lookup in (uid_of, gid_of):
        assert lookup("no-such-name-here") is None
