"""Hellos as bytes, and as values, for the tests of what reads and judges them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

RANDOM = bytes(range(32))


def sized(data: bytes, octets: int) -> bytes:
    """Put the length before the data, in so many octets."""
    return len(data).to_bytes(octets, "big") + data


def numbers(values: Sequence[int]) -> bytes:
    """Write 16-bit numbers."""
    return struct.pack(f">{len(values)}H", *values)


def extension(number: int, body: bytes) -> bytes:
    """Write one extension."""
    return numbers([number]) + sized(body, 2)


def message(version: int, suites: Sequence[int], extensions: bytes | None = None, compressions: bytes = b"\0") -> bytes:
    """Write the handshake message."""
    body = numbers([version]) + RANDOM + sized(b"", 1) + sized(numbers(suites), 2) + sized(compressions, 1)
    if extensions is not None:
        body += sized(extensions, 2)
    return b"\x01" + sized(body, 3)


def record(data: bytes, version: int = 0x0301) -> bytes:
    """Put it into one record."""
    return b"\x16" + numbers([version]) + sized(data, 2)


def sslv2(version: int, kinds: Sequence[int]) -> bytes:
    """Write a hello in the format of SSLv2."""
    specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
    body = struct.pack(">BHHHH", 1, version, len(specs), 0, 16) + specs + bytes(16)
    return numbers([0x8000 | len(body)]) + body


MODERN = (
    extension(0, sized(b"\0" + sized(b"mx.example.test", 2), 2))
    + extension(10, sized(numbers([0x1D, 0x17]), 2))
    + extension(11, b"\1\0")
    + extension(13, sized(numbers([0x0403, 0x0804, 0x0401]), 2))
    + extension(16, sized(sized(b"smtp", 1), 2))
    + extension(23, b"")
    + extension(35, b"")
    + extension(43, sized(numbers([0x0304, 0x0303]), 1))
    + extension(51, sized(numbers([0x1D]) + sized(bytes(32), 2), 2))
)
"""Extensions of a client of TLS 1.3."""
