"""A mailtlsd without its daemon: a log on disk, a real store, a keeper that answers, and a desk between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from core.screenplay import policy
from ctl.parties import Keeper, listening
from mailtls.core.livedecider import LiveDecider
from mailtls.edge.follow import Follower
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.edge.store import Store
from mailtls.service.announcer import Announcer
from mailtls.service.answers import Answers
from mailtls.service.desk import Desk
from mailtls.service.hellolistener import HelloListener
from mailtls.service.keeperlink import KeeperLink
from mailtls.service.memory import Memory
from mailtls.service.metrics import Metrics
from mailtls.service.watcher import Watcher

POLICY = """
[causes.not_tls]
action = "waive"
level_floor = "cleartext"
after = { sessions = 3, within = "24h" }
lifetime = "30d"
[limits]
automatic = ["cleartext"]
"""


def now() -> datetime:
    return datetime.now().astimezone()


class Server:
    """Lines of a busy smtpd, as Postfix would log them just now."""

    def __init__(self) -> None:
        self.pid = 1000
        self.ago = timedelta(0)

    def _lines(self, *texts: str) -> list[str]:
        self.pid += 1
        stamp = (now() - self.ago).isoformat(timespec="seconds")
        return [f"{stamp} mx postfix/smtpd[{self.pid}]: {text}" for text in texts]

    def breaks_on_starttls(self, ip: str) -> list[str]:
        who = f"copier.example.net[{ip}]"
        return self._lines(
            f"connect from {who}",
            f"SSL_accept error from {who}: -1",
            "warning: TLS library problem: error:0A00010B:SSL routines::wrong version number:"
            "../ssl/record/ssl3_record.c:354:",
            f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2",
        )

    def refuses_the_version(self, ip: str) -> list[str]:
        """A peer of TLS 1.0 at a strict door that wants TLS 1.2."""
        who = f"old.example.net[{ip}]"
        return self._lines(
            f"connect from {who}",
            f"SSL_accept error from {who}: -1",
            "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:"
            "../ssl/statem/statem_srvr.c:1657:",
            f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2",
        )

    def serves_at_the_legacy_door(self, ip: str, suite: str) -> list[str]:
        who = f"old.example.net[{ip}]"
        texts = (
            f"connect from {who}",
            f"Anonymous TLS connection established from {who}: {suite} (256/256 bits)",
            f"1234567890A: client={who}",
            f"disconnect from {who} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
        )
        return [line.replace("postfix/smtpd", "postfix/mailtls-legacy/smtpd") for line in self._lines(*texts)]

    def succeeds(self, ip: str) -> list[str]:
        who = f"mail.example.net[{ip}]"
        return self._lines(
            f"connect from {who}",
            f"Anonymous TLS connection established from {who}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
            f"disconnect from {who} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
        )


class World:
    """Everything of one run; `directory` outlives it."""

    def __init__(self, directory: Path, keeper: Keeper, text: str = POLICY) -> None:
        self.directory = directory
        self.log = directory / "mail.log"
        self.keeper = keeper
        self.metrics = Metrics()
        self.announcer = Announcer(now)
        self.decider = LiveDecider(policy(text))
        self.memory = Memory(lambda: Store.open(directory / "mailtls.db", now), lambda store: _nobody())
        self.hellos = HelloListener(directory / "hellos.sock", now)
        self.desk = Desk(self.decider, self.memory, self.metrics, self.announcer, now, self.hellos)
        socket = directory / "keeper.sock"
        self.link = KeeperLink(
            lambda: KeeperSocket(socket, 5), self.decider, self.desk.event, self.desk.answer, self.desk.listed,
            self.desk.fares,
        )  # fmt: skip
        self.desk.link = self.link
        self.watchers: list[Watcher] = []
        self.answers = Answers(self.desk, self.memory, self.link, self.announcer, self.watchers, now)

    async def begin(self) -> None:
        """Open the store and follow the log from where it was read to."""
        await self.memory.open()
        source = f"file:{self.log}"
        store = self.memory.store
        position = await store.position(source) if store is not None else None
        follow = lambda place: Follower(self.log, place, from_start=True)  # noqa: E731
        self.watchers.append(
            Watcher(source, follow, position, self.desk, self.memory, self.metrics, now, timedelta(hours=1))
        )
        if store is not None:
            self.link.last_event = await store.last_event()

    def write(self, *lines: str) -> None:
        """Write whole lines to the log."""
        with self.log.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until this is so."""
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110  (of several tasks that know nothing of tests)
                await asyncio.sleep(0.005)

    @property
    def sessions(self) -> int:
        return self.desk.figures.sessions


async def _nobody() -> int:
    return 0


@asynccontextmanager
async def running(world: World, *, commits: bool = True) -> AsyncIterator[World]:
    """Let everything run; at the end it is dropped where it stands, as by kill -9."""
    await world.begin()
    parts = [asyncio.create_task(watcher.run()) for watcher in world.watchers]
    parts.append(asyncio.create_task(world.link.run()))
    if commits:
        parts.append(asyncio.create_task(world.memory.run(lambda: world.link.settled(1))))
    try:
        yield world
    finally:
        for part in parts:
            part.cancel()
        for part in parts:
            with suppress(asyncio.CancelledError):
                await part
        if world.memory.store is not None:
            await world.memory.store.close()


__all__ = ["POLICY", "Keeper", "Server", "World", "listening", "now", "running"]
