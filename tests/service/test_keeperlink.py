"""The link to the keeper: its list is adopted, its events are heard, requests outlive its absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from core.screenplay import IP, failed, policy
from ctl.parties import Keeper, listening
from mailtls.core.decision import Decision
from mailtls.core.keeperprotocol import Event, Grant, Reply, Withdraw
from mailtls.core.level import Level
from mailtls.core.livedecider import LiveDecider
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.service import keeperlink
from mailtls.service.keeperlink import KeeperLink, Wish

CLEARTEXT = """
[causes.peer_too_old]
action = "waive"
level_floor = "cleartext"
after = { sessions = 1, within = "24h" }
lifetime = "30d"
[limits]
automatic = ["cleartext"]
"""


class Ear:
    """What the link told."""

    def __init__(self, path: Path) -> None:
        self.decider = LiveDecider(policy(CLEARTEXT))
        self.events: list[tuple[Event, bool]] = []
        self.answers: list[tuple[Wish, Reply | None]] = []
        self.news = asyncio.Event()
        self.lists: list[int] = []
        self.link = KeeperLink(lambda: KeeperSocket(path, 2), self.decider, self._event, self._answer, self._list)

    async def _event(self, event: Event, news: bool) -> None:
        self.events.append((event, news))
        self.news.set()

    def _answer(self, wish: Wish, reply: Reply | None) -> None:
        self.answers.append((wish, reply))
        self.news.set()

    def _list(self) -> None:
        self.lists.append(len(self.decider.live()))
        self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self.news.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), 0.1)


@asynccontextmanager
async def linked(path: Path) -> AsyncIterator[Ear]:
    ear = Ear(path)
    task = asyncio.create_task(ear.link.run())
    try:
        yield ear
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def decision_to_waive(decider: LiveDecider) -> Decision:
    """One failure that only cleartext would help against."""
    now = datetime.now(UTC)
    session = failed(0, 0x18C)
    (decision,) = decider.take(_at(session, now), now)
    return decision


def _at(session: object, now: datetime) -> object:
    from dataclasses import replace

    return replace(session, at=now)  # type: ignore[type-var]


def grant_by_hand(keeper: Keeper, ip: str) -> None:
    """A person lets a peer down while nobody of us is looking."""
    until = datetime.now(UTC) + timedelta(days=7)
    keeper.answer(Grant(id=f"by-hand-{ip}", network=ip, level=Level.CLEARTEXT, until=until, reason="asked"))


async def test_the_whole_list_is_adopted_and_the_past_only_remembered(tmp_path: Path) -> None:
    keeper = Keeper()
    grant_by_hand(keeper, IP)
    with listening(tmp_path / "keeper.sock", keeper.serve) as path:
        async with linked(path) as ear:
            await ear.until(lambda: ear.link.reachable and bool(ear.events))
            assert [waiver.network for waiver in ear.decider.live()] == [IP]
            assert [news for _, news in ear.events] == [False]
            grant_by_hand(keeper, "192.0.2.99")
            await ear.until(lambda: len(ear.events) == 2)
            assert ear.events[1][1], "this happened while we listened"
            assert {waiver.network for waiver in ear.decider.live()} == {IP, "192.0.2.99"}
            keeper.answer(Withdraw(network=IP))
            await ear.until(lambda: len(ear.events) == 3)
            assert [waiver.network for waiver in ear.decider.live()] == ["192.0.2.99"]


async def test_of_many_changes_at_once_the_list_is_told_few_times_and_the_last_one_in_any_case(tmp_path: Path) -> None:
    """Whoever hears of it goes through all of it: once for each of ten thousand would be a minute's work."""
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve) as path:
        async with linked(path) as ear:
            await ear.until(lambda: ear.lists == [0])
            for number in range(200):
                grant_by_hand(keeper, f"192.0.2.{number}")
            await ear.until(lambda: ear.lists[-1] == 200)
            assert len(ear.lists) < 50


async def test_what_was_heard_before_is_not_told_again(tmp_path: Path) -> None:
    keeper = Keeper()
    grant_by_hand(keeper, IP)
    with listening(tmp_path / "keeper.sock", keeper.serve) as path:
        ear = Ear(path)
        ear.link.last_event = 1
        task = asyncio.create_task(ear.link.run())
        await ear.until(lambda: ear.link.reachable)
        grant_by_hand(keeper, "192.0.2.99")
        await ear.until(lambda: bool(ear.events))
        assert [event.number for event, _ in ear.events] == [2]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_decision_becomes_a_waiver(tmp_path: Path) -> None:
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve) as path:
        async with linked(path) as ear:
            await ear.until(lambda: ear.link.reachable)
            decision = decision_to_waive(ear.decider)
            request = ear.decider.request(decision)
            assert request is not None
            ear.link.ask_for(decision, request, monotonic())
            await ear.until(lambda: bool(ear.answers))
            reply = ear.answers[0][1]
            assert reply is not None and reply.live
            assert await ear.link.settled(5)
            assert [waiver.id for waiver in ear.decider.live()] == [request.id]


async def test_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve) as path:
        async with linked(path) as ear:
            await ear.until(lambda: ear.link.reachable)
            keeper.refuses = "20 waivers were granted in 24 hours"
            decision = decision_to_waive(ear.decider)
            request = ear.decider.request(decision)
            assert request is not None
            ear.link.ask_for(decision, request, monotonic())
            await ear.until(lambda: bool(ear.answers))
            assert ear.decider.waivers == ()


async def test_a_request_waits_for_a_keeper_that_is_not_there(tmp_path: Path) -> None:
    keeper = Keeper()
    async with linked(tmp_path / "keeper.sock") as ear:
        decision = decision_to_waive(ear.decider)
        request = ear.decider.request(decision)
        assert request is not None
        ear.link.ask_for(decision, request, monotonic())
        await ear.until(lambda: "not running" in ear.link.trouble)
        with listening(tmp_path / "keeper.sock", keeper.serve):
            await ear.until(lambda: bool(ear.answers))
            assert [waiver.id for waiver in keeper.waivers.values()] == [request.id]


async def test_a_request_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeperlink, "FRESH", 0.0)
    async with linked(tmp_path / "keeper.sock") as ear:
        decision = decision_to_waive(ear.decider)
        request = ear.decider.request(decision)
        assert request is not None
        ear.link.ask_for(decision, request, monotonic())
        await ear.until(lambda: bool(ear.answers))
        assert ear.answers[0][1] is None
        assert ear.decider.waivers == (), "it may be decided again"


async def test_a_keeper_that_was_restarted_is_found_again(tmp_path: Path) -> None:
    keeper = Keeper()
    grant_by_hand(keeper, IP)
    async with linked(tmp_path / "keeper.sock") as ear:
        with listening(tmp_path / "keeper.sock", keeper.serve):
            await ear.until(lambda: ear.link.reachable and bool(ear.events))
    again = Keeper()
    grant_by_hand(again, "192.0.2.99")
    with listening(tmp_path / "keeper.sock", again.serve) as path:
        ear = Ear(path)
        ear.link.last_event = 7
        task = asyncio.create_task(ear.link.run())
        await ear.until(lambda: bool(ear.events))
        assert [event.number for event, _ in ear.events] == [1], "its ledger was replaced, and begins anew"
        assert [waiver.network for waiver in ear.decider.live()] == ["192.0.2.99"]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
