"""The first answer of a server to a hello, read from its bytes: what it chose, or its alert.

RFC 8446 section 4.1.3 (ServerHello, and HelloRetryRequest, which is one with a random of its own), section 6 (alerts).
"""

from __future__ import annotations

from dataclasses import dataclass

RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a HelloRetryRequest."""

_ALERT, _HANDSHAKE, _SERVER_HELLO = 0x15, 0x16, 2
_SUPPORTED_VERSIONS = 43


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What came: version and cipher with `retry`, or an alert; all None: the server closed, or said no TLS."""

    version: int | None = None
    cipher: int | None = None
    retry: bool = False
    alert: int | None = None


def wanted(data: bytes) -> int:
    """Say how many bytes the first record has, as far as its head is there: so many are to be read."""
    return 5 + int.from_bytes(data[3:5], "big") if len(data) >= 5 else 5


def read_first_answer(record: bytes) -> FirstAnswer:
    """Read a server's first record; what cannot be read is as if the server had closed."""
    if len(record) < 7:
        return FirstAnswer()
    if record[0] == _ALERT:
        return FirstAnswer(alert=record[6])
    body = record[5:]
    if record[0] != _HANDSHAKE or body[0] != _SERVER_HELLO or len(body) < 42:
        return FirstAnswer()
    at = 4 + 2 + 32 + 1 + body[38]
    if len(body) < at + 2:
        return FirstAnswer()
    version, cipher = int.from_bytes(body[4:6], "big"), int.from_bytes(body[at : at + 2], "big")
    extensions = body[at + 5 : 4 + int.from_bytes(body[1:4], "big")]
    while len(extensions) >= 4:
        size = int.from_bytes(extensions[2:4], "big")
        if int.from_bytes(extensions[:2], "big") == _SUPPORTED_VERSIONS:
            version = int.from_bytes(extensions[4:6], "big")
        extensions = extensions[4 + size :]
    return FirstAnswer(version, cipher, retry=body[6:38] == RETRY)
