"""The datagram socket from the observer to mailtlsd, both ends: one record a datagram (core/hellorecord.py).

Nobody waits: what the other side does not take at once stays with the sender, who may drop it. mailtlsd makes the
socket; its directory is its own, and has the group that may send (systemd/tmpfiles.d), which what is made in it gets.

SECURITY: who may write to it may tell mailtlsd what clients offered, and nothing else: mode 0660.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mailtls.core.hellorecord import LONGEST
from mailtls.edge.datagramreceiver import DatagramReceiver


class HelloReceiver(DatagramReceiver):
    """mailtlsd's end, at `path`; what a process before it left there is replaced. Raises ConfigError."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, LONGEST, "the observer")


class HelloSender:
    """The observer's end. A mailtlsd that is not there, or begins anew, is found again by the next datagram."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self.trouble = ""

    def send(self, datagram: bytes) -> bool:
        """Send one datagram; False where it is not taken now. `trouble` then says why, if it is not haste alone."""
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.send(datagram)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.close()
            self.trouble = f"{self.path}: {(error.strerror or str(error)).lower()}; see: systemctl status mailtlsd"
            return False
        self.trouble = ""
        return True

    def _connected(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            made.connect(os.fspath(self.path))
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Let go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
