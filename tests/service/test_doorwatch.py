"""Doors open when a visit succeeds, and close after two that do not."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway
from mailtls.service import doorwatch as module
from mailtls.service.doorwatch import DoorWatch

DOOR = Doorway(level=Level.LEGACY, port=10225)
SECOND = Doorway(level=Level.LEGACY, port=10226, addresses=("192.0.2.2",))
OTHER = Doorway(level=Level.LEGACY_RSA, port=10125)
GATEWAY = Doorway(level=Level.SSLV3, port=10325)


class World:
    """Doors that work until they are in `dead`."""

    def __init__(self, *doorways: Doorway) -> None:
        self.doorways = doorways
        self.dead: set[Doorway] = set()
        self.visits: list[Doorway] = []
        self.changes = 0
        self.has_changed = asyncio.Event()
        self.watch = DoorWatch(lambda: self.doorways, self.visit, self.changed)

    def visit(self, doorway: Doorway) -> str | None:
        self.visits.append(doorway)
        return "nobody listens there" if doorway in self.dead else None

    def changed(self) -> None:
        self.changes += 1
        self.has_changed.set()


async def test_a_door_that_nobody_visited_is_closed_and_one_that_works_opens() -> None:
    world = World(DOOR)
    assert not world.watch.is_open(Level.LEGACY)
    assert "was not visited yet" in (world.watch.why_not(Level.LEGACY) or "")
    assert world.watch.alarm() is None, "at the boot the keeper may be there before Postfix"
    await world.watch.look()
    assert world.watch.is_open(Level.LEGACY)
    assert world.watch.why_not(Level.LEGACY) is None
    assert world.changes == 1


async def test_one_visit_that_fails_closes_nothing_and_two_do() -> None:
    world = World(DOOR, OTHER)
    await world.watch.look()
    world.dead.add(DOOR)
    await world.watch.look()
    assert (world.watch.is_open(Level.LEGACY), world.watch.alarm(), world.changes) == (True, None, 1)
    await world.watch.look()
    assert [world.watch.is_open(level) for level in (Level.LEGACY, Level.LEGACY_RSA)] == [False, True]
    assert "door legacy at port 10225 is closed: nobody listens there" in (world.watch.alarm() or "")
    assert [state.up for state in world.watch.states()] == [False, True]
    assert world.changes == 2
    await world.watch.look()
    assert world.changes == 2, "it is said once"
    world.dead.clear()
    await world.watch.look()
    assert (world.watch.is_open(Level.LEGACY), world.watch.alarm(), world.changes) == (True, None, 3)


async def test_failures_must_be_in_a_row() -> None:
    world = World(DOOR)
    for dead in (False, True, False, True, False):
        world.dead = {DOOR} if dead else set()
        await world.watch.look()
        assert world.watch.is_open(Level.LEGACY)


async def test_a_door_that_never_worked_is_an_alarm_after_the_second_visit() -> None:
    world = World(DOOR)
    world.dead.add(DOOR)
    await world.watch.look()
    assert world.watch.alarm() is None
    await world.watch.look()
    assert world.watch.alarm() is not None


async def test_a_level_is_open_when_it_works_at_all_of_its_addresses() -> None:
    world = World(DOOR, SECOND)
    world.dead.add(SECOND)
    await world.watch.look()
    assert not world.watch.is_open(Level.LEGACY)
    assert "10226" in (world.watch.why_not(Level.LEGACY) or "")


async def test_the_gateway_is_visited_too_and_its_unit_named_where_it_is_dead() -> None:
    world = World(GATEWAY)
    await world.watch.look()
    assert (world.visits, world.watch.is_open(Level.SSLV3)) == ([GATEWAY], True)
    world.dead.add(GATEWAY)
    await world.watch.look()
    await world.watch.look()
    assert not world.watch.is_open(Level.SSLV3)
    assert "systemctl status mailtls-gateway" in (world.watch.why_not(Level.SSLV3) or "")


async def test_a_door_that_goes_is_forgotten() -> None:
    world = World(DOOR)
    world.dead.add(DOOR)
    await world.watch.look()
    await world.watch.look()
    world.doorways = ()
    await world.watch.look()
    assert (world.watch.alarm(), world.watch.states()) == (None, ())


async def test_whoever_asks_for_an_open_door_causes_no_visit_and_for_a_closed_one_a_visit_for_all() -> None:
    world = World(DOOR)
    world.dead.add(DOOR)
    await asyncio.gather(*(world.watch.ready(Level.LEGACY) for _ in range(50)))
    assert 1 <= len(world.visits) <= 2
    world.dead.clear()
    await world.watch.ready(Level.LEGACY)
    assert world.watch.is_open(Level.LEGACY)
    count = len(world.visits)
    await world.watch.ready(Level.LEGACY)
    await world.watch.ready(Level.CLEARTEXT)
    assert len(world.visits) == count


async def test_a_visit_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    world = World(DOOR)
    monkeypatch.setattr(world.watch, "_visit", lambda _: "it took longer than 8 s" if release.wait(60) else None)
    looking = asyncio.create_task(world.watch.look())
    await asyncio.sleep(0)
    assert not looking.done()
    assert not world.watch.is_open(Level.LEGACY), "questions are answered meanwhile"
    release.set()
    await looking


async def test_a_fault_of_ours_in_a_visit_closes_the_door_and_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(DOOR)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(world.watch, "_visit", lambda _: [][0])
    await world.watch.look()
    assert "by a fault of mailtls" in (world.watch.why_not(Level.LEGACY) or "")


async def test_it_looks_again_soon_after_a_first_failure_and_when_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 1000.0)
    monkeypatch.setattr(module, "AGAIN_S", 0.001)
    world = World(DOOR)
    await world.watch.look()
    running = asyncio.create_task(world.watch.run())
    world.dead.add(DOOR)
    world.has_changed.clear()
    world.watch.wake()
    await world.has_changed.wait()
    running.cancel()
    assert not world.watch.is_open(Level.LEGACY)
    assert len(world.visits) == 3


def test_a_door_that_is_stopped_just_after_a_visit_is_closed_within_a_minute() -> None:
    """The last one succeeded; then two that take their whole time."""
    from mailtls.edge.doorvisit import WITHIN_S

    assert module.EVERY_S + module.AGAIN_S + module.FAILURES * WITHIN_S < 60
