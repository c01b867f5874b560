"""Captures by hand: segments in frames of every kind, frames in files of both formats."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import ip_address

SYN, FIN, RST, ACK = 0x02, 0x01, 0x04, 0x10


def tcp(source: int, target: int, sequence: int, data: bytes = b"", flags: int = ACK) -> bytes:
    """Write a TCP segment with a header of 20 bytes."""
    return struct.pack(">HHIIBBHHH", source, target, sequence % 2**32, 0, 0x50, flags, 0, 0, 0) + data


def ip(source: str, target: str, payload: bytes) -> bytes:
    """Put it into IPv4 or IPv6, as the addresses are."""
    ends = ip_address(source).packed + ip_address(target).packed
    if len(ends) == 8:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, 6, 0) + ends + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), 6, 64) + ends + payload


def linked(link: int, packet: bytes) -> bytes:
    """Put a link's own header before the packet."""
    kind = struct.pack(">H", 0x0800 if packet[0] >> 4 == 4 else 0x86DD)
    family = 2 if packet[0] >> 4 == 4 else 10
    headers = {
        0: struct.pack("<I", family),
        1: bytes(12) + kind,
        108: struct.pack(">I", family),
        113: bytes(14) + kind,
        276: kind + bytes(18),
    }
    return headers.get(link, b"") + packet


def pcap(frames: Iterable[bytes], link: int = 1, order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    """Write a pcap file; frame number n was captured at n seconds and a half."""
    half = 500_000 if magic == 0xA1B2C3D4 else 500_000_000
    text = struct.pack(f"{order}IHHIIII", magic, 2, 4, 0, 0, 65535, link)
    for second, frame in enumerate(frames):
        text += struct.pack(f"{order}IIII", second, half, len(frame), len(frame)) + frame
    return text


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Write one block of pcapng."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def pcapng(frames: Iterable[bytes], link: int = 1, order: str = "<", resolution: int | None = None) -> bytes:
    """Write a pcapng file of one interface, with a block that nobody knows in it."""
    options = b"" if resolution is None else struct.pack(f"{order}HHBxxxHH", 9, 1, resolution, 0, 0)
    text = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    text += block(1, struct.pack(f"{order}HHI", link, 0, 0) + options, order) + block(0xBAD, b"xyz", order)
    units = 1_000_000 if resolution is None else 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    for second, frame in enumerate(frames):
        ticks = second * units + units // 2
        head = struct.pack(f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        text += block(6, head + frame, order)
    return text
