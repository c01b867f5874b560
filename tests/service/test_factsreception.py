"""mailtlsd's ear for the milter: parcels reach the desk, loss and rubbish are counted, and nothing is held up."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from pathlib import Path

import pytest

from mailtls.core.factsparcel import LARGEST, FactsParcel, pack_facts
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import Answer, Ground, Verdict
from mailtls.edge.factssender import FactsSender
from mailtls.service.factsreception import AT_ONCE, FAULT, KINDS, LOST, TAKEN, FactsReception

FACTS = SmtpFacts(protocol_state=Stage.DATA, client_address="192.0.2.1", queue_id="4F2")
RUBBISH = {"broken": b"rubbish\x1b[31m", "other_version": b"9\0", "oversized": b"1\0" + b"x" * LARGEST}
NOTE = Verdict(Answer.NOTE, Ground.DOWNGRADE, reason="downgrade")


class World:
    """A reception, the desk behind it, what was counted, and the milter's end of the socket."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "facts.sock"
        self.taken: list[tuple[SmtpFacts, Verdict]] = []
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, str] = {}
        self.news = asyncio.Event()
        self.reception = FactsReception(self.path, self._take, self._count, self.faults)
        self.sender = FactsSender(self.path)

    def _take(self, facts: SmtpFacts, verdict: Verdict) -> None:
        self.taken.append((facts, verdict))

    def _count(self, kind: str, more: int) -> None:
        self.counts[kind] += more
        self.news.set()

    async def __aenter__(self) -> World:
        self.task = asyncio.create_task(self.reception.run())
        await asyncio.sleep(0)  # it makes its socket before it waits for anything
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.sender.close()

    async def until(self, kind: str, count: int) -> None:
        while self.counts[kind] < count:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 20)


async def test_what_the_milter_tells_reaches_the_desk(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.sender.send(pack_facts(FactsParcel(FACTS, NOTE)))
        await world.until(TAKEN, 1)
        assert world.taken == [(FACTS, NOTE)]


async def test_the_milters_own_count_of_loss_becomes_ours_also_when_it_is_started_anew(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        for lost in (0, 3, 3, 5, 1, 1):
            world.sender.send(pack_facts(FactsParcel(FACTS, lost=lost)))
        await world.until(TAKEN, 6)
        assert world.counts[LOST] == 6


async def test_rubbish_is_counted_by_kind_and_the_log_is_not_filled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(tmp_path) as world:
        with caplog.at_level(logging.WARNING):
            for times in range(1, 7):
                for kind, datagram in RUBBISH.items():
                    world.sender.send(datagram)
                    await world.until(kind, times)
        world.sender.send(pack_facts(FactsParcel(FACTS)))
        await world.until(TAKEN, 1)
    assert set(world.counts) <= set(KINDS)
    assert len(caplog.messages) == 5, "at 1, 2, 4, 8, 16"
    assert all(message.isprintable() for message in caplog.messages)
    assert "systemctl restart mailtls-milter" in caplog.messages[1]


async def test_a_flood_is_taken_in_pieces_so_that_others_get_their_turn(tmp_path: Path) -> None:
    class Flood:
        def fileno(self) -> int:
            return -1

        def receive(self) -> bytes:
            return pack_facts(FactsParcel(FACTS))

        def close(self) -> None:
            pass

    world = World(tmp_path)
    world.reception.drain(Flood())
    assert world.counts[TAKEN] == AT_ONCE


async def test_only_its_own_user_and_group_may_write_to_the_socket_and_it_goes_with_mailtlsd(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        assert world.path.stat().st_mode & 0o777 == 0o660
    assert not world.path.exists()


async def test_a_socket_that_a_killed_mailtlsd_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(tmp_path / "facts.sock"))
    async with World(tmp_path) as world:
        world.sender.send(pack_facts(FactsParcel(FACTS)))
        await world.until(TAKEN, 1)


async def test_where_no_socket_can_be_made_that_is_a_fault_and_nothing_stops(tmp_path: Path) -> None:
    (tmp_path / "facts.sock").write_text("a file of somebody's")
    async with World(tmp_path) as world:
        assert "ls -ld" in world.faults[FAULT]
        assert not world.task.done()


async def test_without_its_directory_it_waits_in_silence(tmp_path: Path) -> None:
    async with World(tmp_path / "none") as world:
        assert not world.faults and not world.task.done()
