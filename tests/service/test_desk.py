"""Log lines in, decisions, requests and counts out: watcher, desk, memory and link together."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from mailtls.core.action import Action
from mailtls.core.controlprotocol import AskExplain, AskHistory, AskPeers
from mailtls.core.keeperprotocol import Grant, Step
from mailtls.core.level import Level
from mailtls.core.waiver import Origin

from .world import Keeper, Server, World, listening, now, running

COPIER, GOOD = "192.0.2.7", "198.51.100.1"


def later() -> datetime:
    return now() + timedelta(days=7)


async def test_three_failures_become_a_waiver(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            await world.until(lambda: world.link.reachable)
            for _ in range(3):
                world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: COPIER in keeper.waivers)
            await world.until(lambda: len(world.decider.live()) == 1)
            assert keeper.waivers[COPIER].level is Level.CLEARTEXT
            (step,) = await world.answers.history(AskHistory(limit=1))
            assert (step.kind, step.ip) in (("waiver", COPIER), ("decision", COPIER))


async def test_a_peer_with_good_history_is_not_waived(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            world.write(*server.succeeds(GOOD))
            for _ in range(5):
                world.write(*server.breaks_on_starttls(GOOD))
            await world.until(lambda: world.sessions == 6)
            assert await world.link.settled(5)
            assert not [request for request in keeper.requests if isinstance(request, Grant)]
            history = await world.answers.history(AskHistory(whom=GOOD))
            assert [(step.action, step.rule) for step in history] == [(Action.ADVISE, "good_history")]


async def test_good_history_is_remembered_over_a_restart(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            world.write(*server.succeeds(GOOD))
            await world.until(lambda: world.sessions == 1)
            assert await world.memory.commit()
        async with running(World(tmp_path, keeper)) as world:
            for _ in range(5):
                world.write(*server.breaks_on_starttls(GOOD))
            await world.until(lambda: world.sessions == 5)
            assert await world.link.settled(5)
            assert not keeper.waivers


async def test_old_evidence_grants_nothing(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    server.ago = timedelta(hours=30)
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            for _ in range(5):
                world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: world.sessions == 5)
            assert await world.link.settled(5)
            assert not keeper.waivers
            (peer,) = await world.answers.peers(AskPeers(whom=COPIER))
            assert peer.failures == 5, "it teaches history"


async def test_a_store_that_cannot_be_read_makes_a_proposal_of_a_waiver(tmp_path: Path) -> None:
    (tmp_path / "mailtls.db").write_bytes(b"this is no database" * 1000)
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            for _ in range(3):
                world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: world.sessions == 3)
            assert await world.link.settled(5)
            assert not keeper.waivers
            status = await world.answers.status()
            assert not status.remembers
            assert "store" in [fault.kind for fault in status.faults]


async def test_what_is_killed_before_it_committed_comes_to_the_same(tmp_path: Path) -> None:
    """The grant reached the keeper, the counts did not reach the store: the lines are read again."""
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper), commits=False) as world:
            await world.until(lambda: world.watchers[0].place() is not None)
            for _ in range(3):
                world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: COPIER in keeper.waivers)
            granted = keeper.waivers[COPIER]
        async with running(World(tmp_path, keeper)) as world:
            await world.until(lambda: world.sessions == 3)
            assert await world.link.settled(5)
            (peer,) = await world.answers.peers(AskPeers(whom=COPIER))
            assert peer.failures == 3
            assert [waiver.id for waiver in keeper.waivers.values()] == [granted.id]


async def test_sessions_that_were_open_at_the_restart_are_counted_once(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    lines = server.breaks_on_starttls(COPIER)
    with listening(tmp_path / "keeper.sock", keeper.serve):
        for line in lines:
            async with running(World(tmp_path, keeper), commits=False) as world:
                world.write(line)
                await world.until(lambda: bool(world.watchers) and world.watchers[0].lines >= 1)
                async with world.memory.turn:
                    pass
                assert await world.memory.commit()
        async with running(World(tmp_path, keeper)) as world:
            (peer,) = await world.answers.peers(AskPeers(whom=COPIER))
            assert (peer.failures, peer.sessions, peer.cause) == (1, 1, "not_tls")


async def test_a_peer_is_explained_with_its_lines_and_what_the_policy_makes_of_it(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: world.sessions == 1)
            (explained,) = await world.answers.explain(AskExplain(whom=COPIER))
            assert explained.peer.cause == "not_tls"
            assert explained.ruling is not None
            assert explained.ruling.rule == "not_yet"
            assert any("SSL_accept error" in line for line in explained.evidence)
            assert [day.sessions for day in explained.days] == [1]


async def test_a_locked_store_loses_nothing(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper), commits=False) as world:
            assert await world.memory.commit()
            other = sqlite3.connect(tmp_path / "mailtls.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: world.sessions == 1)
            assert not await world.memory.commit()
            assert not world.memory.remembers
            world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: world.sessions == 2)
            other.execute("ROLLBACK")
            other.close()
            assert await world.memory.commit()
            assert world.memory.remembers
            (peer,) = await world.answers.peers(AskPeers(whom=COPIER))
            assert peer.failures == 2


async def test_what_ran_to_its_longest_time_is_not_given_again_by_the_policy(tmp_path: Path) -> None:
    keeper, server = Keeper(), Server()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper)) as world:
            for _ in range(3):
                world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: COPIER in keeper.waivers)
            await world.until(lambda: world.sessions == 3)
            assert await world.memory.commit()
        granted = keeper.waivers.pop(COPIER)
        ended = granted.model_copy(update={"origin": Origin.POLICY, "latest": granted.until})
        keeper.happen(Step.EXPIRED, ended)  # while mailtlsd is not there to hear it
        async with running(World(tmp_path, keeper)) as world:
            await world.until(lambda: world.link.last_event == 2)
            for _ in range(3):
                world.write(*server.breaks_on_starttls(COPIER))
            await world.until(lambda: world.sessions == 3)
            assert await world.link.settled(5)
            assert not keeper.waivers
            history = await world.answers.history(AskHistory(whom=COPIER))
            assert ("propose", "longest") in [(step.action, step.rule) for step in history]


async def test_the_store_knows_the_waivers_from_the_first_moment(tmp_path: Path) -> None:
    keeper = Keeper()
    keeper.answer(Grant(id="by-hand", network=COPIER, level=Level.CLEARTEXT, until=later(), reason="asked"))
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper), commits=False) as world:
            await world.until(lambda: world.link.reachable)
            assert await world.memory.commit()
            assert world.memory.store is not None
            assert [waiver.network for waiver in await world.memory.store.waivers()] == [COPIER]
