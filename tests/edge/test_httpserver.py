"""The HTTP server gives its pages to whoever asks properly, and outlives everybody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailtls.edge import httpserver
from mailtls.edge.httpserver import CONNECTIONS, LONGEST, HttpServer, Page, sentence
from mailtls.errors import ConfigError
from service.asking import PATIENCE_S, running, until

PAGES = {"/one": sentence("one page")}
ONE = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self, request: bytes = b"") -> bytes:
        """Send, and give everything until the other side closes."""
        self.writer.write(request)
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S)
        finally:
            self.writer.close()


async def call(server: HttpServer) -> Client:
    assert server.port is not None
    return Client(*await asyncio.open_connection("127.0.0.1", server.port))


def with_server(
    talk: Callable[[HttpServer], Awaitable[None]],
    pages: Callable[[str], Page | None] = PAGES.get,
    listen: str = "127.0.0.1:0",
) -> None:
    async def both() -> None:
        server = HttpServer(listen, pages, "metrics")
        async with running(server.run, lambda: server.port is not None):
            await talk(server)

    asyncio.run(both())


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ", 2)[1])


def test_a_page_comes_whole_with_its_length() -> None:
    async def talk(server: HttpServer) -> None:
        head, _, body = (await (await call(server)).answer(ONE)).partition(b"\r\n\r\n")
        assert body == b"one page\n"
        assert b"Content-Length: 9" in head
        assert b"Connection: close" in head

    with_server(talk)


def test_head_is_the_same_without_the_page() -> None:
    async def talk(server: HttpServer) -> None:
        head = (await (await call(server)).answer(ONE)).partition(b"\r\n\r\n")[0]
        assert await (await call(server)).answer(ONE.replace(b"GET", b"HEAD")) == head + b"\r\n\r\n"

    with_server(talk)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /one HTTP/1.0\r\n\r\n", 200),
        (b"GET /one?a=b&c HTTP/1.1\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /one/ HTTP/1.1\r\n\r\n", 404),
        (b"GET //one HTTP/1.1\r\n\r\n", 404),
        (b"GET /%6fne HTTP/1.1\r\n\r\n", 404),
        (b"GET /../one HTTP/1.1\r\n\r\n", 404),
        (b"POST /one HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"get /one HTTP/1.1\r\n\r\n", 405),
        (b"GET http://x/one HTTP/1.1\r\n\r\n", 400),
        (b"GET /one\r\n\r\n", 400),
        (b"GET /one HTTP/2\r\n\r\n", 400),
        (b"GET  /one HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"\xff\x00 /\xff HTTP/1.1\r\n\r\n", 405),
        (b"GET /one HTTP/1.1\r\nX: " + b"x" * LONGEST + b"\r\n\r\n", 431),
        (b"x" * (LONGEST * 100), 431),
        (ONE * 50, 200),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else str(value),
)
def test_every_request_has_one_answer(request_: bytes, status: int) -> None:
    async def talk(server: HttpServer) -> None:
        answer = await (await call(server)).answer(request_)
        assert status_of(answer) == status
        assert answer.count(b"HTTP/1.1 ") == 1
        assert (b"Allow: GET, HEAD" in answer) == (status == 405)
        assert status_of(await (await call(server)).answer(ONE)) == 200

    with_server(talk)


@pytest.mark.parametrize("size", [1, 7, 16])
def test_a_request_may_come_in_pieces(size: int) -> None:
    async def talk(server: HttpServer) -> None:
        client = await call(server)
        for start in range(0, len(ONE), size):
            client.writer.write(ONE[start : start + size])
            await client.writer.drain()
        assert status_of(await client.answer()) == 200

    with_server(talk)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_bytes_of_any_kind_leave_others_their_page(pieces: list[bytes]) -> None:
    async def talk(server: HttpServer) -> None:
        stranger = await call(server)
        for piece in pieces:
            stranger.writer.write(piece)
        assert status_of(await (await call(server)).answer(ONE)) == 200
        stranger.writer.transport.abort()

    with_server(talk)


def test_who_sends_no_request_is_told_so_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "TIMEOUT_S", 0.02)

    async def talk(server: HttpServer) -> None:
        assert status_of(await (await call(server)).answer(b"GET /one HTTP/1.1\r\n")) == 408

    with_server(talk)


def test_who_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "TIMEOUT_S", 0.1)

    async def talk(server: HttpServer) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, ONE)
            await until(lambda: server.connections == 1)
            await until(lambda: server.connections == 0)

    large = Page(b"x" * 30_000_000)
    with_server(talk, lambda path: large)


def test_connections_beyond_the_bound_are_told_to_come_again() -> None:
    async def talk(server: HttpServer) -> None:
        idle = [await call(server) for _ in range(CONNECTIONS)]
        await until(lambda: server.connections == CONNECTIONS)
        assert status_of(await (await call(server)).answer()) == 503
        for client in idle:
            client.writer.transport.abort()
        await until(lambda: server.connections == 0)
        assert status_of(await (await call(server)).answer(ONE)) == 200

    with_server(talk)


def test_who_still_sends_after_the_answer_is_heard_out_for_a_moment() -> None:
    """A reset would throw away the answer on its way (RFC 9112, 9.6)."""

    async def talk(server: HttpServer) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, b"POST /one HTTP/1.1\r\nContent-Length: 6\r\n\r\n")
            while await loop.sock_recv(client, LONGEST):
                pass
            for _ in range(3):
                await loop.sock_sendall(client, b"ab")
                await asyncio.sleep(0.01)  # a reset needs a moment to come back

    with_server(talk)


def test_everybody_is_let_go_at_the_end() -> None:
    async def both() -> None:
        server = HttpServer("127.0.0.1:0", PAGES.get, "metrics")
        async with running(server.run, lambda: server.port is not None):
            idle = await call(server)
            await until(lambda: server.connections == 1)
        assert server.port is None
        with suppress(ConnectionResetError):
            assert await idle.answer() == b""

    asyncio.run(both())


def test_a_port_that_is_taken_is_said_once_and_had_as_soon_as_it_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(httpserver, "RETRY_S", 0.01)

    async def both() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            server = HttpServer(f"127.0.0.1:{port}", PAGES.get, "metrics")
            task = asyncio.ensure_future(server.run())
            await until(lambda: "tried again" in caplog.text)
            for _ in range(10):
                await asyncio.sleep(0.01)
        await until(lambda: server.port == port)
        assert status_of(await (await call(server)).answer(ONE)) == 200
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert caplog.text.count("no metrics at 127.0.0.1 port") == 1
        assert f"address already in use; look who listens there: ss -ltnp sport = :{port}" in caplog.text

    asyncio.run(both())


def test_without_an_address_nothing_is_served_and_it_does_not_end() -> None:
    async def both() -> None:
        server = HttpServer("", PAGES.get, "metrics")
        async with running(server.run, lambda: True) as task:
            await asyncio.sleep(0)
            assert not task.done()
            assert server.port is None

    asyncio.run(both())


def test_ipv6_is_an_address_too() -> None:
    async def talk(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("::1", server.port)
        assert status_of(await Client(reader, writer).answer(ONE)) == 200

    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with_server(talk, listen="[::1]:0")


@pytest.mark.parametrize(
    "listen",
    ["9811", ":9811", "127.0.0.1", "localhost:9811", "::1:9811", "[127.0.0.1]:9811", "[::1]", "127.0.0.1:65536",
     "127.0.0.1:-1", "127.0.0.1:", "127.0.0.1:٣", "127.0.0.1:" + "9" * 5000, "[::1:9811", "unix:/x"],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_address_is_one_sentence(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"\[metrics\] listen: .* is no address to listen at; write") as caught:
        HttpServer(listen, PAGES.get, "metrics")
    assert len(str(caught.value)) < 400
