"""The policy service over real sockets: in step with Postfix, whatever is sent, and bounded."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailtls.core.cause import Door
from mailtls.core.delegation import LONGEST_REQUEST
from mailtls.core.peermap import PeerMap
from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.tlsversion import TLS13
from mailtls.core.verdict import Answer, Ground, Guard, Proof, Requirement, Snapshot, Verdict
from mailtls.edge.activation import PassedSocket
from mailtls.edge.policysockets import PolicySockets
from mailtls.errors import ConfigError, MailtlsError
from mailtls.service import policyd
from mailtls.service.messagemetrics import MessageMetrics
from mailtls.service.policyd import PolicyService

DATA = (
    b"request=smtpd_access_policy\nprotocol_state=DATA\nclient_address=192.0.2.7\nclient_name=mx.example.com\n"
    b"server_port=25\nsender=a@bank.example\nqueue_id=4Xy\nencryption_protocol=\n\n"
)
USUAL = (
    b"request=smtpd_access_policy\nprotocol_state=DATA\nclient_address=192.0.2.7\nclient_name=mx.example.com\n"
    b"server_port=25\nsender=a@bank.example\nqueue_id=4Xy\nsasl_method=\nsasl_username=\n"
    b"encryption_protocol=TLSv1.3\npolicy_context=mailtls-strict\n\n"
)
STRICT = Snapshot(required_of_domains=PeerMap({"bank.example": Requirement(text="Encrypted, please")}))
DUNNO = b"action=DUNNO\n\n"


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until this is so; the test as a whole has a time limit."""
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


class World:
    """A service at a socket in `place`, with what it was told."""

    def __init__(self, place: Path, snapshot: Snapshot = STRICT) -> None:
        self.snapshot = snapshot
        self.told: list[tuple[SmtpFacts, Verdict]] = []
        self.unread: list[bytes] = []
        self.metrics = MessageMetrics()
        self.faults: dict[str, str] = {}
        self.path = place / "policy"
        self.sockets = PolicySockets(self.path, "", lambda: ())
        self.service = PolicyService(
            lambda: self.snapshot, lambda *told: self.told.append(told), self.unread.append, self.metrics,
            self.sockets.open, self.faults,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        task = asyncio.create_task(self.service.run())
        await until(self.path.is_socket)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.sockets.close()

    async def ask(self, *pieces: bytes) -> bytes:
        """Send pieces, say that this is all, and give everything that is answered."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        with suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
        answer = b""
        with suppress(OSError):
            answer = await reader.read()
        writer.close()
        return answer

    def requests(self, verdict: str) -> int:
        return self.metrics._requests[verdict]


def in_world(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a world of its own."""

    @functools.wraps(test)
    def run(tmp_path: Path, **named: Any) -> None:
        async def both() -> None:
            world = World(tmp_path)
            async with world.running():
                await test(world, **named)

        asyncio.run(asyncio.wait_for(both(), 60))

    del run.__wrapped__  # pytest would ask for the world as a fixture
    return run


@in_world
async def test_a_question_is_answered_by_what_stands_now(world: World) -> None:
    assert await world.ask(DATA) == b"action=DEFER Encrypted, please\n\n"
    world.snapshot = Snapshot()
    assert await world.ask(DATA) == DUNNO
    assert [verdict.ground for _, verdict in world.told] == [Ground.NOT_PROTECTED_ENOUGH, Ground.NOTHING]
    assert (world.requests("defer"), world.requests("dunno")) == (1, 1)


@in_world
async def test_many_questions_on_one_connection_are_answered_in_their_order(world: World) -> None:
    other = DATA.replace(b"bank.example", b"else.example")
    answers = await world.ask(DATA + other, other, DATA)
    assert answers == b"action=DEFER Encrypted, please\n\n" + 2 * DUNNO + b"action=DEFER Encrypted, please\n\n"


@pytest.mark.parametrize("size", [1, 16, 128, 4096])
def test_however_the_bytes_come_the_answers_are_the_same(tmp_path: Path, size: int) -> None:
    async def both() -> None:
        world = World(tmp_path)
        async with world.running():
            text = DATA * 3
            pieces = [text[at : at + size] for at in range(0, len(text), size)]
            assert await world.ask(*pieces) == b"action=DEFER Encrypted, please\n\n" * 3

    asyncio.run(asyncio.wait_for(both(), 60))


@in_world
async def test_what_passes_at_a_glance_is_answered_counted_and_kept_unread(world: World) -> None:
    assert await world.ask(USUAL) == DUNNO
    assert await world.ask(USUAL.replace(b"=DATA", b"=END-OF-MESSAGE")) == DUNNO
    assert (world.requests("dunno"), world.unread, world.told) == (2, [USUAL], [])


@in_world
async def test_a_glance_goes_by_what_stands_now(world: World) -> None:
    older = USUAL.replace(b"TLSv1.3", b"TLSv1.2")
    assert await world.ask(older) == DUNNO
    world.snapshot = Snapshot(required_of_domains=PeerMap({"bank.example": Requirement(TLS13, "Better, please")}))
    assert await world.ask(older) == b"action=DEFER Better, please\n\n"
    assert world.unread == [older]


@in_world
async def test_what_comes_in_pieces_or_together_is_read_and_answered_the_same(world: World) -> None:
    assert await world.ask(USUAL * 2, DATA[:40]) == 2 * DUNNO
    assert await world.ask(DATA[:40] + b"\n", b"x=1\n" + USUAL, USUAL) == 2 * DUNNO
    assert await world.ask(b"x=" + b"y" * LONGEST_REQUEST, USUAL, USUAL) == 2 * DUNNO
    assert world.requests("malformed") == 2
    assert len(world.told) + len(world.unread) == 4


def test_it_answers_on_uvloop_where_that_is_installed(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def work() -> None:
        world = World(tmp_path)
        async with world.running():
            assert await world.ask(USUAL, DATA) == DUNNO + b"action=DEFER Encrypted, please\n\n"
            assert len(world.unread) == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work(), 60))


@in_world
async def test_what_is_no_question_is_answered_dunno_and_counted(world: World) -> None:
    assert await world.ask(b"rubbish\n\n", DATA) == DUNNO + b"action=DEFER Encrypted, please\n\n"
    assert await world.ask(b"x=" + b"y" * LONGEST_REQUEST + b"\n\n") == DUNNO
    assert world.requests("malformed") == 2
    assert {kind for kind, count in world.metrics._malformed.items() if count} == {"no_attribute", "oversized"}


@in_world
async def test_a_question_without_an_end_is_answered_nothing(world: World) -> None:
    assert await world.ask(DATA[:-1]) == b""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([DATA, USUAL, b"\n"])), max_size=20))
def test_any_bytes_in_any_pieces_get_one_answer_for_each_end(tmp_path: Path, pieces: list[bytes]) -> None:
    async def both() -> None:
        world = World(tmp_path)
        async with world.running():
            answers = await world.ask(*pieces)
            assert answers.count(b"\n\n") == sum(world.metrics._requests.values())
            assert all(each.startswith(b"action=") for each in answers.split(b"\n\n")[:-1])
            assert await world.ask(DATA) == b"action=DEFER Encrypted, please\n\n"

    asyncio.run(asyncio.wait_for(both(), 60))


@in_world
async def test_an_answer_is_one_line_whatever_the_operator_wrote(world: World) -> None:
    world.snapshot = Snapshot(required_of_domains=PeerMap({"bank.example": Requirement(text="a\n\nb\x1b[0mü" * 99)}))
    answer = await world.ask(DATA)
    assert answer.endswith(b"\n\n")
    assert answer.count(b"\n") == 2
    assert b"\x1b" not in answer


@in_world
async def test_who_does_not_read_is_dropped_and_nobody_else_notices(world: World) -> None:
    _reader, writer = await asyncio.open_unix_connection(str(world.path), limit=1)
    writer.transport.set_write_buffer_limits(high=0)  # type: ignore[attr-defined]
    with pytest.raises(OSError):
        while True:
            writer.write(b"\n" * 60_000)
            await asyncio.wait_for(writer.drain(), 20)
    assert await world.ask(DATA) == b"action=DEFER Encrypted, please\n\n"
    writer.close()


@in_world
async def test_more_connections_than_there_may_be_are_closed_unanswered(world: World) -> None:
    policyd.CONNECTIONS = 3
    try:
        held = [await asyncio.open_unix_connection(str(world.path)) for _ in range(3)]
        await until(lambda: len(world.service.served) == 3)
        assert await world.ask(DATA) == b""
        assert world.service.turned_away == 1
        held[0][1].write(DATA)
        assert await held[0][0].readuntil(b"\n\n") == b"action=DEFER Encrypted, please\n\n"
        for _, writer in held:
            writer.close()
        await until(lambda: not world.service.served)
        assert await world.ask(DATA) == b"action=DEFER Encrypted, please\n\n"
    finally:
        policyd.CONNECTIONS = 2_000


@in_world
async def test_who_stands_half_way_or_says_nothing_is_dropped_in_time(world: World) -> None:
    half, silent = [await asyncio.open_unix_connection(str(world.path)) for _ in range(2)]
    half[1].write(b"request=")
    await until(lambda: sorted(each.reader.pending for each in world.service.served) == [0, 8])
    now = asyncio.get_running_loop().time()
    world.service._drop_idle(now + policyd.PATIENCE_S + 1)
    assert await half[0].read() == b""
    assert len(world.service.served) == 1
    world.service._drop_idle(now + policyd.IDLE_S + 1)
    assert await silent[0].read() == b""


# --- the sockets -----------------------------------------------------------------------------------------------------


def run_of(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(whole())


def test_the_socket_that_systemd_passes_is_used_and_stays_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "passed"))
        listening.listen()
        passed = (PassedSocket("policy", listening.fileno()), PassedSocket("other", 99))
        sockets = PolicySockets(tmp_path / "none" / "policy", "", lambda: passed)
        for _ in range(2):
            (ours,) = sockets.open()
            assert ours.getsockname() == str(tmp_path / "passed")
            ours.close()
        assert listening.getsockname() == str(tmp_path / "passed")


def test_without_a_directory_nothing_is_made(tmp_path: Path) -> None:
    assert PolicySockets(tmp_path / "none" / "policy", "", lambda: ()).open() == []


def test_a_tcp_port_is_for_loopback_only(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (ours,) = PolicySockets(tmp_path / "none" / "policy", f"127.0.0.1:{port}", lambda: ()).open()
    assert ours.getsockname() == ("127.0.0.1", port)
    for listen in ("0.0.0.0:9812", "[2001:db8::1]:9812"):
        with pytest.raises(ConfigError, match="write a loopback address"):
            PolicySockets(tmp_path / "none" / "policy", listen, lambda: ()).open()
    for listen in ("localhost:9812", "127.0.0.1", "127.0.0.1:smtp"):
        with pytest.raises(ConfigError, match="write an address and a port"):
            PolicySockets(tmp_path / "none" / "policy", listen, lambda: ()).open()
    taken = f"127.0.0.1:{ours.getsockname()[1]}"
    with pytest.raises(MailtlsError, match="ss -ltnp"):
        PolicySockets(tmp_path / "none" / "policy", taken, lambda: ()).open()
    ours.close()


def test_a_port_that_is_taken_is_a_fault_until_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policyd, "AGAIN_S", 0.01)
    tries = 0

    def sockets() -> list[socket.socket]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise MailtlsError("taken")
        return []

    async def work() -> None:
        world = World(tmp_path)
        service = PolicyService(lambda: STRICT, lambda *_: None, lambda _: None, world.metrics, sockets, world.faults)
        task = asyncio.create_task(service.run())
        await until(lambda: bool(world.faults))
        assert world.faults == {"policy_service": "taken"}
        await until(lambda: not world.faults)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run_of(work)


@in_world
async def test_a_guard_that_stamps_writes_a_header(world: World) -> None:
    world.snapshot = Snapshot(
        guard=Guard(Answer.STAMP, 1), ports={"10225": Door.LEGACY}, proven={"192.0.2.7": Proof(5)}
    )
    assert await world.ask(DATA) == b"action=PREPEND MailTLS-Downgrade: cleartext; expected TLSv1.2\n\n"
