"""Trying where master.cf is to listen: what is in the way, and what a plain user cannot know."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from mailtls.core.mastercf import Service, parse_master_cf
from mailtls.edge.doctorlisteners import Ports, this_machine, try_listeners
from mailtls.edge.runningmaster import Address

VALUES = {"inet_interfaces": "all", "inet_protocols": "ipv4"}
ENTRY = "25 inet n - y - - smtpd\n"


def entries(text: str) -> tuple[Service, ...]:
    return parse_master_cf(text).effective


def refusing(number: int, own: frozenset[Address] | None, used: frozenset[int] = frozenset()) -> Ports:
    """A machine that refuses every port for one reason; addresses alone are its own."""
    return Ports(lambda at: OSError(number, os.strerror(number)) if at[1] else None, lambda _: own, lambda: used)


@pytest.mark.parametrize(
    ("number", "own", "used", "faults", "unseen"),
    [
        (errno.EADDRINUSE, frozenset(), frozenset(), ["listener_taken"], []),
        (errno.EADDRINUSE, frozenset({("0.0.0.0", 25)}), frozenset(), [], []),
        (errno.EADDRINUSE, frozenset({("192.0.2.9", 25)}), frozenset(), [], []),
        (errno.EADDRINUSE, frozenset({("0.0.0.0", 26)}), frozenset(), ["listener_taken"], []),
        (errno.EADDRINUSE, None, frozenset(), [], [25]),
        (errno.EACCES, None, frozenset({25}), [], [25]),
        (errno.EACCES, None, frozenset(), [], []),
        (errno.EADDRNOTAVAIL, None, frozenset(), ["listener_not_here"], []),
    ],
)
def test_a_port_in_use_is_told_only_where_it_is_not_postfix(
    number: int, own: frozenset[Address] | None, used: frozenset[int], faults: list[str], unseen: list[int]
) -> None:
    found = try_listeners(entries(ENTRY), VALUES, Path("/nowhere"), refusing(number, own, used))
    assert ([each.trouble.value for each in found.faults], found.unseen) == (faults, unseen)


def test_an_address_of_a_kind_that_is_off_is_none() -> None:
    found = try_listeners(entries("[::1]:25 inet n - y - - smtpd\n"), VALUES, Path("/nowhere"), this_machine())
    assert [each.words for each in found.faults] == [
        "[::1]:25 has no address of a kind that inet_protocols allows here."
    ]


def test_who_listens_is_seen_by_any_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        assert there.getsockname()[1] in this_machine().used()
