"""The first answer of a server to a hello, as bytes on the wire: what it chose, or its alert."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from .conversation import Conversation, Server

RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 section 4.1.3


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: version and cipher with `retry`, or an alert; all None: the server closed without a word."""

    version: int | None = None
    cipher: int | None = None
    retry: bool = False
    alert: int | None = None


def answer_to(hello: bytes, source: str, server: Server) -> tuple[Answer, int]:
    """Send a hello from an address, and read the answer; also give our port, by which the log is read."""
    with Conversation(source, server) as conversation:
        conversation.approach()
        port = int(conversation.wire.getsockname()[1])
        with suppress(BrokenPipeError, ConnectionResetError):
            conversation.send(hello)
            return _read(conversation.wire), port
        return Answer(), port


def _read(wire: socket.socket) -> Answer:
    head = _exactly(wire, 5)
    if len(head) < 5:
        return Answer()
    body = _exactly(wire, int.from_bytes(head[3:5], "big"))
    if head[0] == 0x15:
        return Answer(alert=body[1])
    at = 4 + 2 + 32 + 1 + body[38]
    version, cipher = int.from_bytes(body[4:6], "big"), int.from_bytes(body[at : at + 2], "big")
    extensions = body[at + 5 : 4 + int.from_bytes(body[1:4], "big")]
    while len(extensions) >= 4:
        size = int.from_bytes(extensions[2:4], "big")
        if extensions[:2] == b"\0\x2b":
            version = int.from_bytes(extensions[4:6], "big")
        extensions = extensions[4 + size :]
    return Answer(version, cipher, retry=body[6:38] == RETRY)


def _exactly(wire: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := wire.recv(size - len(data))):
        data += more
    return data
