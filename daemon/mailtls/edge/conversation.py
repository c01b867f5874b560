"""A conversation over a UNIX socket of ours: one line out, one line back, in this order.

Promises: a connection is made when it is first needed, and again after it broke; nothing is sent twice (whoever asks
may ask again: requests to the keeper are repeatable by their id). After anything but a whole answer, cancellation
included, the connection is dropped, so that no late answer is taken for that of the next request. An answer has a
bound in bytes and, for `ask`, in time.

SECURITY: the other side may be compromised: lines beyond the bound, words that nobody asked for and silence are one
sentence each. What a refusing side says before it closes is heard, also where the request could not be sent any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from mailtls.errors import ProtocolError, UnreachableError

CHUNK = 1 << 18  # bytes read at once


@dataclass(frozen=True, slots=True)
class Party:
    """Who is spoken to. `name`: of the program and of its systemd unit; `longest`: bytes of one answer.

    `unreachable`: raised where there is nobody to ask; `silent`: where there was somebody, and no answer came.
    """

    name: str
    longest: int
    unreachable: type[UnreachableError]
    silent: type[UnreachableError]


class Conversation:
    """One connection to `party` at `path`; `timeout_s`: seconds for one request and its answer."""

    def __init__(self, path: Path, party: Party, timeout_s: float) -> None:
        self.path = path
        self.party = party
        self.timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._socket: socket.socket | None = None
        self._heard = bytearray()
        self._searched = 0

    async def ask(self, request: str) -> bytes:
        """Send one line and give the line that answers it; whoever asks meanwhile waits.

        Raises the party's UnreachableError, or ProtocolError for what is no answer.
        """
        async with self._turn, self._whole_or_dropped():
            await self._send(request)
            return await self._line()

    async def tell(self, request: str) -> None:
        """Send one line whose answers `hear` gives, as they come. Raises the party's UnreachableError."""
        async with self._turn, self._whole_or_dropped():
            await self._send(request)

    async def hear(self) -> bytes:
        """Give the next line, however long it takes. Raises the party's UnreachableError, ProtocolError."""
        async with self._whole_or_dropped(in_time=False):
            return await self._line()

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._heard.clear()
        self._searched = 0

    @contextlib.asynccontextmanager
    async def _whole_or_dropped(self, *, in_time: bool = True) -> AsyncIterator[None]:
        whole = False
        try:
            async with asyncio.timeout(self.timeout_s if in_time else None):
                yield
            whole = True
        except TimeoutError as error:
            raise self._gone(f"did not answer within {self.timeout_s:g} s") from error
        except OSError as error:
            raise self._gone(f"broke off ({error.strerror or error})") from error
        finally:
            if not whole:
                self.close()

    async def _send(self, request: str) -> None:
        self._drop_what_ended()
        if self._socket is None:
            await self._connect()
        assert self._socket is not None  # noqa: S101  (just connected)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have said why before it closed
            await asyncio.get_running_loop().sock_sendall(self._socket, request.encode() + b"\n")

    def _drop_what_ended(self) -> None:
        """Drop a connection that the other side closed while nobody spoke: it was restarted, or tired of waiting."""
        if self._socket is None:
            return
        try:
            said = bytes(self._heard) or self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said:
            raise ProtocolError(f"{self.party.name} at {self.path} spoke without being asked; {self._next}")
        self.close()

    async def _connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(self._socket, str(self.path))
        except OSError as error:
            raise self.party.unreachable(self._why_not(error)) from error

    def _why_not(self, error: OSError) -> str:
        name = self.party.name
        match error:
            case FileNotFoundError() | NotADirectoryError():
                return f"{name} is not running: there is no socket {self.path}; {self._next}"
            case ConnectionRefusedError():
                return f"{name} is not running: nobody listens at {self.path}; {self._next}"
            case PermissionError():
                return (
                    f"{name} may not be asked by this user: {self.path} is closed to it; run this as root, or as a "
                    "member of the operators' group (users.admins in mailtls.toml, usually mailtls-admin)"
                )
        return f"{name} is not reachable at {self.path}: {error.strerror or error}; {self._next}"

    async def _line(self) -> bytes:
        while (end := self._heard.find(b"\n", self._searched)) < 0:
            self._searched = len(self._heard)
            if self._searched > self.party.longest:
                much = f"more than {self.party.longest:,} bytes in one line"
                raise ProtocolError(f"{self.party.name} at {self.path} sent {much}; {self._next}")
            await self._read()
        line = bytes(self._heard[:end])
        del self._heard[: end + 1]
        self._searched = 0
        return line

    async def _read(self) -> None:
        if self._socket is None:
            raise self._gone("is not connected")
        chunk = await asyncio.get_running_loop().sock_recv(self._socket, CHUNK)
        if not chunk:
            raise self._gone("closed the connection")
        self._heard += chunk

    def _gone(self, what: str) -> UnreachableError:
        return self.party.silent(f"{self.party.name} at {self.path} {what}; {self._next}")

    @property
    def _next(self) -> str:
        return f"see: systemctl status {self.party.name}"
