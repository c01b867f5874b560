"""What the observer tells mailtlsd: a datagram for each first message of a client, each alert, and sometimes a tally.

    magic "mtLS", version 1, kind | time | peer, port | server, port | bytes as they were on the wire

Promises: `read_record` gives a record or None, whatever the bytes; nothing is longer than `LONGEST`. Addresses are
spelled as Postfix does. A record of another version is None: both programs are of one installation.

SECURITY: the wire's bytes are a stranger's, and so is who seems to have sent them: nobody has looked whether the
connection exists. Whoever uses them must hold them against the log.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address

from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.packetfilter import LONGEST as LONGEST_PACKET
from mailtls.core.peer import canonical_ip

_HEAD = struct.Struct(">4sBBd16sH16sH")
_TALLY = struct.Struct(">4sBB4Q")
_MAGIC, _VERSION = b"mtLS", 1
LONGEST = _HEAD.size + LONGEST_PACKET


class Kind(IntEnum):
    """What a datagram holds."""

    HELLO = 1
    ALERT = 2
    TALLY = 3


@dataclass(frozen=True, slots=True)
class Sighting:
    """One segment that was let pass. `at`: seconds since 1970; `data`: of its payload, as far as it was passed."""

    kind: Kind
    at: float
    peer: str
    peer_port: int
    server: str
    server_port: int
    data: bytes

    @property
    def hello(self) -> ClientHello | None:
        """Read the hello; None where it is none after all."""
        return read_hello(self.data) if self.kind is Kind.HELLO else None

    @property
    def alert(self) -> int | None:
        """Give the number of the alert (RFC 8446 section 6)."""
        return self.data[6] if self.kind is Kind.ALERT and len(self.data) >= 7 else None


@dataclass(frozen=True, slots=True)
class Tally:
    """What the observer counted since it began.

    `passed`: frames that the kernel's filter let pass; `lost`: of them, those that it had no room for. `told`: records
    that were sent; `dropped`: those that mailtlsd did not take in time, or that were too many.
    """

    passed: int = 0
    lost: int = 0
    told: int = 0
    dropped: int = 0


def write_record(record: Sighting | Tally) -> bytes:
    """Write one datagram."""
    if isinstance(record, Tally):
        return _TALLY.pack(_MAGIC, _VERSION, Kind.TALLY, record.passed, record.lost, record.told, record.dropped)
    head = _HEAD.pack(
        _MAGIC, _VERSION, record.kind, record.at,
        _packed(record.peer), record.peer_port, _packed(record.server), record.server_port,
    )  # fmt: skip
    return head + record.data[:LONGEST_PACKET]


def read_record(datagram: bytes) -> Sighting | Tally | None:
    """Read one datagram; None where it is no record."""
    if len(datagram) > LONGEST or datagram[:5] != _MAGIC + bytes((_VERSION,)):
        return None
    if datagram[5:6] == bytes((Kind.TALLY,)):
        return Tally(*_TALLY.unpack(datagram)[3:]) if len(datagram) == _TALLY.size else None
    if len(datagram) <= _HEAD.size or datagram[5] not in (Kind.HELLO, Kind.ALERT):
        return None
    _, _, kind, at, peer, peer_port, server, server_port = _HEAD.unpack_from(datagram)
    if not math.isfinite(at) or at < 0:
        return None
    data = datagram[_HEAD.size :]
    return Sighting(Kind(kind), at, _spelled(peer), peer_port, _spelled(server), server_port, data)


def _packed(address: str) -> bytes:
    """Write an address in 16 bytes; one of IPv4 as it stands in IPv6 (RFC 4291 section 2.5.5.2)."""
    return IPv6Address(address if ":" in address else f"::ffff:{address}").packed


def _spelled(packed: bytes) -> str:
    return canonical_ip(str(IPv6Address(packed)))
