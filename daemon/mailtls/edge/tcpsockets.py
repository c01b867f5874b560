"""The kernel's list of TCP sockets of this network namespace (/proc/net/tcp, tcp6): who listens, who is connected.

Read where connections that were led to a door's port must be counted: their sockets have that port, whatever the
client connected to. proc(5) and the kernel's Documentation/networking/proc_net_tcp.rst give the columns.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILES = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))
ESTABLISHED, LISTEN = 1, 10
OVER = frozenset({6, 7, LISTEN})
"""States in which nobody talks any more (TIME_WAIT, CLOSE), or not yet (LISTEN); net/tcp_states.h."""


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One socket's own side. `state`: the kernel's number."""

    address: str
    port: int
    state: int


def listeners(port: int, files: Collection[Path] = FILES) -> tuple[str, ...]:
    """Give the addresses at which somebody listens at this port."""
    return tuple(dict.fromkeys(each.address for each in _sockets(files) if (each.port, each.state) == (port, LISTEN)))


def sessions(ports: Collection[int], files: Collection[Path] = FILES) -> int:
    """Count the connections at these ports that are not over."""
    return sum(each.port in ports and each.state not in OVER for each in _sockets(files))


def _sockets(files: Collection[Path]) -> Iterator[TcpSocket]:
    for file in files:
        with suppress(OSError), file.open("rb") as lines:
            next(lines, None)
            for line in lines:
                _, local, _, state, *_ = line.split(None, 4)
                address, port = local.split(b":")
                yield TcpSocket(_address(address.decode("ascii")), int(port, 16), int(state, 16))


def _address(text: str) -> str:
    """Read an address: each four bytes are written as one number in this machine's order."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    raw = b"".join(struct.pack("=I", word) for word in words)
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
