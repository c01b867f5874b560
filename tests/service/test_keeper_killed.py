"""kill -9 of the keeper at random moments, fifty times: what was acknowledged stands, and Postfix always has tables."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.tabletypes import KIND

from mailtls.core.keeperprotocol import Grant, Reply, Withdraw
from mailtls.core.level import Level
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.edge.postmap import Postmap
from mailtls.errors import UnreachableError

from .installation import Installation, installed, trial

ALWAYS, NEVER = "192.0.2.1", "203.0.113.1"
KILLS, PERSONS = 50, 4


class Person:
    """Grants and withdraws for addresses of its own, and asks again until it is told; `told`: by address, the waiver that stands."""

    def __init__(self, number: int, socket: Path) -> None:
        self._draw = random.Random(number)
        self._number = number
        self._keeper = KeeperSocket(socket, 20)
        self.told: dict[str, str | None] = {}
        self.answers = self.repeated = self._count = 0

    async def work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            ip = f"198.51.{self._number}.{self._draw.randrange(1, 40)}"
            self._count += 1
            standing = self.told.get(ip)
            asked = _grant(ip, self._count) if standing is None else Withdraw(id=standing, why="no more")
            reply = await self._insist(asked)
            assert reply.ok, reply.refused
            self.told[ip] = asked.id if standing is None else None
            self.answers += 1

    async def _insist(self, request: Grant | Withdraw) -> Reply:
        while True:
            try:
                return await self._keeper.ask(request)
            except UnreachableError:
                self.repeated += 1
                await asyncio.sleep(0.005)


def _grant(ip: str, number: int = 0) -> Grant:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    return Grant(id=f"{ip}-{number}", network=ip, level=Level.CLEARTEXT, until=until, reason="an old copier")


class Asker:
    """Asks the tables without end, as every smtpd does; `wrong`: what it should never have been told."""

    def __init__(self, place: Installation) -> None:
        tables = place.places.tables
        self._names = (f"{KIND}:{tables / 'discard'}", f"cidr:{tables / 'discard.cidr'}")
        self._configuration = place.root / "asker"
        Postmap(self._configuration).answers(self._names[:1], (ALWAYS,))
        self.asked = 0
        self.wrong: list[str] = []

    def ask(self) -> None:
        for name, ip, expected in (
            (self._names[0], ALWAYS, (0, "starttls\n", "")),
            (self._names[0], NEVER, (1, "", "")),
            (self._names[1], ALWAYS, (1, "", "")),
        ):
            command = ["/usr/sbin/postmap", "-c", str(self._configuration), "-q", ip, name]
            done = subprocess.run(command, capture_output=True, text=True)
            self.asked += 1
            if (done.returncode, done.stdout, done.stderr) != expected:
                self.wrong.append(f"{ip} in {name}: {done.returncode} {done.stdout}{done.stderr}")


@contextmanager
def without_end(asker: Asker) -> Iterator[None]:
    """Let it ask until the block ends."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            asker.ask()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def _under_load(place: Installation, persons: list[Person]) -> None:
    """Let persons work while the keeper is killed and started again."""
    draw, stop = random.Random(11), asyncio.Event()
    work = asyncio.gather(*(person.work(stop) for person in persons))
    keeper = place.born("mailtls-keeper")
    for _ in range(KILLS):
        await asyncio.sleep(draw.choice((0.02, 0.1, 0.3, 0.8)) * draw.random())
        assert not work.done(), work.exception()
        keeper.kill()
        keeper = place.born("mailtls-keeper")
    stop.set()
    await asyncio.wait_for(work, 30)


@trial
def test_the_keeper_killed_fifty_times_forgets_nothing_and_leaves_postfix_its_tables() -> None:
    with installed() as place:
        first = place.keeper()
        assert place.request(_grant(ALWAYS)).live
        first.kill()
        asker = Asker(place)
        persons = [Person(number, place.places.keeper_socket) for number in range(PERSONS)]
        with without_end(asker):
            asyncio.run(_under_load(place, persons))
        assert asker.wrong == []
        assert asker.asked > 200
        assert sum(person.answers for person in persons) > 100
        assert sum(person.repeated for person in persons) > KILLS, "it was killed while somebody asked"
        told = {ip for person in persons for ip, waiver in person.told.items() if waiver} | {ALWAYS}
        standing = place.standing()
        assert standing is not None
        assert standing.keys() == told
        found = Postmap(place.root / "asker").answers(
            (f"{KIND}:{place.places.tables / 'discard'}",),
            [f"198.51.{a}.{b}" for a in range(PERSONS) for b in range(41)],
        )
        assert found.keys() == told - {ALWAYS}
