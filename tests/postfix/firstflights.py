"""The hellos of real clients, as bytes: what a handshake of `handshakes` sends first, caught before any server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from .conversation import Handshake, HandshakeFailed


def first_flight(shake: Handshake) -> bytes:
    """Let a client begin its handshake with nobody, and give what it said; it then loses its connection."""
    ours, theirs = socket.socketpair()

    def begin() -> None:
        with suppress(HandshakeFailed, OSError), theirs:
            shake(theirs)

    client = threading.Thread(target=begin)
    client.start()
    with ours:
        ours.settimeout(20)
        head = ours.recv(5, socket.MSG_WAITALL)
        size = int.from_bytes(head[3:5], "big") if head[0] == 0x16 else (head[0] & 0x7F) << 8 | head[1] - 3
        hello = head + ours.recv(size, socket.MSG_WAITALL)
    client.join()
    return hello
