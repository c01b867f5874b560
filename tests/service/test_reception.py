"""The keeper's reception, over real sockets: what it answers, and that a hostile client wastes only its own time."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.core.waivers import NOW, event, persons

from mailtls.core.keeperprotocol import LONGEST_REQUEST, Event, Health, ListWaivers, Reply, Step
from mailtls.core.objection import Kind, Requester
from mailtls.service import reception as module
from mailtls.service.reception import Reception

ALICE = Requester(Kind.PERSON, "alice")
MAILTLSD = Requester(Kind.DAEMON, "mailtlsd")


class FakeKeeper:
    """A keeper in memory: does what it is asked, and can be told that something happened."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.asked: list[tuple[Requester, Any]] = []
        self._news = asyncio.Event()

    async def change(self, requester: Requester, request: Any) -> Reply:
        self.asked.append((requester, request))
        return Reply(live=True, waiver=persons())

    def listed(self, ask: ListWaivers) -> Reply:
        return Reply(waivers=(persons(),) if ask.about is None else ())

    def events(self, since: int, limit: int) -> tuple[Event, ...]:
        return tuple(each for each in self.log if each.number > since)[:limit]

    async def news(self) -> None:
        await self._news.wait()

    def health(self) -> Health:
        return Health(since=NOW, waivers={}, last_event=len(self.log), tables=("lmdb:x",), policy="p")

    def happen(self) -> None:
        self.log.append(event(len(self.log) + 1, Step.GRANTED, persons()))
        self._news.set()
        self._news = asyncio.Event()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: Any) -> Reply:
        await self.send(request)
        return await self.hear()

    async def send(self, request: Any) -> None:
        line = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        self.writer.write(line)
        await self.writer.drain()

    async def hear(self) -> Reply:
        return Reply.model_validate_json(await self.reader.readline())

    async def ended(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


class Place:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.keeper = FakeKeeper()
        self.who: Requester | None = ALICE

    async def connect(self) -> Client:
        return Client(*await asyncio.open_unix_connection(self.path, limit=1 << 26))


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Place]:
    place = Place(path)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(128)
    reception = Reception(place.keeper, lambda _: place.who)  # type: ignore[arg-type]
    running = asyncio.create_task(reception.run(listening))
    try:
        async with asyncio.timeout(20):
            yield place
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


GRANT = {
    "op": "grant",
    "id": "a",
    "network": "192.0.2.7",
    "level": "cleartext",
    "until": "2030-01-01T00:00:00Z",
    "reason": "x",
}


def test_each_request_is_answered_in_its_order_on_its_connection(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            client = await place.connect()
            asked = {"op": "list"}, {"op": "list", "about": "192.0.2.9"}, {"op": "status"}, GRANT, {"op": "events"}
            for request in asked:
                await client.send(request)
            assert (await client.hear()).waivers == (persons(),)
            assert (await client.hear()).waivers == ()
            assert (await client.hear()).health is not None
            assert (await client.hear()).live
            assert (await client.hear()).events == ()
            assert place.keeper.asked[0][0] == ALICE

    run(work())


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_request_may_come_in_pieces_of_any_size(tmp_path: Path, size: int) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            client = await place.connect()
            line = json.dumps(GRANT).encode() + b"\n"
            for start in range(0, len(line), size):
                await client.send(line[start : start + size])
                await asyncio.sleep(0)
            assert (await client.hear()).ok

    run(work())


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"{}\n", b"[]\n", b"nonsense\n", b"\xff\xfe\x00\n", b'{"op":"replace-all"}\n', b'{"op":"list","x":1}\n',
        b'{"op":"grant"}\n', b'{"op":"events","limit":1000000}\n', b'{"op":"\x1b[2J"}\n',
        json.dumps({**GRANT, "network": "x" * 65}).encode() + b"\n",
        json.dumps({**GRANT, "id": "../../etc"}).encode() + b"\n",
        json.dumps({**GRANT, "until": "2030-01-01T00:00:00"}).encode() + b"\n",
        b"[" * 5000 + b"\n",
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_request_gets_one_printable_sentence_and_the_next_is_answered(tmp_path: Path, line: bytes) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            client = await place.connect()
            reply = await client.ask(line)
            assert not reply.ok
            assert reply.refused is not None
            assert reply.refused.isprintable()
            assert reply.refused.endswith(".")
            assert (await client.ask({"op": "status"})).ok
            assert place.keeper.asked == []

    run(work())


def test_a_line_without_end_is_refused_and_the_connection_closed(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            client, other = await place.connect(), await place.connect()
            await client.send(b"x" * (LONGEST_REQUEST + 70_000))
            assert "no end" in ((await client.hear()).refused or "")
            assert await client.ended()
            assert (await other.ask({"op": "status"})).ok

    run(work())


def test_strangers_get_one_sentence_and_no_more(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            place.who = None
            for _ in range(3):
                client = await place.connect()
                assert "you are none of them" in ((await client.hear()).refused or "")
                assert await client.ended()
            assert place.keeper.asked == []

    run(work())


def test_a_daemon_that_takes_every_connection_does_not_shut_persons_out(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            place.who = MAILTLSD
            held = [await place.connect() for _ in range(40)]
            assert all([(await client.ask({"op": "status"})).ok for client in held[:16]])
            assert not any([(await client.hear()).ok for client in held[16:]])
            place.who = ALICE
            assert (await (await place.connect()).ask({"op": "status"})).ok
            for client in held:
                client.writer.close()
            place.who = MAILTLSD

            async def is_served() -> bool:
                return (await (await place.connect()).ask({"op": "status"})).ok

            while not await is_served():  # noqa: ASYNC110 - the end of a connection is told to nobody
                await asyncio.sleep(0.01)

    run(work())


def test_clients_that_leave_early_hurt_nobody(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            for sent in (b"", b"{", json.dumps(GRANT).encode() + b"\n", b'{"op":"events","follow":true}\n'):
                for _ in range(20):
                    client = await place.connect()
                    await client.send(sent)
                    client.writer.transport.abort()
            assert (await (await place.connect()).ask({"op": "status"})).ok

    run(work())


def test_a_person_that_says_nothing_is_closed_without_a_word_and_mailtlsd_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)

    async def work() -> None:
        async with served(tmp_path / "s") as place:
            assert await (await place.connect()).ended()
            place.who = MAILTLSD
            client = await place.connect()
            await asyncio.sleep(0.2)
            assert (await client.ask({"op": "status"})).ok

    run(work())


def test_whoever_does_not_take_what_it_is_told_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAKE_S", 0.05)

    async def work() -> None:
        async with served(tmp_path / "s") as place:
            place.keeper.log = [event(number, Step.GRANTED, persons()) for number in range(1, 5001)]
            with socket.socket(socket.AF_UNIX) as deaf:
                deaf.connect(str(place.path))
                deaf.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(deaf, b'{"op":"events","limit":5000}\n' * 20)
                assert (await (await place.connect()).ask({"op": "status"})).ok
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    while True:
                        deaf.send(b"\n")
                        await asyncio.sleep(0.01)

    run(work())


def test_events_are_followed_each_once_and_in_their_order(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            place.keeper.happen()
            place.keeper.happen()
            client = await place.connect()
            await client.send({"op": "events", "since": 1, "follow": True})
            numbers = [each.number for each in (await client.hear()).events]
            for _ in range(5):
                place.keeper.happen()
                await asyncio.sleep(0)
            while len(numbers) < 6:
                numbers += [each.number for each in (await client.hear()).events]
            assert numbers == [2, 3, 4, 5, 6, 7]

    run(work())


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path / "s") as place:
            (await place.connect()).writer.close()
            await asyncio.sleep(0.05)
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(50):
                client = await place.connect()
                await client.ask({"op": "status"})
                client.writer.close()
            await asyncio.sleep(0.05)
            assert len(os.listdir("/proc/self/fd")) <= before + 2

    run(work())
