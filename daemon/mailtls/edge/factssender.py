"""The milter's way to mailtlsd: one datagram a message, given up at once where nobody takes it.

Nothing here ever waits: mailtlsd may be dead, stopped or slow, and mail goes on. The path is looked up each time, so
that a mailtlsd that was started anew is found.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mailtls.errors import UnreachableError


class FactsSender:
    """Sends to the socket at `path`; any thread may."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def send(self, data: bytes) -> None:
        """Hand a datagram over. Raises UnreachableError with a clause where it could not be."""
        try:
            self._socket.sendto(data, self._path)
        except BlockingIOError as error:
            raise UnreachableError(f"{self._path}: mailtlsd does not keep up") from error
        except OSError as error:
            raise UnreachableError(f"{self._path}: {(error.strerror or str(error)).lower()}") from error

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()
