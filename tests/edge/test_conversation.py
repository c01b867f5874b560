"""A conversation over a real UNIX socket: one line out, one line back, and a sentence for everything else."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from ctl.parties import Odd, listening
from mailtls.edge.conversation import Conversation, Party
from mailtls.errors import ProtocolError, UnreachableError


class Away(UnreachableError):  # noqa: N818
    pass


class Silent(Away):
    pass


PARTY = Party("mailtls-x", 1 << 20, Away, Silent)


def conversation(path: Path, timeout_s: float = 10) -> Conversation:
    return Conversation(path, PARTY, timeout_s)


def echo(connection: Any) -> None:
    for line in connection.rfile:
        connection.wfile.write(line.upper())


def test_each_request_gets_its_own_answer_over_one_connection(tmp_path: Path) -> None:
    connections = []

    def counted(connection: Any) -> None:
        connections.append(1)
        echo(connection)

    async def talk() -> list[bytes]:
        ours = conversation(tmp_path / "s")
        asked = [ours.ask(f"line {number}") for number in range(50)]
        answers = await asyncio.gather(*asked)
        ours.close()
        return answers

    with listening(tmp_path / "s", counted):
        assert asyncio.run(talk()) == [b"LINE %d" % number for number in range(50)]
    assert len(connections) == 1


@pytest.mark.parametrize("size", [1, 16, 128, 4096])
def test_an_answer_may_come_in_pieces_of_any_size(size: int, tmp_path: Path) -> None:
    answer = b"y" * 300 + b"\n" + b"z" * 300 + b"\n"

    def in_pieces(connection: Any) -> None:
        connection.rfile.readline()
        for start in range(0, len(answer), size):
            connection.wfile.write(answer[start : start + size])
            connection.wfile.flush()
        connection.rfile.readline()

    async def talk() -> list[bytes]:
        ours = conversation(tmp_path / "s")
        await ours.tell("x")
        heard = [await ours.hear(), await ours.hear()]
        ours.close()
        return heard

    with listening(tmp_path / "s", in_pieces):
        assert asyncio.run(talk()) == answer.split(b"\n")[:2]


ODD = [
    (Odd.closes, Silent, "closed the connection"),
    (Odd.closes_at_once, Silent, "closed the connection|broke off"),
    (Odd.half_a_line, Silent, "closed the connection"),
    (Odd.endless, ProtocolError, "sent more than 1,048,576 bytes in one line"),
]


@pytest.mark.parametrize(("odd", "error", "words"), ODD, ids=[words for _, _, words in ODD])
def test_who_misbehaves_is_one_sentence_with_the_socket_and_the_next_command(
    odd: Any, error: type[Exception], words: str, tmp_path: Path
) -> None:
    with listening(tmp_path / "s", odd), pytest.raises(error, match=words) as raised:
        asyncio.run(conversation(tmp_path / "s").ask("x"))
    assert f"mailtls-x at {tmp_path}/s" in str(raised.value)
    assert str(raised.value).endswith("see: systemctl status mailtls-x")


def test_silence_ends_when_the_time_is_over(tmp_path: Path) -> None:
    with listening(tmp_path / "s", Odd.silence), pytest.raises(Silent, match=r"did not answer within 0\.05 s"):
        asyncio.run(conversation(tmp_path / "s", 0.05).ask("x"))


def test_what_a_refusing_side_said_before_it_closed_is_heard(tmp_path: Path) -> None:
    more_than_a_socket_holds = "x" * 4_000_000
    with listening(tmp_path / "s", Odd.refuses_and_closes):
        answer = asyncio.run(conversation(tmp_path / "s").ask(more_than_a_socket_holds))
    assert b"you are nobody here" in answer


def test_a_late_answer_is_never_taken_for_that_of_the_next_request(tmp_path: Path) -> None:
    asked, late = threading.Event(), threading.Event()

    def slow(connection: Any) -> None:
        for line in connection.rfile:
            if line == b"first\n":
                asked.set()
                late.wait()
            connection.wfile.write(line)

    async def talk() -> bytes:
        ours = conversation(tmp_path / "s")
        first = asyncio.create_task(ours.ask("first"))
        await asyncio.to_thread(asked.wait)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        late.set()
        return await ours.ask("second")

    with listening(tmp_path / "s", slow):
        assert asyncio.run(talk()) == b"second"


def test_a_connection_that_ended_meanwhile_is_made_anew(tmp_path: Path) -> None:
    ended = threading.Event()

    def once(connection: Any) -> None:
        connection.wfile.write(connection.rfile.readline())
        connection.request.shutdown(socket.SHUT_RDWR)
        ended.set()

    async def talk() -> list[bytes]:
        ours = conversation(tmp_path / "s")
        heard = [await ours.ask("one")]
        await asyncio.to_thread(ended.wait)
        return [*heard, await ours.ask("two")]

    with listening(tmp_path / "s", once):
        assert asyncio.run(talk()) == [b"one", b"two"]


def test_words_that_nobody_asked_for_are_no_answer(tmp_path: Path) -> None:
    def chatty(connection: Any) -> None:
        connection.wfile.write(connection.rfile.readline() * 2)
        connection.rfile.readline()

    async def talk() -> None:
        ours = conversation(tmp_path / "s")
        assert await ours.ask("one") == b"one"
        with pytest.raises(ProtocolError, match="spoke without being asked"):
            await ours.ask("two")
        assert await ours.ask("three") == b"three"

    with listening(tmp_path / "s", chatty):
        asyncio.run(talk())


def nothing(path: Path) -> None:
    pass


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def a_file(path: Path) -> None:
    path.write_text("")


AWAY = [(nothing, "is not running: there is no socket"), (stale, "is not running: nobody listens at"),
        (a_file, "is not running: nobody listens at")]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), AWAY)
def test_who_is_not_there_is_told_with_the_socket_and_the_next_command(make: Any, words: str, tmp_path: Path) -> None:
    make(tmp_path / "s")
    with pytest.raises(Away, match=words) as raised:
        asyncio.run(conversation(tmp_path / "s").ask("x"))
    assert not isinstance(raised.value, Silent)
    assert str(tmp_path / "s") in str(raised.value)
    assert str(raised.value).endswith("see: systemctl status mailtls-x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_socket_that_is_closed_to_this_user_says_who_may_use_it(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with listening(tmp_path / "s", echo):
        (tmp_path / "s").chmod(0o660)
        if (child := os.fork()) == 0:
            os.setgroups([])
            os.setuid(65534)
            try:
                asyncio.run(conversation(tmp_path / "s").ask("x"))
            except Away as error:
                os.write(theirs, str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
    said = os.read(ours, 4096).decode()
    assert said.startswith("mailtls-x may not be asked by this user")
    assert "run this as root" in said
    assert "mailtls-admin" in said


def test_a_path_that_no_socket_can_have_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Away, match=r"is not reachable at .*too long"):
        asyncio.run(conversation(tmp_path / ("x" * 200)).ask("x"))
