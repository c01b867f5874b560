"""A small HTTP server for pages that are asked for, read once and forgotten: metrics, and whether a program is well.

GET and HEAD; everything else is told so in one line. Each connection carries one request. Why this is not
prometheus_client's own server: docs/decisions/0010. A port that is taken is said, and tried again; the program goes on.

SECURITY: whoever reaches the port may ask, so it is on loopback unless the operator moves it. A request has at most
LONGEST bytes and TIMEOUT_S seconds, at most CONNECTIONS are served, the rest is told to come again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from mailtls.errors import ConfigError

LOG = logging.getLogger("mailtls.httpserver")
LONGEST = 8192  # bytes of a request's head
TIMEOUT_S = 5.0  # for a whole request, and for its answer to be read
CONNECTIONS = 16
RETRY_S = 30.0  # seconds between attempts to get a port that is taken
LINGER_S = 1.0  # seconds for what is still sent after the answer: closing at once could lose the answer
METHODS = ("GET", "HEAD")
PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = PLAIN

    def written(self, *, with_body: bool = True) -> bytes:
        """Give the bytes of the answer; the length is that of the body also without it (RFC 9110, 8.6)."""
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            head.append(f"Allow: {', '.join(METHODS)}")  # RFC 9110, 15.5.6
        return "\r\n".join([*head, "", ""]).encode() + (self.body if with_body else b"")


def sentence(text: str, status: HTTPStatus = HTTPStatus.OK) -> Page:
    """Make a page of one line."""
    return Page(" ".join(text.split()).encode("utf-8", "replace") + b"\n", status)


class HttpServer:
    """Serves at `listen` (`address:port`; empty: nowhere) the page that `pages` makes for a path, None for no page.

    `what` is said to be missing where the port cannot be had. Raises ConfigError for an address that cannot be one.
    """

    def __init__(self, listen: str, pages: Callable[[str], Page | None], what: str) -> None:
        self._where = _address(listen, what) if listen else None
        self._pages = pages
        self._what = what
        self._served: set[asyncio.Task[None]] = set()
        self.port: int | None = None
        """The port that is listened at, None while there is none."""

    @property
    def connections(self) -> int:
        """Count those who are served."""
        return len(self._served)

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._where is None:
            await asyncio.Event().wait()
            return
        server = await self._listen(*self._where)
        self.port = server.sockets[0].getsockname()[1]
        try:
            await asyncio.Event().wait()
        finally:
            self.port = None
            server.close()
            for connection in self._served:
                connection.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        said = False
        while True:
            try:
                return await asyncio.start_server(self._admit, host, port, limit=LONGEST)
            except OSError as error:
                if not said:
                    self._say_why_not(error, host, port)
                said = True
            await asyncio.sleep(RETRY_S)

    def _say_why_not(self, error: OSError, host: str, port: int) -> None:
        LOG.error(  # one sentence: where the fault is, nobody needs to see our stack
            "no %s at %s port %d: %s; look who listens there: ss -ltnp sport = :%d; it is tried again every %.0f s",
            self._what, host, port, _words(error), port, RETRY_S,
        )  # fmt: skip

    # --- one connection --------------------------------------------------------------------------------------

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; the server makes the task."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine that runs has one)
        too_many = len(self._served) >= CONNECTIONS
        self._served.add(task)
        try:
            if too_many:
                writer.write(sentence("Too many ask at once; ask again.", HTTPStatus.SERVICE_UNAVAILABLE).written())
                writer.close()
            else:
                await self._serve(reader, writer)
        except (OSError, TimeoutError):
            LOG.debug("a connection ended", exc_info=True)
        except asyncio.CancelledError:
            pass  # the program stops; the server's own callback would take it for a fault
        finally:
            self._served.discard(task)
            if not writer.is_closing():
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)  # drain() waits for the last byte
        method, page = await self._read(reader)
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(page.written(with_body=method != "HEAD"))
            await writer.drain()
            writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while await reader.read(LONGEST):
                    pass

    async def _read(self, reader: asyncio.StreamReader) -> tuple[str, Page]:
        """Read one request, and give its method and the answer."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            too_large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return "", sentence(f"A request has at most {LONGEST} bytes.", too_large)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("it left before its request was complete") from error
        except TimeoutError:
            return "", sentence(f"No request came within {TIMEOUT_S:g} s.", HTTPStatus.REQUEST_TIMEOUT)
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
            return "", sentence("This is no HTTP/1 request.", HTTPStatus.BAD_REQUEST)
        return words[0], self._answer(words[0], words[1].partition("?")[0])

    def _answer(self, method: str, path: str) -> Page:
        if method not in METHODS:
            return sentence("Nothing can be changed here; use GET.", HTTPStatus.METHOD_NOT_ALLOWED)
        return self._pages(path) or sentence("There is no such page.", HTTPStatus.NOT_FOUND)


def _address(listen: str, what: str) -> tuple[str, int]:
    """Read `127.0.0.1:9811` or `[::1]:9811`."""
    host, _, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 65536
    if address is None or number > 65535 or (address.version == 6) != (bare != host):
        raise ConfigError(
            f"mailtls.toml, [{what}] listen: '{listen[:100]}' is no address to listen at; write an address and a port, "
            'such as "127.0.0.1:9811" or "[::1]:9811", or "" for none.'
        )
    return str(address), number


def _words(error: OSError) -> str:
    """Say why in the system's words; asyncio wraps them in its own."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
