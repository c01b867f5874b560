"""A packet socket that sees what the kernel's filter lets pass, and nothing before it is there (packet(7)).

Made without a protocol, so that it receives nothing; the filter is attached and locked, and only then is it bound to
IPv4 or IPv6 on every interface. It sees what comes in, with the port that the client wrote (before nftables leads it
elsewhere), without the link's header and without VLAN tags, and in loopback each packet once.

SECURITY: needs CAP_NET_RAW to be opened, nothing afterwards. Whoever takes the process over later cannot take the
filter away again (SO_LOCK_FILTER), and `drop_capabilities` sees to it that he can open no other.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Collection
from errno import EACCES, EPERM

from mailtls.core.packetfilter import LONGEST, as_bytes, hello_filter
from mailtls.errors import ConfigError

RECEIVE_BUFFER = 1 << 20  # bytes; some thousand hellos

_ATTACH_FILTER, _LOCK_FILTER = 26, 44  # asm-generic/socket.h
_SOL_PACKET, _STATISTICS = 263, 6
_PROTOCOLS = {4: 0x0800, 6: 0x86DD}
_LIBC = ctypes.CDLL(None, use_errno=True)
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h _LINUX_CAPABILITY_VERSION_3
_PR_SET_NO_NEW_PRIVS = 38


class _Program(ctypes.Structure):
    """Struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class PacketSocket:
    """Receives packets of IP of this version (4 or 6) for these ports. Raises ConfigError where it cannot be had."""

    def __init__(self, version: int, ports: Collection[int]) -> None:
        self._lost = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise ConfigError(_why_not(error)) from error
        try:
            self._filter(version, ports)
            self._bind(_PROTOCOLS[version])
        except OSError as error:
            self.close()
            raise ConfigError(_why_not(error)) from error

    def _filter(self, version: int, ports: Collection[int]) -> None:
        program = hello_filter(version, ports)
        described = _Program(len(program), as_bytes(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, bytes(described))
        self._socket.setsockopt(socket.SOL_SOCKET, _LOCK_FILTER, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def _bind(self, protocol: int) -> None:
        """Bind to every interface, which Python's own bind cannot say (struct sockaddr_ll)."""
        address = struct.pack("HHiHBB8s", socket.AF_PACKET, socket.htons(protocol), 0, 0, 0, 0, b"")
        if _LIBC.bind(self._socket.fileno(), address, len(address)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """Give one packet from its IP header on; None where there is none now."""
        try:
            return self._socket.recv(LONGEST)
        except (BlockingIOError, InterruptedError):
            return None

    def lost(self) -> int:
        """Count the packets that passed the filter and found no room, since it was opened."""
        _, dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        self._lost += dropped
        return self._lost

    def close(self) -> None:
        """Receive no more."""
        self._socket.close()


def drop_capabilities() -> None:
    """Give up every capability, for good: what needed one is open. Raises ConfigError where the kernel refuses."""
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _LIBC.capset(header, bytes(24)):
        number = ctypes.get_errno()
        raise ConfigError(f"the capabilities cannot be given up: {os.strerror(number).lower()}; start it by its unit")


def _why_not(error: OSError) -> str:
    if error.errno in (EPERM, EACCES):
        return "a packet socket needs CAP_NET_RAW, which its unit has: systemctl start mailtls-observer"
    said = (error.strerror or str(error)).lower()
    return f"no packet socket can be had: {said}; this kernel must have CONFIG_PACKET, and the unit AF_PACKET"
