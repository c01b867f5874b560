"""A connection of the gateway as asyncio sees it: in clear, and then under TLS on the same descriptor.

Nothing is read ahead: what stands in the kernel when TLS begins belongs to TLS. Writing waits until the other side
takes it, which holds back whoever sends too fast.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Protocol, TypeVar

from mailtls.edge.nss import Agreed, Session

CHUNK = 16 * 1024  # bytes read at once: a record of TLS

_Result = TypeVar("_Result")


class Stream(Protocol):
    """Both kinds."""

    async def read(self) -> bytes:
        """Give what has come; none: the other side has ended."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""

    def end(self) -> None:
        """Send no more; reading goes on where that can be."""

    def close(self) -> None:
        """Close."""


class ClearStream:
    """In clear, over TCP or a UNIX socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection

    async def read(self) -> bytes:
        """As Stream."""
        return await asyncio.get_running_loop().sock_recv(self.socket, CHUNK)

    async def write(self, data: bytes) -> None:
        """As Stream."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def end(self) -> None:
        """As Stream."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """As Stream."""
        self.socket.close()


class TlsStream:
    """Under TLS. Reading and writing may be done at the same time, each by one task."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def handshake(self) -> Agreed:
        """Carry the handshake out. Raises TlsError."""
        return await self._again(self._session.handshake, writing=False)

    async def read(self) -> bytes:
        """As Stream. Raises TlsError."""
        return await self._again(lambda: self._session.read(CHUNK), writing=False)

    async def write(self, data: bytes) -> None:
        """As Stream. Raises TlsError."""
        while data:
            taken = await self._again(partial(self._session.write, data), writing=True)
            data = data[taken:]

    def end(self) -> None:
        """As Stream; TLS ends with closing."""

    def close(self) -> None:
        """As Stream."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._session.number)
        loop.remove_writer(self._session.number)
        self._session.close()

    async def _again(self, step: Callable[[], _Result], *, writing: bool) -> _Result:
        while True:
            try:
                return step()
            except BlockingIOError:
                await self._possible(writing=writing)

    async def _possible(self, *, writing: bool) -> None:
        """Wait until the descriptor can be read, or written to."""
        loop, number = asyncio.get_running_loop(), self._session.number
        add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        ready: asyncio.Future[None] = loop.create_future()
        add(number, _settle, ready)
        try:
            await ready
        finally:
            remove(number)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def connected(path: str) -> ClearStream:
    """Connect to a UNIX socket. Raises OSError."""
    stream = ClearStream(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
    with ExitStack() as undo:
        undo.callback(stream.close)
        await asyncio.get_running_loop().sock_connect(stream.socket, path)
        undo.pop_all()
    return stream
