"""How TLS writes: big-endian numbers, and lengths in front of what they count (RFC 8446 section 3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def sized(data: bytes, octets: int) -> bytes:
    """Put the length before the data, in so many octets."""
    return len(data).to_bytes(octets, "big") + data


def numbers(values: Sequence[int]) -> bytes:
    """Write a list of 16-bit numbers."""
    return struct.pack(f">{len(values)}H", *values)


def extension(number: int, body: bytes) -> bytes:
    """Write one extension: type, length, body."""
    return struct.pack(">H", number) + sized(body, 2)
