"""The gateway under pressure: half-closed connections, clients that do not read, floods, garbage, and time running out."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import pytest

from mailtls.edge.nss import capability
from mailtls.service.gateway import FOR_VISITS, Times, _pump

from .gatewayhouse import exactly, gateway_house, polite, reply

pytestmark = pytest.mark.skipif(capability() is not None, reason=capability() or "")

ENOUGH = 32_000_000
"""Bytes; more than all buffers of the kernel on the way."""


def answers_late(connection: socket.socket) -> None:
    """Greet; answer only when the client has sent all it will ever send."""
    connection.sendall(b"220 mx ESMTP\r\n")
    heard = b""
    while data := connection.recv(65536):
        heard += data
        if heard.endswith((b"EHLO peer.test\r\n",)):
            connection.sendall(b"250-mx\r\n250 SIZE\r\n")
    connection.sendall(b"221 2.0.0 after %d bytes\r\n" % len(heard))


def test_the_answer_to_a_client_that_has_sent_its_last_byte_still_comes_in_clear(tmp_path: Path) -> None:
    with gateway_house(tmp_path, answers_late) as house, house.call() as client:
        reply(client)
        client.sendall(b"MAIL FROM:<a@peer.test>\r\nQUIT\r\n")
        client.shutdown(socket.SHUT_WR)
        assert reply(client) == b"221 2.0.0 after 31 bytes\r\n"
        assert client.recv(1) == b""


def test_the_answer_to_a_client_that_has_sent_its_last_byte_still_comes_under_tls(tmp_path: Path) -> None:
    with gateway_house(tmp_path, answers_late) as house, house.secure() as client:
        client.sendall(b"MAIL FROM:<a@peer.test>\r\nQUIT\r\n")
        socket.socket.shutdown(client, socket.SHUT_WR)
        assert reply(client) == b"221 2.0.0 after 31 bytes\r\n"


def test_postfix_ending_first_ends_the_client_behind_its_last_word(tmp_path: Path) -> None:
    def leaves(connection: socket.socket) -> None:
        polite_once(connection, b"421 4.4.2 timeout\r\n")

    with gateway_house(tmp_path, leaves) as house, house.secure() as client:
        client.sendall(b"NOOP\r\n")
        assert reply(client) == b"421 4.4.2 timeout\r\n"
        with suppress(ssl.SSLError):
            assert client.recv(1) == b""


def polite_once(connection: socket.socket, last: bytes) -> None:
    connection.sendall(b"220 mx ESMTP\r\n")
    while data := connection.recv(65536):
        if not data.startswith(b"EHLO"):
            connection.sendall(last)
            return
        connection.sendall(b"250-mx\r\n250 SIZE\r\n")


@pytest.mark.parametrize("secured", [False, True], ids=["in clear", "under TLS"])
def test_postfix_waits_where_the_client_does_not_read(tmp_path: Path, secured: bool) -> None:
    """What the gateway holds of an answer without end is a few records, whatever the kernel holds beside it."""
    sent, stuck = [0], threading.Event()

    def talks_without_end(connection: socket.socket) -> None:
        connection.sendall(b"220 mx ESMTP\r\n")
        while (data := connection.recv(65536)).startswith(b"EHLO"):
            connection.sendall(b"250-mx\r\n250 SIZE\r\n")
        if not data:
            return
        connection.settimeout(1.0)
        try:
            while sent[0] < ENOUGH:
                sent[0] += connection.send(b"250-" + b"x" * 8000 + b"\r\n")
        except TimeoutError:
            stuck.set()

    with gateway_house(tmp_path, talks_without_end) as house, ExitStack() as stack:
        client: socket.socket = stack.enter_context(house.secure() if secured else house.call())
        if not secured:
            reply(client)
        client.sendall(b"MAIL FROM:<>\r\n")
        assert stuck.wait(30)
        assert sent[0] < ENOUGH


def test_time_ends_a_handshake_that_never_comes_and_a_session_that_says_nothing(tmp_path: Path) -> None:
    times = Times(handshake=0.3, idle=0.6, linger=0.1)
    with gateway_house(tmp_path, times=times) as house, ExitStack() as stack:
        silent = stack.enter_context(house.call())
        reply(silent)
        unshaken = stack.enter_context(house.approach())
        half = stack.enter_context(house.approach())
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x01")
        secured = stack.enter_context(house.secure())
        for client in (unshaken, half):
            assert exactly(client, 1000) == b""
        assert exactly(silent, 1000) == b""
        with suppress(ssl.SSLError):
            assert exactly(secured, 1000) == b""
        assert sum("TLS handshake failed" in line for line in house.said) == 2


def test_a_command_that_comes_byte_by_byte_must_be_there_in_time(tmp_path: Path) -> None:
    """Each byte is a sign of life, and no reason to wait for the next one."""
    with gateway_house(tmp_path, times=Times(idle=1.0)) as house, house.call() as client:
        reply(client)
        client.settimeout(0.1)
        closed = False
        for _ in range(100):
            with suppress(TimeoutError, ConnectionError):
                client.sendall(b"x")
                closed = client.recv(1) == b""
            if closed:
                break
        assert closed


def test_a_client_that_says_without_end_what_is_refused_is_sent_away(tmp_path: Path) -> None:
    with gateway_house(tmp_path, demand_tls=True) as house, house.call() as client:
        reply(client)
        client.sendall(b"MAIL FROM:<a@peer.test>\r\n" * 30)
        said = exactly(client, 1 << 20)
        assert said.endswith(b"421 4.7.0 Error: too many errors\r\n")
        assert said.count(b"530 5.7.0") == 20


def test_bytes_that_are_always_there_do_not_keep_the_others_waiting() -> None:
    """asyncio gives what the kernel has without waiting; whoever else comes must have a turn all the same."""
    pieces, turns = iter([b"x"] * 1000), 0

    async def reads() -> bytes:
        return next(pieces, b"")

    async def swallows(_data: bytes) -> None:
        pass

    async def another() -> None:
        nonlocal turns
        while next(pieces, None) is not None:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(_pump(reads, swallows, lambda: None), another())

    asyncio.run(both())
    assert turns > 100


def test_a_flood_from_one_address_is_turned_away_and_the_others_are_served(tmp_path: Path) -> None:
    with gateway_house(tmp_path, per_address=5, sessions=50) as house, ExitStack() as stack:
        flood = [stack.enter_context(house.call("127.0.7.7")) for _ in range(200)]
        with house.secure("127.0.7.8") as other:
            other.sendall(b"EHLO peer.test\r\n")
            assert reply(other) == b"250-mx\r\n250 SIZE\r\n"
        greeted = [reply(client) for client in flood]
        assert greeted.count(b"220 mx ESMTP\r\n") == 5
        assert greeted.count(b"421 4.7.0 Error: too many connections, try again later\r\n") == 195


def test_a_gateway_that_is_full_still_answers_this_machine_itself_and_so_many_visits_only(tmp_path: Path) -> None:
    """The keeper visits from the address that it calls; were it sent away, the door would be shut for all."""
    with gateway_house(tmp_path, per_address=5, sessions=10) as house, ExitStack() as stack:
        for number in range(10):
            client = stack.enter_context(house.call(f"127.0.7.{number + 1}"))
            assert reply(client) == b"220 mx ESMTP\r\n"
        assert reply(stack.enter_context(house.call("127.0.7.99"))).startswith(b"421 4.7.0")
        stack.enter_context(house.secure("127.0.0.1"))
        visits = [reply(stack.enter_context(house.call("127.0.0.1"))) for _ in range(FOR_VISITS)]
        assert [each[:3] for each in visits] == [b"220"] * (FOR_VISITS - 1) + [b"421"]
        assert reply(stack.enter_context(house.call("127.0.7.99"))).startswith(b"421 4.7.0")


def test_garbage_at_every_stage_ends_its_own_session_only(tmp_path: Path) -> None:
    """Random bytes in place of commands, of the handshake, and of records after it; somebody else talks all along."""
    chance = Random(7)
    times = Times(handshake=0.5, idle=20.0, linger=0.1)
    with gateway_house(tmp_path, times=times) as house, house.secure("127.0.8.1") as other:
        for number in range(30):
            source = f"127.0.8.{number + 2}"
            stage = number % 3
            client: socket.socket = (house.call, house.approach, house.secure)[stage](source)
            wire = socket.socket(fileno=os.dup(client.fileno()))  # below TLS
            with client, wire, suppress(OSError):
                wire.settimeout(30)
                wire.sendall(chance.randbytes(chance.randrange(1, 5000)))
                wire.shutdown(socket.SHUT_WR)
                while wire.recv(65536):
                    pass
            other.sendall(b"NOOP\r\n")
            assert reply(other) == b"250 ok\r\n"


def test_every_connection_is_closed_in_the_end(tmp_path: Path) -> None:
    with gateway_house(tmp_path, polite) as house:
        before = len(os.listdir("/proc/self/fd"))
        for stage in (house.call, house.approach, house.secure) * 5:
            client: socket.socket = stage()
            client.close()
        with house.secure() as other:
            other.sendall(b"NOOP\r\n")
            reply(other)
        closed = threading.Event()
        for _ in range(200):
            if len(os.listdir("/proc/self/fd")) <= before:
                closed.set()
                break
            closed.wait(0.05)
        assert closed.is_set(), house.said
