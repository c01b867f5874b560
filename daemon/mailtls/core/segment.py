"""One TCP segment out of a captured frame: Ethernet with or without VLANs, Linux cooked, loopback, or bare IP.

LINKTYPE numbers are tcpdump.org's (linktypes.html). Promises: any bytes give a segment or None; what a card has not yet
split (a length of 0) is taken as long as it is. Fragments of IP beyond the first are None.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mailtls.core.capture import Frame

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLANS = frozenset({0x8100, 0x88A8, 0x9100})
_TCP, _FRAGMENT, _AUTHENTICATION = 6, 44, 51
_OPTIONS = frozenset({0, 43, 60, _FRAGMENT, _AUTHENTICATION, 135})  # IPv6 extension headers before TCP
_DEEPEST = 8  # VLAN tags, or extension headers

NULL, ETHERNET, RAW, LOOP, COOKED, IPV4, IPV6, COOKED2 = 0, 1, 101, 108, 113, 228, 229, 276
_BARE = frozenset({RAW, 12, 14, IPV4, IPV6})  # 12 and 14 are what some BSDs wrote for RAW
LINKS = frozenset({NULL, ETHERNET, LOOP, COOKED, COOKED2}) | _BARE
"""The kinds of links that are understood."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. Addresses as text; `sequence`: of its first byte; `ends`: FIN or RST."""

    at: float | None
    source: str
    source_port: int
    target: str
    target_port: int
    sequence: int
    begins: bool
    ends: bool
    data: bytes


def read_segment(frame: Frame) -> Segment | None:
    """Read the segment of a frame; None where it holds none."""
    try:
        packet = _packet(frame.link, frame.data)
        return _read_ip(frame.at, packet) if packet else None
    except (struct.error, IndexError):
        return None  # cut off in a header


def _packet(link: int, data: bytes) -> bytes:
    if link in _BARE:
        return data
    if link in (NULL, LOOP):
        return data[4:]
    if link == COOKED2:
        return data[20:] if int.from_bytes(data[:2], "big") in (_IPV4, _IPV6) else b""
    at = 12 if link == ETHERNET else 14
    for _ in range(_DEEPEST):
        kind = int.from_bytes(data[at : at + 2], "big")
        if kind in (_IPV4, _IPV6):
            return data[at + 2 :]
        if kind not in _VLANS:
            break
        at += 4
    return b""


def _read_ip(at: float | None, packet: bytes) -> Segment | None:
    if packet[0] >> 4 == 4 and len(packet) >= 20:
        size, flags = struct.unpack_from(">H2xH", packet, 2)
        head = (packet[0] & 0x0F) * 4
        if packet[9] != _TCP or flags & 0x1FFF or head < 20:
            return None
        ends = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
        return _read_tcp(at, *ends, packet[head : size or len(packet)])
    if packet[0] >> 4 == 6 and len(packet) >= 40:
        size = int.from_bytes(packet[4:6], "big")
        payload = _behind_options(packet[6], packet[40 : 40 + size if size else len(packet)])
        if payload is None:
            return None
        return _read_tcp(at, str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40])), payload)
    return None


def _behind_options(kind: int, payload: bytes) -> bytes | None:
    """Skip the extension headers of IPv6 (RFC 8200 section 4); None where no TCP is behind them."""
    for _ in range(_DEEPEST):
        if kind == _TCP:
            return payload
        if kind not in _OPTIONS:
            return None
        if kind == _FRAGMENT and int.from_bytes(payload[2:4], "big") & 0xFFF8:
            return None
        length = 8 if kind == _FRAGMENT else (payload[1] + 2) * 4 if kind == _AUTHENTICATION else (payload[1] + 1) * 8
        kind, payload = payload[0], payload[length:]
    return None


def _read_tcp(at: float | None, source: str, target: str, data: bytes) -> Segment | None:
    source_port, target_port, sequence, head, flags = struct.unpack_from(">HHI4xBB", data)
    offset = (head >> 4) * 4
    if offset < 20:
        return None
    return Segment(
        at, source, source_port, target, target_port, sequence, bool(flags & 0x02), bool(flags & 0x05), data[offset:]
    )
