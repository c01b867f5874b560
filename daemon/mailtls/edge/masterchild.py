"""Starting a server program of Postfix the way master(8) does: with a listening socket and the status pipe.

master/master_spawn.c and master/master_proto.h (3.7; the same in 3.4 to 3.11): descriptors 3 and 4 are the flow pipe, 5
the status pipe, 6 the first listening socket; `-l` says that the process limit is one. A program that sees the other
end of the status pipe closed leaves by itself, so nothing outlives us.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress

FLOW_READ, FLOW_WRITE, STATUS, LISTEN = 3, 4, 5, 6
ABOVE = 20
"""Descriptors are first copied here, so that none is overwritten before it is used."""
PATIENCE_S = 5.0
LOOKS_S = 0.02


class MasterChild:
    """A program that serves `listening`, which belongs to it from now on; leaving the `with` block ends it.

    Raises OSError where it cannot be started.
    """

    def __init__(self, argv: list[str], environment: Mapping[str, str], listening: socket.socket) -> None:
        self._argv = argv
        self._environment = environment
        self._listening = listening

    def __enter__(self) -> MasterChild:
        """Start it."""
        with ExitStack() as ours:
            flow_read, flow_write = self._pipe(ours)
            self._status, status = os.pipe()
            ours.callback(os.close, status)
            ours.callback(self._listening.close)
            given = {FLOW_READ: flow_read, FLOW_WRITE: flow_write, STATUS: status, LISTEN: self._listening.fileno()}
            actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
                (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)
            ]
            for number, handle in given.items():
                copy = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, ABOVE)
                ours.callback(os.close, copy)
                actions.append((os.POSIX_SPAWN_DUP2, copy, number))
            self._pid = os.posix_spawn(self._argv[0], self._argv, self._environment, file_actions=actions)
        return self

    def _pipe(self, until: ExitStack) -> tuple[int, int]:
        ends = os.pipe()
        for end in ends:
            until.callback(os.close, end)
        return ends

    def __exit__(self, *_: object) -> None:
        """Close the status pipe, and end what does not leave then."""
        os.close(self._status)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                return
            time.sleep(LOOKS_S)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
