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
from mailtls.errors import ConfigError

MODE = 0o660
RECEIVE_BUFFER = 1 << 20  # bytes


class HelloReceiver:
    """mailtlsd's end, at `path`; what a process before it left there is replaced. Raises ConfigError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if path.is_socket():
                path.unlink()
            self._socket.bind(os.fspath(path))
            path.chmod(MODE)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"{path}: no socket for the observer can be made here: {(error.strerror or str(error)).lower()}; "
                f"its directory must belong to mailtlsd's user: ls -ld {path.parent}"
            ) from error

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """Give one datagram; None where there is none now. One that is too long comes cut, and is no record."""
        try:
            return self._socket.recv(LONGEST + 1)
        except (BlockingIOError, InterruptedError):
            return None

    def close(self) -> None:
        """Receive no more, and take the file away."""
        self.path.unlink(missing_ok=True)
        self._socket.close()


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
