"""mailtlsd: the only wiring of the daemon.

Watchers, desk, memory, the link to the keeper, the control socket and the metrics are made here, and each runs as a
task of its own until the signal to stop. What each of them does is in its own file; what nobody foresaw in one of them
is said, and that one begins anew: watching must go on.

Exit status: 0 stopped as asked, 2 a configuration or policy that cannot be followed, 1 another mailtlsd runs here.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from mailtls import __version__
from mailtls.config import Config, read_config
from mailtls.core.livedecider import LiveDecider
from mailtls.core.printable import printable
from mailtls.edge.follow import Follower
from mailtls.edge.journal import JournalFollower
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.edge.loglines import begin_logging
from mailtls.edge.noticeboard import OF_APPLY, NoticeBoard
from mailtls.edge.policyfile import Will, read_will
from mailtls.edge.sdnotify import Notifier
from mailtls.edge.standingview import StandingView
from mailtls.edge.store import Position, Store
from mailtls.errors import ConfigError, MailtlsError, StoreError
from mailtls.service.announcer import Announcer
from mailtls.service.answers import Answers
from mailtls.service.changewatch import CONFIGURATION, ChangeWatch
from mailtls.service.control import Control
from mailtls.service.desk import Desk
from mailtls.service.dialogue import Dialogue, DialoguePlaces
from mailtls.service.exporter import Exporter
from mailtls.service.hellolistener import HelloListener
from mailtls.service.keeperlink import KeeperLink
from mailtls.service.memory import Memory
from mailtls.service.metrics import Metrics
from mailtls.service.watcher import Log, Watcher

LOG = logging.getLogger("mailtls")
SETTLE = 2.0  # seconds that a commit waits for the keeper's answers
CLOSE = 3.0  # seconds for the last commit
TICK = 1.0  # seconds between looks at the lag
BEGIN_ANEW = 1.0  # seconds before a part that failed begins anew


def now() -> datetime:
    """The time, in this machine's zone."""
    return datetime.now().astimezone()


@dataclass
class Daemon:
    """One mailtlsd."""

    config: Config
    config_path: str | None = None
    watchers: list[Watcher] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the parts; nothing is opened yet. Raises ConfigError."""
        will = read_will(str(self.config.places.policy))
        self.notifier = Notifier()
        self.metrics = Metrics()
        self.announcer = Announcer(now)
        self.decider = LiveDecider(will.policy, will.known)
        self.view = StandingView(self.config.places.postfix_view, self.config.section)
        self.memory = Memory(lambda: Store.open(self.config.places.database, now), self._forget)
        self.hellos = HelloListener(self.config.places.hellos, now)
        self.desk = Desk(self.decider, self.memory, self.metrics, self.announcer, now, self.hellos)
        self.link = KeeperLink(
            lambda: KeeperSocket(self.config.places.keeper_socket),
            self.decider,
            self.desk.event,
            self.desk.answer,
            self._listed,
            self.desk.fares,
        )
        self.desk.link = self.link
        self.answers = Answers(self.desk, self.memory, self.link, self.announcer, self.watchers, now)
        self.answers.policy = will.source
        places, listen = self.config.places, self.config.policy_service.listen
        self.dialogue = Dialogue(
            DialoguePlaces(places.policy_socket, listen, places.verdicts, places.facts), will.policy,
            self.decider.live, lambda: self.view.view, self.memory, self.metrics.messages, self.announcer, now,
            self.answers.faults,
        )  # fmt: skip
        self.desk.complete = self.dialogue.facts.complete
        self.changes = ChangeWatch(
            NoticeBoard(self.config.places.under(OF_APPLY)),
            NoticeBoard(self.config.places.run),
            self.answers.faults,
            partial(self.metrics.server_fault, CONFIGURATION),
        )
        self.control = Control(self.config.places.control, self.answers, self.config.users.admins)
        self.exporter = Exporter(self.config.metrics.listen, self.metrics, self.healthy)
        self.look()

    def _listed(self) -> None:
        self.desk.listed()
        self.dialogue.snapshots.touch()

    async def _forget(self, store: Store) -> int:
        return await store.forget(now(), self.config.store.peers, self.config.store.strangers)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.control.open()
        self.hellos.open()
        await self.memory.open()
        await self._recall()
        await self.dialogue.recall()
        parts = [asyncio.create_task(self._outlive(name, part)) for name, part in self._parts()]
        self.notifier.send("READY=1", f"STATUS={self._line()}")
        LOG.info("mailtlsd %s follows %s", __version__, ", ".join(watcher.name for watcher in self.watchers))
        await stop.wait()
        self.notifier.send("STOPPING=1", "STATUS=stopping")
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        self.dialogue.close()
        self.hellos.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.memory.close(), CLOSE)

    def _parts(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        return [
            *((watcher.name, watcher.run) for watcher in self.watchers),
            ("memory", lambda: self.memory.run(lambda: self.link.settled(SETTLE))),
            ("keeper", self.link.run),
            ("hellos", self.hellos.run),
            ("control", self.control.run),
            *self.dialogue.parts(),
            ("metrics", self.exporter.run),
            ("clock", self._tick),
        ]

    async def _outlive(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part; where it ends by what nobody foresaw, say so and begin anew."""
        while True:
            try:
                await part()
            except Exception as error:
                said = f"{name} failed by a fault of mailtls ({type(error).__name__}: {error}), and began anew"
                LOG.error(said, exc_info=LOG.isEnabledFor(logging.DEBUG))  # noqa: TRY400  (no traceback at night)
                self.answers.faults[f"part.{name.partition(':')[0]}"] = printable(said, 500)
            await asyncio.sleep(BEGIN_ANEW)

    async def _recall(self) -> None:
        """Go on where the store says that each log was read to."""
        positions: dict[str, Position | None] = {}
        for source in self._sources():
            with suppress(StoreError):
                positions[source] = await self.memory.store.position(source) if self.memory.store is not None else None
        for source, follow in self._sources().items():
            desk, memory, metrics, silent = self.desk, self.memory, self.metrics, self.config.log.silent_after
            self.watchers.append(Watcher(source, follow, positions.get(source), desk, memory, metrics, now, silent))
        with suppress(StoreError):
            self.link.last_event = await self.memory.store.last_event() if self.memory.store is not None else 0

    def _sources(self) -> dict[str, Callable[[str | None], Log]]:
        logs: dict[str, Callable[[str | None], Log]] = {
            f"file:{path}": partial(Follower, path) for path in self.config.places.logs
        }
        if self.config.log.journal:
            logs["journal"] = partial(JournalFollower, self.config.log.journal_match)
        return logs

    # --- signals, watchdog, health ---------------------------------------------------------------------------

    def reload(self) -> None:
        """Read configuration and policy again (SIGHUP); what cannot be followed is refused, and the old stays."""
        self.notifier.reloading()
        try:
            will = self._read_again()
        except ConfigError as error:
            LOG.error("%s The former configuration and policy stay.", error)  # noqa: TRY400  (a sentence)
            self.answers.faults["policy"] = f"{error} The former one stays."
        else:
            self.answers.faults.pop("policy", None)
            self.answers.policy = will.source
            self.decider.obey(will.policy, will.known)
            self.dialogue.obey(will.policy)
            LOG.info("policy %s is followed from now on", will.source)
        self.look()
        self.notifier.send("READY=1", f"STATUS={self._line()}")

    def _read_again(self) -> Will:
        config = read_config(self.config_path)
        will = read_will(str(config.places.policy))
        fixed = ("root", "log", "metrics", "users", "policy_service")
        if any(getattr(config, name) != getattr(self.config, name) for name in fixed):
            LOG.warning("%s of mailtls.toml take effect with: systemctl restart mailtlsd", ", ".join(fixed))
        self.config = config
        return will

    def look(self) -> None:
        """Read what `setup` found of Postfix, where it has changed: new doors need no restart."""
        before = self.view.view.doors
        if not self.view.refresh():
            return
        self.decider.see(self.view.view)
        self.dialogue.snapshots.touch()
        self.answers.faults.pop("view", None)
        if self.view.fault is not None:
            LOG.error("%s", self.view.fault)
            self.answers.faults["view"] = self.view.fault
        if self.view.view.doors != before:
            doors = ", ".join(f"{door.level} at port {door.port}" for door in self.view.view.doors)
            LOG.info("doors beside the strict one: %s", doors or "none")

    async def _tick(self) -> None:
        """Feed the watchdog while this loop turns; look at the lag of the logs, and at what `setup` found."""
        rounds = 0
        while True:
            self.notifier.send("WATCHDOG=1")
            self.changes.look(self.decider.turned_since, now())
            self.metrics.lag(max((watcher.lag() for watcher in self.watchers), default=0.0))
            self.look()
            self.desk.hear_the_observer()
            if (seen := self.desk.observer()) is not None:
                self.metrics.hellos(seen.hellos, seen.matched, seen.lost, seen.garbage)
            if rounds % 10 == 0:
                self.notifier.send(f"STATUS={self._line()}")
                self.metrics.peers(await self.answers.counts())
            rounds += 1
            await asyncio.sleep(TICK)

    def _line(self) -> str:
        figures = self.desk.figures
        line = f"{figures.sessions} sessions, {figures.failures} failed, {len(self.decider.live())} waivers"
        return line if not self.link.trouble and not self.memory.trouble else f"{line}; see: mailtlsctl status"

    def healthy(self) -> str | None:
        """Say in one sentence what is wrong with watching; None where nothing is."""
        if not self.watchers:
            return "No log is followed: set [log] files or journal in mailtls.toml."
        ill = [watcher.ill for watcher in self.watchers]
        return ill[0] if all(ill) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mailtlsd; give its exit status."""
    parser = argparse.ArgumentParser(
        prog="mailtlsd", description="Watch the mail log, say why TLS of incoming mail fails, and act by policy."
    )
    parser.add_argument(
        "--config", metavar="FILE", help="mailtls.toml; else $MAILTLS_CONFIG, else /etc/mailtls/mailtls.toml"
    )
    parser.add_argument(
        "--check", action="store_true", help="read configuration and policy, say what is wrong, and exit"
    )
    parser.add_argument("--debug", action="store_true", help="log more")
    parser.add_argument("--version", action="version", version=f"mailtlsd {__version__}")
    asked = parser.parse_args(arguments)
    try:
        config = read_config(asked.config)
        _begin_logging(config, debug=asked.debug)
        daemon = Daemon(config, asked.config)
        if asked.check:
            print(f"{daemon.answers.policy}: fine")  # noqa: T201
            return 0
        _run(daemon.run)
    except ConfigError as error:
        print(f"mailtlsd: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except MailtlsError as error:
        print(f"mailtlsd: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _run(main_task: Callable[[], Awaitable[None]]) -> None:
    """On uvloop where it is installed."""
    factory = None
    with suppress(ImportError):
        from uvloop import new_event_loop as factory  # type: ignore[import-not-found,no-redef,unused-ignore]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main_task())  # type: ignore[arg-type]


def _begin_logging(config: Config, *, debug: bool) -> None:
    begin_logging("mailtlsd", logging.WARNING if config.quiet and not debug else logging.INFO)
    logging.getLogger("mailtls").setLevel(logging.DEBUG if debug else logging.NOTSET)
