"""kill -9 of the keeper and of mailtlsd beside a real Postfix: no client ever meets a table that cannot be read."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from mailtls.core.keeperprotocol import Grant, Withdraw
from mailtls.core.level import Level
from mailtls.ctl.inquiry import ask_keeper, places_of
from mailtls.errors import MailtlsError

from .conversation import Conversation
from .world import World

WAIVED, OTHER = "127.9.1.1", "127.9.1.2"
KILLS = 12


class Client:
    """Comes again and again from one address; `answers`: what it was told to EHLO, and whether with STARTTLS."""

    def __init__(self, world: World, address: str) -> None:
        self._world, self._address = world, address
        self.answers: list[tuple[str, bool]] = []

    def come(self) -> None:
        with Conversation(self._address, self._world.door()) as conversation:
            banner = conversation.hear()
            reply = conversation.say("EHLO client.test") if banner.startswith("220") else banner
        self.answers.append((reply[:3], "STARTTLS" in reply))


class Persons:
    """Waives addresses and takes it back, as fast as the keeper lets them; `told`: what stands by its answers."""

    def __init__(self, world: World) -> None:
        self._places = places_of(str(world.config))
        self._draw, self._number = random.Random(5), 0
        self.told: dict[str, str | None] = {}

    def change(self) -> None:
        ip = f"198.51.100.{self._draw.randrange(1, 200)}"
        standing = self.told.get(ip)
        self._number += 1
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        request = (
            Grant(id=f"p-{self._number}", network=ip, level=Level.CLEARTEXT, until=until, reason="a copier")
            if standing is None
            else Withdraw(id=standing, why="no more")
        )
        while True:
            with suppress(MailtlsError):
                reply = ask_keeper(self._places, request)
                assert reply.ok, reply.refused
                break
            time.sleep(0.02)
        self.told[ip] = request.id if standing is None else None


@contextmanager
def without_end(*works: object) -> Iterator[list[BaseException]]:
    """Do all of this again and again until the block ends; gives what was raised meanwhile."""
    over, raised = threading.Event(), []

    def work(act: object) -> None:
        try:
            while not over.is_set():
                act()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  (given to the test, which shows it)
            raised.append(error)

    threads = [threading.Thread(target=work, args=(act,)) for act in works]
    for thread in threads:
        thread.start()
    try:
        yield raised
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_no_client_is_ever_turned_away_while_both_are_killed_again_and_again() -> None:
    draw = random.Random(3)
    with World() as world:
        assert world.ctl("allow-legacy", WAIVED, "--level", "cleartext", "--reason", "test").status == 0
        clients = Client(world, WAIVED), Client(world, OTHER)
        persons = Persons(world)
        with without_end(persons.change, *(client.come for client in clients)) as raised:
            for _ in range(KILLS):
                time.sleep(draw.random() * 0.8)
                world.keeper.kill()
                world.keeper.start()
                if draw.random() < 0.4:
                    world.daemon.kill()
                    world.daemon.start()
            world.await_keeper()
            world.await_daemon()
        assert not raised
        waived, other = (set(client.answers) for client in clients)
        assert waived == {("250", False)}, "never 421, and never STARTTLS"
        assert other == {("250", True)}
        assert all(len(client.answers) > 50 for client in clients)
        standing = {ip for ip, waiver in persons.told.items() if waiver}
        listed = {waiver["network"] for waiver in world.asked("waivers")["waivers"]}
        assert listed == standing | {WAIVED}
        assert all(world.entry(ip) for ip in standing)
        assert not [line for line in world.postfix.lines() if "warning: " in line or "reload --" in line]
