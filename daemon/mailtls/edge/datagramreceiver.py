"""A datagram socket of mailtlsd's, at a path: processes that may do little else tell it there what they saw.

The directory is mailtlsd's own and has the group that may send (systemd/tmpfiles.d), which what is made in it gets.
Nobody waits: what is not taken at once stays with the sender, who may drop it.

SECURITY: mode 0660. Whoever may write to it is believed what its records say, and nothing else.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mailtls.errors import ConfigError

MODE = 0o660
RECEIVE_BUFFER = 1 << 20  # bytes


class DatagramReceiver:
    """The receiving end at `path`, for datagrams of at most `longest` bytes from `sender`, a name for the operator.

    What a process before it left there is replaced. Raises ConfigError.
    """

    def __init__(self, path: Path, longest: int, sender: str) -> None:
        self.path = path
        self._longest = longest
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
                f"{path}: no socket for {sender} can be made here: {(error.strerror or str(error)).lower()}; "
                f"its directory must belong to mailtlsd's user: ls -ld {path.parent}"
            ) from error

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """Give one datagram; None where there is none now. One that is too long comes cut, one byte too long."""
        try:
            return self._socket.recv(self._longest + 1)
        except (BlockingIOError, InterruptedError):
            return None

    def close(self) -> None:
        """Receive no more, and take the file away."""
        self.path.unlink(missing_ok=True)
        self._socket.close()
