"""Doors beside a live Postfix: what `setup` found and how the keeper fares decide what is given, told and taken back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from core.screenplay import NOW, failed, words
from core.test_offer import BOTH, HARD
from mailtls.config import read_config
from mailtls.core.controlprotocol import AskExplain, AskHistory
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.waiver import Origin
from mailtls.daemon import Daemon
from mailtls.service import keeperlink

from .world import Keeper, Server, World, listening, running

COPIER = "192.0.2.7"
POLICY = """
[causes.peer_too_old]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "24h" }
lifetime = "30d"
"""
HARDENED = PostfixSettings(strict=HARD, doors=BOTH)
OLD_SUITE = "TLSv1 with cipher AES256-SHA"
STRICT_SUITE = "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384"


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeperlink, "LOOK", 0.02)


def a_world(directory: Path, keeper: Keeper, view: PostfixSettings = HARDENED) -> World:
    keeper.doors = {door.level: True for door in view.doors}
    world = World(directory, keeper, POLICY)
    world.decider.see(view)
    return world


async def until_it_is_told(world: World, sample: str) -> None:
    await world.until(lambda: sample in world.metrics.text().decode())


async def fails(world: World, server: Server, times: int = 3) -> None:
    """Let the copier fail, and wait until what was decided is done."""
    before = world.sessions
    for _ in range(times):
        world.write(*server.refuses_the_version(COPIER))
    await world.until(lambda: world.sessions == before + times)
    assert await world.link.settled(5)


async def test_an_old_peer_is_let_in_by_its_door_which_is_watched_like_the_strict_one(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            await world.until(lambda: world.link.reachable)
            async with world.answers.subscribe() as happenings:
                heard = asyncio.ensure_future(_first_at_a_door(happenings))
                await fails(world, server)
                assert keeper.waivers[COPIER].level is Level.LEGACY
                world.write(*server.serves_at_the_legacy_door(COPIER, OLD_SUITE))
                await world.until(lambda: world.sessions == 4)
                assert await asyncio.wait_for(heard, 20) == "smtpd at door legacy tls_ok TLSv1"
            assert await world.link.settled(5)
            assert COPIER in keeper.waivers
            assert 'door="legacy",outcome="tls_ok"' in world.metrics.text().decode()
            (known,) = await world.answers.explain(AskExplain(whom=COPIER))
            assert ("legacy", "tls_ok", 1) in [(day.door, day.outcome, day.mails) for day in known.days]


async def _first_at_a_door(happenings: object) -> str:
    async for happening in happenings:  # type: ignore[attr-defined]
        if happening.kind == "session" and "at door" in happening.what:
            return str(happening.what)
    raise AssertionError("the live view ended")


async def test_what_the_strict_door_takes_as_well_ends_the_waiver(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            await world.until(lambda: world.link.reachable)
            await fails(world, server)
            await world.until(lambda: len(world.decider.live()) == 1)
            mine = world.decider.live()[0].model_copy(update={"origin": Origin.POLICY, "owner": "policy"})
            keeper.waivers[COPIER] = mine
            world.decider.granted(mine)
            world.write(*server.serves_at_the_legacy_door(COPIER, STRICT_SUITE))
            await world.until(lambda: world.sessions == 4)
            history = await world.answers.history(AskHistory(whom=COPIER))
            assert ("withdraw", "outgrown") in [(step.action, step.rule) for step in history]


async def test_a_door_that_does_not_serve_makes_a_proposal_of_a_waiver_until_it_does(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            await until_it_is_told(world, 'mailtls_door_up{door="legacy"} 1.0')
            assert "mailtls_conntrack_ratio 0.125" in world.metrics.text().decode()
            keeper.doors[Level.LEGACY] = False
            await until_it_is_told(world, 'mailtls_door_up{door="legacy"} 0.0')
            await fails(world, server)
            assert keeper.waivers == {}
            (step,) = await world.answers.history(AskHistory(whom=COPIER))
            assert (step.action, step.level) == ("propose", Level.LEGACY)
            assert "does not serve at present" in step.reasons[0]
            keeper.doors[Level.LEGACY] = True
            await until_it_is_told(world, 'mailtls_door_up{door="legacy"} 1.0')
            await fails(world, server)
            assert COPIER in keeper.waivers


async def test_of_a_keeper_that_is_gone_nobody_says_that_its_doors_serve(tmp_path: Path) -> None:
    keeper = Keeper()
    async with running(a_world(tmp_path, keeper)) as world:
        with listening(tmp_path / "keeper.sock", keeper.serve):
            await until_it_is_told(world, 'mailtls_door_up{door="legacy"} 1.0')
            keeper.stopped = True
            await world.until(lambda: "mailtls_door_up{" not in world.metrics.text().decode())


SET_UP = """
[strict]
versions = ["TLSv1.2", "TLSv1.3"]
certificates = ["RSA"]
ciphers = ["ECDHE-RSA-AES256-GCM-SHA384"]
[[doors]]
level = "legacy"
port = 10225
"""


def test_mailtlsd_learns_of_new_doors_without_a_restart_and_survives_a_broken_view(tmp_path: Path) -> None:
    (tmp_path / "etc/mailtls/policies").mkdir(parents=True)
    (tmp_path / "etc/mailtls/policies/default.toml").write_text(POLICY)
    config = tmp_path / "mailtls.toml"
    config.write_text(f'root = "{tmp_path}"\n[metrics]\nlisten = ""\n')
    daemon = Daemon(read_config(str(config)))
    assert decided(daemon, 0) == ["propose threshold legacy"]
    view = daemon.config.places.postfix_view
    view.write_text(SET_UP)
    daemon.look()
    assert decided(daemon, 20) == ["waive threshold legacy"]
    view.write_text("nonsense")
    daemon.look()
    assert str(view) in daemon.answers.faults["view"]
    assert [door.level for door in daemon.view.view.doors] == [Level.LEGACY], "the last good one holds"
    view.unlink()
    daemon.look()
    assert "view" not in daemon.answers.faults
    assert daemon.view.view.doors == ()


def decided(daemon: Daemon, minute: float) -> list[str]:
    times = [minute, minute + 5, minute + 10]
    return words(
        decision for each in times for decision in daemon.decider.take(failed(each), NOW + timedelta(minutes=each))
    )
