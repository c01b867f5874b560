"""A keeper and a mailtlsd for the tests of whoever asks them: whole little worlds on real UNIX sockets.

They speak core/keeperprotocol.py and core/controlprotocol.py and keep what they are told, but touch no table and read
no log. `Odd` parties misbehave in one way each.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

from ctl.program import mailtlsctl
from mailtls.config import Config
from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import (
    QUESTION,
    Answer,
    AskExplain,
    AskFloor,
    AskHistory,
    AskInventory,
    AskPeers,
    AskStatus,
    AskWaivers,
    DayCount,
    ExplainedKnownPeer,
    FloorForecast,
    Happening,
    Inventory,
    KnownPeer,
    PastStep,
    SourceStatus,
    Status,
)
from mailtls.core.keeperprotocol import (
    REQUEST,
    DoorState,
    Event,
    Events,
    Grant,
    Health,
    ListWaivers,
    LiveWaiver,
    Reply,
    Step,
    Withdraw,
)
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.register import Register
from mailtls.core.waiver import Origin
from mailtls.ctl.whom import read_whom

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
REQUESTS = 1 << 20


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def listening(path: Path, serve: Callable[[Any], None]) -> Iterator[Path]:
    """Listen at the path; `serve` is called in a thread with the file of each connection, for both directions."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the other side went away
                serve(self)

    path.parent.mkdir(parents=True, exist_ok=True)
    with _Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            path.unlink()


class Keeper:
    """A keeper without tables: as the real one it refuses levels that have no door, and answers an id once.

    `doors`: those that there are, and whether they serve.
    """

    def __init__(self) -> None:
        self.waivers: dict[str, LiveWaiver] = {}
        self.events: list[Event] = []
        self.requests: list[Any] = []
        self.live = True
        self.refuses: str | None = None
        self.doors: dict[Level, bool] = {}
        self.stopped = False
        self.changed = threading.Condition()

    def serve(self, connection: Any) -> None:
        """Answer what one connection asks."""
        for line in connection.rfile:
            request = REQUEST.validate_json(line)
            self.requests.append(request)
            if self.stopped:
                return
            if isinstance(request, Events) and request.follow:
                self._follow(connection, request.since)
            self._send(connection, self.answer(request))

    def answer(self, request: Any) -> Reply:
        """Do what is asked, or refuse it."""
        if self.refuses is not None:
            return Reply(ok=False, refused=self.refuses)
        match request:
            case Grant():
                return self._grant(request)
            case Withdraw():
                return self._withdraw(request)
            case ListWaivers(about=None):
                return Reply(waivers=tuple(self.waivers.values()))
            case ListWaivers():
                register = Register()
                for waiver in self.waivers.values():
                    register.put(waiver)
                return Reply(waivers=register.about(request.about))
            case Events():
                return Reply(events=tuple(event for event in self.events if event.number > request.since))
        return Reply(health=self._health())

    def _health(self) -> Health:
        doors = tuple(
            DoorState(level=level, port=10000 + level.depth, up=up, why_not=None if up else "no banner within 5 s")
            for level, up in self.doors.items()
        )
        return Health(
            since=NOW, waivers=Counter(waiver.level for waiver in self.waivers.values()), last_event=len(self.events),
            tables=("lmdb:/x/discard",), policy="p", doors=doors, conntrack=0.125 if doors else None,
        )  # fmt: skip

    def _grant(self, grant: Grant) -> Reply:
        if grant.level is not Level.CLEARTEXT and not self.doors.get(grant.level):
            return Reply(ok=False, refused=f"level {grant.level} has no door here yet")
        waiver = LiveWaiver(
            id=grant.id, network=grant.network, level=grant.level, owner=grant.owner or "root", reason=grant.reason,
            granted=datetime.now(UTC), until=grant.until, latest=grant.until, origin=Origin.PERSON,
        )  # fmt: skip
        if grant.dry_run:
            return Reply(waiver=waiver)
        self.waivers[grant.network] = waiver
        self.happen(Step.GRANTED, waiver)
        return Reply(waiver=waiver, live=self.live, milliseconds=7.4 if self.live else None)

    def _withdraw(self, request: Withdraw) -> Reply:
        waiver = self.waivers.pop(request.network or "", None)
        if waiver is None:
            return Reply(ok=False, refused=f"{request.network} has no waiver; see: mailtlsctl waivers")
        self.happen(Step.WITHDRAWN, waiver)
        return Reply(waiver=waiver, live=self.live, milliseconds=3.2 if self.live else None)

    def happen(self, step: Step, waiver: LiveWaiver) -> None:
        """Write an event down, and wake who follows."""
        with self.changed:
            self.events.append(Event(number=len(self.events) + 1, at=NOW, step=step, waiver=waiver, by="root"))
            self.changed.notify_all()

    def _follow(self, connection: Any, since: int) -> None:
        while True:
            with self.changed:
                while len(self.events) <= since:
                    self.changed.wait()
                told = tuple(self.events[since:])
            self._send(connection, Reply(events=told))
            since = told[-1].number

    def _send(self, connection: Any, reply: Reply) -> None:
        connection.wfile.write(reply.model_dump_json(exclude_defaults=True).encode() + b"\n")


class Daemon:
    """A mailtlsd that knows what it was given."""

    def __init__(self) -> None:
        self.known: list[KnownPeer] = []
        self.explained: list[ExplainedKnownPeer] = []
        self.waivers: tuple[LiveWaiver, ...] = ()
        self.history: tuple[PastStep, ...] = ()
        self.floor: FloorForecast | None = None
        self.inventory: Inventory | None = None
        self.happenings: tuple[Happening, ...] = ()
        self.status = a_status()
        self.error: str | None = None
        self.questions: list[Any] = []
        self.end_of_watch = threading.Event()

    def serve(self, connection: Any) -> None:
        """Answer what one connection asks."""
        for line in connection.rfile:
            question = QUESTION.validate_json(line)
            self.questions.append(question)
            for answer in self.answers(question):
                connection.wfile.write(answer.model_dump_json(exclude_defaults=True).encode() + b"\n")
            if question.op == "watch":
                self.end_of_watch.wait()
                return

    def answers(self, question: Any) -> Iterator[Answer]:
        """Give the answers to one question: one, or as many as there are happenings."""
        if self.error is not None:
            yield Answer(error=self.error)
            return
        match question:
            case AskStatus():
                yield Answer(status=self.status)
            case AskPeers():
                covers = read_whom(question.whom).covers if question.whom else lambda ip, name: True
                known = [peer for peer in self.known if covers(peer.ip, peer.name)]
                known = [peer for peer in known if peer.state == "failing" or not question.failing]
                yield Answer(peers=tuple(known[: question.limit]))
            case AskFloor():
                yield Answer(floor=self.floor)
            case AskInventory():
                yield Answer(inventory=self.inventory)
            case AskExplain():
                covers = read_whom(question.whom).covers
                yield Answer(explained=tuple(each for each in self.explained if covers(each.peer.ip, each.peer.name)))
            case AskWaivers():
                yield Answer(waivers=self.waivers)
            case AskHistory():
                yield Answer(history=self.history[: question.limit])
            case _:
                yield from (Answer(happening=happening) for happening in self.happenings)


Serve = Callable[[Any], None]


class World:
    """A private instance below a root of its own, with a keeper and a mailtlsd that may be away or odd."""

    def __init__(self, root: Path) -> None:
        self.places = Config(root=str(root)).places
        self.config = root / "mailtls.toml"
        self.config.write_text(f'root = "{root}"\n')
        self.keeper = Keeper()
        self.daemon = Daemon()

    def mailtlsctl(self, *arguments: str, **changes: str) -> CompletedProcess[str]:
        """Run the program on this instance."""
        return mailtlsctl(*arguments, **{"MAILTLS_CONFIG": str(self.config), **changes})

    def set_up(self, view: PostfixSettings) -> None:
        """Let `setup` have found and made this, and the doors serve."""
        self.places.postfix_view.parent.mkdir(parents=True, exist_ok=True)
        self.places.postfix_view.write_text(as_toml(view))
        self.keeper.doors = {door.level: True for door in view.doors}

    @contextmanager
    def running(self, *, keeper: Serve | None = None, daemon: Serve | None = None, without: str = "") -> Iterator[None]:
        """Run both, or an odd one in place of one, or one of them only."""
        with ExitStack() as stack:
            if without != "keeper":
                stack.enter_context(listening(self.places.keeper_socket, keeper or self.keeper.serve))
            if without != "daemon":
                stack.enter_context(listening(self.places.control, daemon or self.daemon.serve))
            yield


def as_toml(view: PostfixSettings) -> str:
    """Write what belongs to doors as `setup` would."""
    strict, lines = view.strict, []
    if strict is not None:
        lines += ["[strict]", *(f"{name} = {json.dumps(value)}" for name, value in strict.model_dump().items())]
    for door in view.doors:
        offers = ", ".join(f"{name} = {json.dumps(value)}" for name, value in door.offers.model_dump().items())
        fields = {name: json.dumps(value) for name, value in door.model_dump(exclude={"offers"}).items()}
        lines += ["[[doors]]", *(f"{name} = {value}" for name, value in fields.items()), f"offers = {{ {offers} }}"]
    return "\n".join(lines) + "\n"


@contextmanager
def a_world() -> Iterator[World]:
    """Make a world whose paths are short enough for sockets."""
    with TemporaryDirectory(prefix="mailtls") as root:
        yield World(Path(root))


class Odd:
    """Parties that misbehave: each takes a connection and does one wrong thing."""

    @staticmethod
    def closes(connection: Any) -> None:
        """Close without a word."""
        connection.rfile.readline()

    @staticmethod
    def closes_at_once(connection: Any) -> None:
        """Close before anything was asked."""

    @staticmethod
    def half_a_line(connection: Any) -> None:
        """Close within the answer."""
        connection.rfile.readline()
        connection.wfile.write(b'{"ok": tr')

    @staticmethod
    def garbage(connection: Any) -> None:
        """Answer with what is no JSON, and would colour a terminal."""
        connection.rfile.readline()
        connection.wfile.write(b"\x1b[31m\xff HTTP/1.1 400 Bad Request\r\n")

    @staticmethod
    def another_protocol(connection: Any) -> None:
        """Answer with JSON of other words."""
        connection.rfile.readline()
        connection.wfile.write(b'{"result": 1}\n')

    @staticmethod
    def endless(connection: Any) -> None:
        """Answer with a line of 100 MB, if anybody takes it."""
        connection.rfile.readline()
        for _ in range(100):
            connection.wfile.write(b"x" * (1 << 20))

    @staticmethod
    def silence(connection: Any) -> None:
        """Take the question and say nothing until the other side goes away."""
        connection.rfile.read(REQUESTS)

    @staticmethod
    def refuses_and_closes(connection: Any) -> None:
        """Refuse before anything was asked, as the keeper does to a stranger."""
        connection.wfile.write(Reply(ok=False, refused="you are nobody here").model_dump_json().encode() + b"\n")


def a_status(**changes: Any) -> Status:
    """A mailtlsd that is well."""
    source = SourceStatus(
        source="/var/log/mail.log", state="following", lag_seconds=0.2, lines=12345, last_line=NOW, said="",
    )  # fmt: skip
    well = Status(
        version="0.2.0", since=NOW, pid=4711, sources=(source,), keeper=True, remembers=True,
        policy="/etc/mailtls/policies/default.toml", peers={"ok": 1200, "failing": 3, "waived": 2},
        waivers={Level.CLEARTEXT: 2}, sessions=54321, failures=17,
    )  # fmt: skip
    return well.model_copy(update=changes)


def a_waiver(network: str = "192.0.2.7", **changes: Any) -> LiveWaiver:
    """A person's waiver for a month."""
    waiver = LiveWaiver(
        id="w1", network=network, level=Level.CLEARTEXT, owner="alice", reason="old copier", granted=NOW,
        until=NOW + timedelta(days=30), latest=NOW + timedelta(days=30), origin=Origin.PERSON,
    )  # fmt: skip
    return waiver.model_copy(update=changes)


def a_peer(ip: str = "192.0.2.7", **changes: Any) -> KnownPeer:
    """A peer that is too old."""
    peer = KnownPeer(
        ip=ip, name="mx.example.com", state="failing", first_seen=NOW - timedelta(days=9), last_seen=NOW, sessions=12,
        failures=3, mails=4, cause=Cause.PEER_TOO_OLD, reason="unsupported protocol",
    )  # fmt: skip
    return peer.model_copy(update=changes)


def explained(peer: KnownPeer, **changes: Any) -> ExplainedKnownPeer:
    """What is remembered of such a peer."""
    failed = DayCount(
        day="2026-11-19", service="smtpd", door="strict", outcome="tls_failed", cause="peer_too_old", tls_version=None,
        cipher=None, sessions=2, mails=0,
    )  # fmt: skip
    days = tuple(failed.model_copy(update={"day": f"2026-11-{day}"}) for day in (19, 20, 21))
    line = "mx postfix/smtpd[17]: SSL_accept error from mx.example.com[192.0.2.7]: -1"
    return ExplainedKnownPeer(peer=peer, days=days, history=(), evidence=(line,)).model_copy(update=changes)
