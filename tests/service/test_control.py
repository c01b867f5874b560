"""The control socket answers whoever may ask, in order, and outlives whoever misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailtls.core.controlprotocol import (
    LONGEST_REQUEST,
    AskExplain,
    AskFloor,
    AskHistory,
    AskInventory,
    AskPeers,
    ExplainedKnownPeer,
    FloorForecast,
    Happening,
    Inventory,
    KnownPeer,
    PastStep,
    Status,
)
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.errors import ConfigError, RefusedError, StoreError
from mailtls.service import control
from mailtls.service.announcer import BACKLOG, Announcer
from mailtls.service.control import CONNECTIONS, LARGE, SUBSCRIBERS, Control
from service.asking import Asker, call, running, until

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
STATUS = {"op": "status"}
PEERS = {"op": "peers"}
WATCH = {"op": "watch"}


class World:
    """A memory of a few peers, which can be slow, broken or large."""

    def __init__(self) -> None:
        self.announcer = Announcer(lambda: NOW)
        self.known = [peer("192.0.2.7")]
        self.broken = ""
        self.held: asyncio.Event | None = None
        self.asked = 0
        self.control: Control

    async def status(self) -> Status:
        return Status(
            version="9", since=NOW, pid=7, sources=(), keeper=True, remembers=True, policy="p", peers={"ok": 1},
            waivers={}, sessions=1, failures=0,
        )  # fmt: skip

    async def peers(self, ask: AskPeers) -> tuple[KnownPeer, ...]:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if self.broken:
            raise StoreError(self.broken)
        return tuple(self.known[: ask.limit])

    async def explain(self, ask: AskExplain) -> tuple[ExplainedKnownPeer, ...]:
        return tuple(
            ExplainedKnownPeer(peer=each, days=(), history=(), evidence=())
            for each in self.known
            if each.ip == ask.whom
        )

    async def waivers(self) -> tuple[LiveWaiver, ...]:
        return ()

    async def history(self, ask: AskHistory) -> tuple[PastStep, ...]:
        return (PastStep(at=NOW, kind="decision", ip=ask.whom),)

    async def inventory(self, ask: AskInventory) -> Inventory:
        return Inventory(days=ask.days, peers=0, failed_sessions=0, found=0, rows=())

    async def floor(self, ask: AskFloor) -> FloorForecast:
        return FloorForecast(days=ask.days, sessions=7, touched=0, peers=())

    def subscribe(self) -> AbstractAsyncContextManager[AsyncGenerator[Happening, None]]:
        return aclosing(self.announcer.listen())

    def happens(self, what: str) -> None:
        self.announcer.tell(lambda: Happening(at=NOW, kind="session", what=what))


def peer(ip: str, name: str | None = None) -> KnownPeer:
    return KnownPeer(
        ip=ip, name=name, state="ok", first_seen=NOW, last_seen=NOW, sessions=1, failures=0, mails=1,
    )  # fmt: skip


def with_control(path: Path, talk: Callable[[World], Awaitable[None]]) -> None:
    """Run `talk` beside a control socket at the path."""

    async def both() -> None:
        world = World()
        world.control = Control(path, world)
        async with running(world.control.run, path.exists):
            await talk(world)

    asyncio.run(both())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "key"),
    [
        (STATUS, "status"),
        (PEERS, "peers"),
        ({"op": "explain", "whom": "192.0.2.7"}, "explained"),
        ({"op": "waivers"}, "waivers"),
        ({"op": "history", "whom": "192.0.2.7"}, "history"),
        ({"op": "floor", "version": "TLSv1.2"}, "floor"),
        ({"op": "inventory"}, "inventory"),
    ],
)
def test_every_question_has_its_answer(question: dict[str, str], key: str, path: Path) -> None:
    async def talk(_: World) -> None:
        answer = await (await call(path)).ask(question)
        assert list(answer) == [key]
        assert key == "waivers" or answer[key]

    with_control(path, talk)


def test_questions_on_one_connection_are_answered_in_their_order(path: Path) -> None:
    async def talk(_: World) -> None:
        asker = await call(path)
        whom = [f"192.0.2.{number}" for number in range(200)]
        await asker.say(b"".join(b'{"op":"history","whom":"%s"}\n' % each.encode() for each in whom))
        assert [(await asker.hear())["history"][0]["ip"] for _ in whom] == whom

    with_control(path, talk)


@pytest.mark.parametrize("size", [1, 16, 128, 4096])
def test_a_question_may_come_in_pieces_of_any_size(size: int, path: Path) -> None:
    async def talk(_: World) -> None:
        asker = await call(path)
        raw = b'{"op":"explain","whom":"192.0.2.7"}\n{"op":"status"}\n'
        for start in range(0, len(raw), size):
            await asker.say(raw[start : start + size])
        assert "explained" in await asker.hear()
        assert "status" in await asker.hear()

    with_control(path, talk)


def test_what_the_memory_cannot_tell_is_its_own_sentence_and_the_next_question_is_answered(path: Path) -> None:
    async def talk(world: World) -> None:
        world.broken = "The store is locked; see: systemctl status mailtlsd"
        asker = await call(path)
        assert await asker.ask(PEERS) == {"error": world.broken}
        assert "status" in await asker.ask(STATUS)

    with_control(path, talk)


def test_a_memory_that_never_answers_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_S", 0.01)

    async def talk(world: World) -> None:
        world.held = asyncio.Event()
        assert "No answer was found within" in (await (await call(path)).ask(PEERS))["error"]

    with_control(path, talk)


def test_an_answer_that_is_too_large_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LONGEST_REPLY", 1000)

    async def talk(world: World) -> None:
        world.known = [peer(f"192.0.2.{number}") for number in range(100)]
        asker = await call(path)
        assert "ask for less with --limit" in (await asker.ask(PEERS))["error"]
        assert len((await asker.ask({**PEERS, "limit": 3}))["peers"]) == 3

    with_control(path, talk)


def test_text_that_cannot_be_written_is_one_sentence(path: Path) -> None:
    async def talk(world: World) -> None:
        world.known = [peer("192.0.2.7").model_copy(update={"name": "half a \udcff"})]
        asker = await call(path)
        assert "cannot be written" in (await asker.ask(PEERS))["error"]
        assert "status" in await asker.ask(STATUS)

    with_control(path, talk)


# --- garbage -----------------------------------------------------------------------------------------------------

GARBAGE = [
    b"",
    b"hello",
    b"GET / HTTP/1.1",
    b"{}",
    b"[]",
    b"null",
    b'{"op":"grant"}',
    b'{"op":"status","more":1}',
    b'{"op":"peers","limit":0}',
    b'{"op":"peers","limit":1e99}',
    b'{"op":"explain"}',
    b'{"op":"explain","whom":"%s"}' % (b"x" * 301),
    b'{"op":"\\u001b[2J"}',
    b"\xff\xfe\x00",
    b"\x00" * 50,
    b"[" * 5000,
    b'{"a":' * 3000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda raw: repr(raw[:20]))
def test_garbage_is_answered_with_one_sentence_and_the_next_question_is_answered(garbage: bytes, path: Path) -> None:
    async def talk(_: World) -> None:
        asker = await call(path)
        answer = await asker.ask(garbage + b"\n")
        assert list(answer) == ["error"]
        assert answer["error"].startswith("This is no question that mailtlsd ")
        assert len(answer["error"]) < 400
        assert answer["error"].isprintable()
        assert "status" in await asker.ask(STATUS)

    with_control(path, talk)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_bytes_of_any_kind_leave_others_their_answers(path: Path, pieces: list[bytes]) -> None:
    async def talk(_: World) -> None:
        asker, other = await call(path), await call(path)
        for piece in pieces:
            await asker.say(piece)
        assert "status" in await other.ask(STATUS)
        asker.leave()
        assert "status" in await other.ask(STATUS)

    with_control(path, talk)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_is_refused_and_the_connection_closed(end: bytes, path: Path) -> None:
    async def talk(_: World) -> None:
        asker = await call(path)
        asker.writer.write(b"x" * (LONGEST_REQUEST * 20) + end)
        assert f"more than {LONGEST_REQUEST} bytes" in (await asker.hear())["error"]
        assert await asker.ended() == b""
        assert "status" in await (await call(path)).ask(STATUS)

    with_control(path, talk)


def test_the_longest_question_is_still_one(path: Path) -> None:
    async def talk(_: World) -> None:
        question = b'{"op":"status"}'
        answer = await (await call(path)).ask(b" " * (LONGEST_REQUEST - len(question) - 1) + question + b"\n")
        assert "status" in answer

    with_control(path, talk)


# --- bounds ------------------------------------------------------------------------------------------------------


def test_half_a_question_at_the_end_is_no_question(path: Path) -> None:
    async def talk(_: World) -> None:
        asker = await call(path)
        await asker.say(b'{"op":"status"}')
        asker.writer.write_eof()
        assert await asker.ended() == b""

    with_control(path, talk)


def test_who_asks_nothing_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE_S", 0.02)

    async def talk(_: World) -> None:
        silent, slow = await call(path), await call(path)
        await slow.say(b'{"op":')
        assert await silent.ended() == b""
        assert await slow.ended() == b""

    with_control(path, talk)


def test_connections_beyond_the_bound_are_told_so_and_room_is_made_by_those_that_leave(path: Path) -> None:
    async def talk(_: World) -> None:
        here = [await call(path) for _ in range(CONNECTIONS)]
        for asker in here:
            await asker.ask(STATUS)
        more = await call(path)
        assert f"{CONNECTIONS} connections are open already" in (await more.hear())["error"]
        assert await more.ended() == b""
        here.pop().leave()
        assert "status" in await tried_again(path)

    with_control(path, talk)


async def tried_again(path: Path) -> dict[str, object]:
    """Ask until there is room: that somebody left is seen a moment later."""
    while True:
        asker = await call(path)
        try:
            answer = await asker.ask(STATUS)
        except (ConnectionError, AssertionError):
            continue
        if "connections are open already" not in answer.get("error", ""):
            return answer


def test_who_does_not_read_a_large_answer_is_dropped_and_holds_up_no_status(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "READ_S", 0.2)

    async def talk(world: World) -> None:
        world.known = [peer(f"192.0.2.{number % 250}") for number in range(20_000)]
        stalled = [await call(path, limit=100) for _ in range(LARGE)]
        for asker in stalled:
            asker.writer.write(json.dumps(PEERS | {"limit": 100_000}).encode() + b"\n")
        await until(lambda: world.asked == LARGE)
        other = await call(path)
        assert "status" in await other.ask(STATUS)
        assert len((await other.ask(PEERS))["peers"]) == 1000  # as soon as one of the stalled is dropped
        await until(lambda: world.control.connections == 1)
        for asker in stalled:
            assert not (await asker.ended()).endswith(b"\n")

    with_control(path, talk)


def test_no_more_than_a_few_large_answers_are_made_at_a_time(path: Path) -> None:
    async def talk(world: World) -> None:
        world.held = asyncio.Event()
        askers = [await call(path) for _ in range(LARGE + 3)]
        for asker in askers:
            await asker.say(b'{"op":"peers"}\n')
        await until(lambda: world.asked == LARGE)
        assert "status" in await (await call(path)).ask(STATUS)
        assert world.asked == LARGE
        world.held.set()
        for asker in askers:
            assert "peers" in await asker.hear()

    with_control(path, talk)


# --- the live view -----------------------------------------------------------------------------------------------


async def watching(path: Path, world: World, limit: int = 1 << 20) -> Asker:
    """Somebody who watches: mailtlsd has begun to tell him."""
    before = len(world.announcer._listeners)
    asker = await call(path, limit)
    await asker.say(json.dumps(WATCH).encode() + b"\n")
    await until(lambda: len(world.announcer._listeners) > before)
    return asker


def test_who_watches_is_told_everything_in_order(path: Path) -> None:
    async def talk(world: World) -> None:
        asker = await watching(path, world)
        for number in range(BACKLOG):
            world.happens(f"number {number}")
        told = [(await asker.hear())["happening"]["what"] for _ in range(BACKLOG)]
        assert told == [f"number {number}" for number in range(BACKLOG)]

    with_control(path, talk)


def test_who_watches_slowly_loses_happenings_is_told_how_many_and_slows_nobody(path: Path) -> None:
    async def talk(world: World) -> None:
        slow = await watching(path, world, limit=400)  # its kernel buffer fills up, since nothing is read
        quick = await watching(path, world)
        heard: list[str] = []
        sent = 40 * BACKLOG
        for number in range(0, sent, 100):
            for each in range(100):
                world.happens(f"{number + each:07d}" + "." * 100)
            while len(heard) < number + 100:  # whoever reads is told everything
                heard.append((await quick.hear())["happening"]["what"])
        assert [int(what[:7]) for what in heard] == list(range(sent))
        told, lost = [], 0
        while len(told) + lost < sent:
            what = (await slow.hear())["happening"]["what"]
            if "were left out" in what:
                lost += int(what.split()[0])
            else:
                told.append(int(what[:7]))
        assert told == sorted(set(told))
        assert told[-1] == sent - 1, "the latest are told, the oldest left out"
        assert lost > 0, "nothing was lost; this test shows nothing"

    with_control(path, talk)


def test_a_live_view_that_nobody_reads_for_long_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "STALLED_S", 0.05)

    async def talk(world: World) -> None:
        asker = await watching(path, world, limit=100)
        for _ in range(BACKLOG):
            world.happens("x" * 5000)
        await until(lambda: not world.announcer.heard)
        asker.leave()

    with_control(path, talk)


@pytest.mark.parametrize("how", ["leaves", "says it has finished", "asks more"])
def test_who_stops_watching_is_forgotten_also_when_nothing_happens(how: str, path: Path) -> None:
    async def talk(world: World) -> None:
        asker = await watching(path, world)
        match how:
            case "leaves":
                asker.leave()
            case "says it has finished":
                asker.writer.write_eof()
            case _:
                await asker.say(b"x")
        await until(lambda: not world.announcer.heard)

    with_control(path, talk)


def test_live_views_beyond_the_bound_are_told_so_and_questions_are_still_answered(path: Path) -> None:
    async def talk(world: World) -> None:
        here = [await watching(path, world) for _ in range(SUBSCRIBERS)]
        assert f"{SUBSCRIBERS} live views are open already" in (await (await call(path)).ask(WATCH))["error"]
        assert "status" in await (await call(path)).ask(STATUS)
        assert len(world.announcer._listeners) == len(here)

    with_control(path, talk)


# --- the file, the beginning and the end -------------------------------------------------------------------------


def test_the_file_is_there_for_owner_and_group_while_mailtlsd_runs_and_gone_after_it(path: Path) -> None:
    async def talk(_: World) -> None:
        assert stat.filemode(os.stat(path).st_mode) == "srw-rw----"

    with_control(path, talk)
    assert not path.exists()


def test_everybody_is_let_go_when_mailtlsd_stops(path: Path) -> None:
    async def both() -> None:
        world = World()
        world.held = asyncio.Event()
        async with running(Control(path, world).run, path.exists):
            idle, waiting = await call(path), await call(path)
            await idle.ask(STATUS)
            await waiting.say(b'{"op":"peers"}\n')
            await until(lambda: world.asked == 1)
            watcher = await watching(path, world)
        for asker in (idle, waiting, watcher):
            assert await asker.ended() == b""
        assert not world.announcer.heard

    asyncio.run(both())


def test_it_can_begin_anew_after_it_ended(path: Path) -> None:
    async def both() -> None:
        ours = Control(path, World())
        for _ in range(3):
            async with running(ours.run, path.exists):
                assert "status" in await (await call(path)).ask(STATUS)

    asyncio.run(both())


def test_the_socket_of_a_dead_mailtlsd_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()

    async def talk(_: World) -> None:
        assert "status" in await (await call(path)).ask(STATUS)

    async def both() -> None:
        world = World()
        ours = Control(path, world)
        await ours.open()
        async with running(ours.run, path.exists):
            await talk(world)

    asyncio.run(both())


def test_the_socket_of_a_living_mailtlsd_is_left_alone(path: Path) -> None:
    async def talk(_: World) -> None:
        second = Control(path, World())
        with pytest.raises(
            RefusedError, match=r"another mailtlsd listens at .*control\.sock; stop it first: systemctl"
        ):
            await second.open()
        assert "status" in await (await call(path)).ask(STATUS)

    with_control(path, talk)


def test_what_is_no_socket_is_not_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match="this is no socket, and is not removed"):
        asyncio.run(Control(path, World()).open())
    assert path.read_text() == "precious"


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no socket can be made here: file exists"):
        asyncio.run(Control(tmp_path / "file" / "control.sock", World()).open())


def test_a_path_that_no_socket_can_have_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107 bytes; set a shorter root"):
        asyncio.run(Control(tmp_path / ("x" * 110), World()).open())


def test_a_group_that_does_not_exist_is_said_and_the_rest_works(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def both() -> None:
        async with running(Control(path, World(), "no-such-group").run, path.exists):
            assert "status" in await (await call(path)).ask(STATUS)

    asyncio.run(both())
    assert "there is no group no-such-group: only root and this user may ask" in caplog.text


def test_the_group_of_admins_may_ask(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives files to any group")

    async def both() -> None:
        async with running(Control(path, World(), "12345").run, path.exists):
            assert os.stat(path).st_gid == 12345

    asyncio.run(both())
