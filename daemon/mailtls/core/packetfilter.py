"""The kernel's filter of the observer: first messages of TLS, and alerts in plain text, that come in to the mail ports.

A program of classic BPF (Linux Documentation/networking/filter.rst) for a packet socket without the link's header: one
for IPv4, one for IPv6. The kernel runs it before anything is copied, so that mail itself never reaches the observer:
of what is encrypted, nothing looks like a hello but by chance (less than one segment in 2**30).

Passed are a ClientHello in records of TLS (RFC 8446 sections 4.1.2 and 5.1), one in the format of SSLv2 (RFC 6101
appendix E), and an alert of two bytes (RFC 8446 section 6); only to this machine, only at the beginning of a segment.

BUGS: what follows in a second segment is not passed, since nothing tells it from mail: a hello that was cut in two is
told as truncated. A first segment of less than seven bytes of TLS is not recognised, nor one behind the extension
headers of IPv6, which no mail server sends.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

LONGEST = 8192  # bytes of a packet that are passed
MOST_PORTS = 16

# include/uapi/linux/bpf_common.h
_LOAD_BYTE, _LOAD_HALF = 0x30, 0x28  # at k
_LOAD_BYTE_AT, _LOAD_HALF_AT = 0x50, 0x48  # at X + k
_LOAD_WORD = 0x20
_LOAD_X, _LOAD_X_IHL = 0x01, 0xB1  # k; four times the low half of the byte at k (the header of IPv4)
_EQUAL, _GREATER, _HAS = 0x15, 0x25, 0x45
_SHIFT, _AND, _ADD_X, _A_TO_X, _RETURN = 0x74, 0x54, 0x0C, 0x07, 0x06

PACKET_KIND = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_TO_US = 0  # PACKET_HOST
_TCP = 6


class Instruction(NamedTuple):
    """One instruction, as struct sock_filter has it."""

    code: int
    when_true: int
    when_false: int
    value: int


@dataclass(frozen=True, slots=True)
class _Step:
    """An instruction whose jumps go to names; an empty name is the next one."""

    code: int
    value: int = 0
    then: str = ""
    otherwise: str = ""
    name: str = ""


def hello_filter(version: int, ports: Collection[int]) -> tuple[Instruction, ...]:
    """Make the program for IP of this version (4 or 6). Raises ValueError for ports that make no sense."""
    if not ports or len(ports) > MOST_PORTS or not all(0 < port < 0x10000 for port in ports):
        raise ValueError(f"the observer listens at one to {MOST_PORTS} ports, not at {sorted(ports)}")
    return _assemble([*_addressed(version), *_to(sorted(set(ports))), *_HELLOS])


def as_bytes(program: Collection[Instruction]) -> bytes:
    """Write the program as the kernel reads it: an array of struct sock_filter."""
    return b"".join(struct.pack("HBBI", *each) for each in program)


def _addressed(version: int) -> list[_Step]:
    """Let pass what is TCP and for this machine, and put the place of its header in X."""
    ours = [_Step(_LOAD_WORD, PACKET_KIND), _Step(_EQUAL, _TO_US, otherwise="drop")]
    if version == 6:
        return [*ours, _Step(_LOAD_BYTE, 6), _Step(_EQUAL, _TCP, otherwise="drop"), _Step(_LOAD_X, 40)]
    return [
        *ours,
        _Step(_LOAD_BYTE, 9),
        _Step(_EQUAL, _TCP, otherwise="drop"),
        _Step(_LOAD_HALF, 6),
        _Step(_HAS, 0x1FFF, then="drop"),  # a fragment beyond the first
        _Step(_LOAD_X_IHL, 0),
    ]


def _to(ports: list[int]) -> list[_Step]:
    """Let pass what goes to one of the ports, and put the place of its payload in X."""
    return [
        _Step(_LOAD_HALF_AT, 2),
        *(_Step(_EQUAL, port, then="payload") for port in ports[:-1]),
        _Step(_EQUAL, ports[-1], otherwise="drop"),
        _Step(_LOAD_BYTE_AT, 12, name="payload"),
        _Step(_SHIFT, 2),
        _Step(_AND, 0x3C),
        _Step(_ADD_X),
        _Step(_A_TO_X),
    ]


_HELLOS = [
    _Step(_LOAD_BYTE_AT, 0),
    _Step(_EQUAL, 0x15, then="alert"),
    _Step(_HAS, 0x80, then="sslv2"),
    _Step(_EQUAL, 0x16, otherwise="drop"),
    # A record of at most 16 KiB, in it a ClientHello of less than 64 KiB.
    _Step(_LOAD_BYTE_AT, 1),
    _Step(_EQUAL, 3, otherwise="drop"),
    _Step(_LOAD_BYTE_AT, 3),
    _Step(_GREATER, 0x40, then="drop"),
    _Step(_LOAD_HALF_AT, 5),
    _Step(_EQUAL, 0x0100, then="pass", otherwise="drop"),
    # Two bytes: warning or fatal, and which. Those that are encrypted are longer.
    _Step(_LOAD_BYTE_AT, 1, name="alert"),
    _Step(_EQUAL, 3, otherwise="drop"),
    _Step(_LOAD_HALF_AT, 3),
    _Step(_EQUAL, 2, otherwise="drop"),
    _Step(_LOAD_BYTE_AT, 5),
    _Step(_EQUAL, 1, then="pass"),
    _Step(_EQUAL, 2, then="pass", otherwise="drop"),
    # A message of kind 1, of SSL 2.0 or of 3.x; its three lengths (suites, session, challenge) are small.
    _Step(_LOAD_BYTE_AT, 2, name="sslv2"),
    _Step(_EQUAL, 1, otherwise="drop"),
    _Step(_LOAD_HALF_AT, 3),
    _Step(_EQUAL, 0x0002, then="lengths"),
    _Step(_AND, 0xFF00),
    _Step(_EQUAL, 0x0300, otherwise="drop"),
    _Step(_LOAD_BYTE_AT, 5, name="lengths"),
    _Step(_GREATER, 1, then="drop"),
    _Step(_LOAD_BYTE_AT, 7),
    _Step(_EQUAL, 0, otherwise="drop"),
    _Step(_LOAD_BYTE_AT, 9),
    _Step(_EQUAL, 0, then="pass", otherwise="drop"),
    _Step(_RETURN, LONGEST, name="pass"),
    _Step(_RETURN, 0, name="drop"),
]


def _assemble(steps: list[_Step]) -> tuple[Instruction, ...]:
    places = {step.name: place for place, step in enumerate(steps) if step.name}

    def jump(here: int, name: str) -> int:
        return places[name] - here - 1 if name else 0

    return tuple(
        Instruction(step.code, jump(here, step.then), jump(here, step.otherwise), step.value)
        for here, step in enumerate(steps)
    )
