"""Files of captured packets, taken apart: pcap and pcapng to frames, a piece of the file at a time.

pcap: draft-ietf-opsawg-pcap (both byte orders, microseconds and nanoseconds). pcapng: draft-ietf-opsawg-pcapng (section
header, interface description, enhanced, simple and the obsolete packet block; others are skipped).

Promises: any bytes give frames or an InputError of one sentence; never more than one block (`LARGEST`) is held.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from mailtls.errors import InputError

LARGEST = 1 << 20  # bytes of one block; libpcap writes no packet of more than 262144

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_RESOLUTION = 9  # option if_tsresol
_MOST_INTERFACES = 4096


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured packet. `link`: its LINKTYPE; `at`: seconds since 1970, None where the file does not say."""

    link: int
    at: float | None
    data: bytes


class CaptureReader:
    """Takes a file in pieces, gives the frames that are whole."""

    def __init__(self) -> None:
        """Start before the first byte."""
        self._data = bytearray()
        self._order = ""
        self._units = 0  # of a second; 0: pcapng, whose interfaces each have their own
        self._link = 0
        self._interfaces: list[tuple[int, float]] = []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the next piece. Raises InputError where this is no capture, or a broken one."""
        self._data += data
        if not self._order:
            if len(self._data) < 24:
                return
            self._begin()
        taken = 0
        while (size := self._whole(taken)) is not None:
            block = bytes(self._data[taken : taken + size])
            taken += size
            frame = self._read_block(block) if not self._units else self._read_record(block)
            if frame is not None:
                yield frame
        del self._data[:taken]

    def close(self) -> int:
        """Tell how many bytes are left over: a file that was cut off. Raises InputError where it never began."""
        if not self._order:
            raise InputError("it is too short to be a capture; record one with `tcpdump -w FILE`")
        return len(self._data)

    def _begin(self) -> None:
        """Read the head of the file."""
        magic = bytes(self._data[:4])
        if magic in _PCAP:
            self._order, self._units = _PCAP[magic]
            self._link = struct.unpack(f"{self._order}I", self._data[20:24])[0] & 0xFFFF
            del self._data[:24]
        elif magic == _SECTION:
            self._order = _order(bytes(self._data[8:12]))
        else:
            raise InputError("it is neither pcap nor pcapng; record one with `tcpdump -w FILE`")

    def _whole(self, at: int) -> int | None:
        """Give the size of the next block, None where it is not whole yet."""
        head = self._data[at : at + 16]
        if len(head) < (16 if self._units else 12):
            return None
        if self._units:
            size = 16 + struct.unpack(f"{self._order}I", head[8:12])[0]
        else:
            if head[:4] == _SECTION:
                self._order = _order(bytes(head[8:12]))
            size = struct.unpack(f"{self._order}I", head[4:8])[0]
        if size > LARGEST or (not self._units and (size < 12 or size % 4)):
            raise InputError(f"it is broken: a packet of {size:,} bytes, at most {LARGEST:,} make sense")
        return size if len(self._data) - at >= size else None

    def _read_record(self, record: bytes) -> Frame:
        seconds, parts = struct.unpack(f"{self._order}II", record[:8])
        return Frame(self._link, seconds + parts / self._units, record[16:])

    def _read_block(self, block: bytes) -> Frame | None:
        kind = struct.unpack(f"{self._order}I", block[:4])[0]
        body = block[8:-4]
        if block[:4] == _SECTION:
            self._interfaces = []
        elif kind == _INTERFACE and len(body) >= 8:
            if len(self._interfaces) < _MOST_INTERFACES:
                link = struct.unpack(f"{self._order}H", body[:2])[0]
                self._interfaces.append((link, self._resolution(body[8:])))
        elif kind in (_PACKET, _OLD_PACKET) and len(body) >= 20:
            form = "I" if kind == _PACKET else "H"
            number = struct.unpack_from(f"{self._order}{form}", body)[0]
            high, low, size = struct.unpack(f"{self._order}III", body[4:16])
            return self._frame(number, high << 32 | low, body[20 : 20 + size])
        elif kind == _SIMPLE_PACKET and len(body) >= 4:
            size = struct.unpack(f"{self._order}I", body[:4])[0]
            return self._frame(0, None, body[4 : 4 + size])
        return None

    def _frame(self, interface: int, ticks: int | None, data: bytes) -> Frame | None:
        if interface >= len(self._interfaces):
            return None
        link, unit = self._interfaces[interface]
        return Frame(link, None if ticks is None else ticks * unit, data)

    def _resolution(self, options: bytes) -> float:
        """Find the unit of an interface's time stamps, in seconds."""
        at = 0
        while at + 4 <= len(options):
            code, size = struct.unpack(f"{self._order}HH", options[at : at + 4])
            if code == _RESOLUTION and size == 1 and at + 5 <= len(options):
                exponent = options[at + 4]
                return float(2.0 ** -(exponent & 0x7F) if exponent & 0x80 else 10.0**-exponent)
            at += 4 + size + -size % 4
        return 1e-6


def _order(magic: bytes) -> str:
    order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(magic)
    if order is None:
        raise InputError("it is broken: a section of pcapng without its byte order")
    return order
