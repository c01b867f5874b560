"""Fetches one small file over HTTPS from a host that belongs to others: an MTA-STS policy (RFC 8461 3.3).

SECURITY: the host is a stranger's. One deadline for all of it, so that a host that sends a byte now and then holds
nobody; one bound for headers and body together, whatever lengths and interim answers it announces; redirections are not
followed, and the certificate has to be good.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Iterable
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

PATIENCE_S = 10.0
LARGEST_HEAD = 16 * 1024


def fetch(
    host: str, path: str, addresses: Iterable[tuple[str, int]], longest: int, *,
    context: ssl.SSLContext | None = None, patience_s: float = PATIENCE_S,
) -> bytes | None:
    """Get a file's first `longest` bytes; None where the answer is not 200. Raises OSError, HTTPException, ValueError.

    `addresses`: where the host is, with the port, tried one after the other. `patience_s`: seconds for everything.
    """  # fmt: skip
    end = time.monotonic() + patience_s
    with _connected(addresses, end) as plain:
        plain.settimeout(_left(end))
        with (context or ssl.create_default_context()).wrap_socket(plain, server_hostname=host) as wire:
            wire.settimeout(_left(end))
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
            answer = HTTPResponse(cast(Any, _Bounded(wire, end, longest + LARGEST_HEAD)))
            answer.begin()
            return answer.read(longest) if answer.status == 200 else None


def _connected(addresses: Iterable[tuple[str, int]], end: float) -> socket.socket:
    refused: OSError = OSError("it has no address")
    for address in addresses:
        try:
            return socket.create_connection(address, _left(end))
        except TimeoutError:
            raise
        except OSError as error:
            refused = error
    raise refused


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left


class _Bounded(io.RawIOBase):
    """What a connection says, up to a deadline and a number of bytes, as `HTTPResponse` wants to have it."""

    def __init__(self, wire: ssl.SSLSocket, end: float, most: int) -> None:
        self._wire = wire
        self._end = end
        self._rest = most

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._rest <= 0:
            raise HTTPException("it says more than a policy needs")
        self._wire.settimeout(_left(self._end))
        taken = self._wire.recv_into(buffer, min(len(buffer), self._rest))
        self._rest -= taken
        return taken
