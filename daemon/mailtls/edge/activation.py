"""Sockets that systemd opened and passed to this program (sd_listen_fds(3)).

A unit's `.socket` opens them before the program starts, as root if need be, and keeps them while it restarts, so that
nobody who connects meanwhile is turned away. Names come from FileDescriptorName=.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mailtls.errors import ConfigError

FIRST = 3  # SD_LISTEN_FDS_START
MOST = 64  # more than any unit of ours passes
UNNAMED = "unknown"  # what systemd calls a socket without a name


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """One socket that was passed: its unit's name for it, and the descriptor."""

    name: str
    descriptor: int


def passed_sockets(environ: Mapping[str, str] = os.environ) -> tuple[PassedSocket, ...]:
    """Give the sockets that were passed to this process; none where they were meant for another one, or not at all.

    Programs that are started from here do not inherit them. Raises ConfigError for variables that nobody could mean.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return ()
    count = _count(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":") if environ.get("LISTEN_FDNAMES") else [UNNAMED] * count
    if len(names) != count:
        raise ConfigError(
            f"LISTEN_FDNAMES has {len(names)} names for {count} sockets; start this by its systemd unit, or without "
            "LISTEN_ variables."
        )
    sockets = tuple(PassedSocket(name, FIRST + number) for number, name in enumerate(names))
    for passed in sockets:
        _keep_from_children(passed)
    return sockets


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > MOST:
        raise ConfigError(
            f"LISTEN_FDS is '{text[:20]}', and a number up to {MOST} was expected; start this by its systemd unit, or "
            "without LISTEN_ variables."
        )
    return int(text)


def _keep_from_children(passed: PassedSocket) -> None:
    try:
        os.set_inheritable(passed.descriptor, False)
    except OSError as error:
        raise ConfigError(
            f"LISTEN_FDS names socket {passed.descriptor} ({passed.name}), which is not open; start this by its "
            "systemd unit, or without LISTEN_ variables."
        ) from error
