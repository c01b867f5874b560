"""What verdicts go by: made anew when something changes, and handed to the milter whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.edge.remembering import live

from mailtls.core.cause import Door
from mailtls.core.level import Level
from mailtls.core.policy import parse_policy
from mailtls.core.postfixview import Doorway, Offering, PostfixSettings
from mailtls.core.snapshotfile import read_snapshot
from mailtls.core.snapshotplan import make_snapshot
from mailtls.core.verdict import Guard, Proof, Snapshot, Terms
from mailtls.core.waiver import WaiverLimits
from mailtls.core.waiverlimit import limited
from mailtls.service import snapshotmaker
from mailtls.service.snapshotmaker import SnapshotMaker

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


def running(maker: SnapshotMaker, work: Callable[[], object]) -> None:
    """Run the maker until `work` is true."""

    async def whole() -> None:
        task = asyncio.create_task(maker.run())
        await until(lambda: bool(work()))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(whole(), 30))


STRICT = Offering(versions=("TLSv1.2", "TLSv1.3"))


def test_policy_waivers_doors_and_proofs_are_in_it() -> None:
    policy = parse_policy(
        '[downgrade]\nsessions = 3\n[[phase_out]]\nbelow = "TLSv1.2"\nstages = [{ on = 2026-11-21, percent = 7 }]', "p.toml"
    )
    limits = WaiverLimits(("a.example",))
    waivers = [live(limits=limited(limits)), live("192.0.2.9", until=NOW), live("192.0.2.128/28", level=Level.CLEARTEXT)]
    own = ("10.0.0.0/8", "[2001:db8::]/32", "no network")
    view = PostfixSettings(doors=(Doorway(level=Level.LEGACY, port=10225),), own_networks=own, strict=STRICT)
    snapshot = make_snapshot(policy, waivers, view, {"192.0.2.1": Proof(5)}, NOW)
    assert snapshot.guard == Guard(sessions=3)
    assert snapshot.ports == {"10225": Door.LEGACY}
    assert snapshot.proven == {"192.0.2.1": Proof(5)}
    assert snapshot.waivers.by_address("192.0.2.7") == Terms(Level.LEGACY, limits)
    assert snapshot.waivers.by_address("192.0.2.130") == Terms(Level.CLEARTEXT)
    assert snapshot.waivers.by_address("192.0.2.9") is None, "its time is over"
    assert snapshot.strict == STRICT
    assert [phase.percent for phase in snapshot.phases] == [7]
    assert sorted(key for key, _ in snapshot.own.items()) == ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32", "::1"]
    assert make_snapshot(policy, (), view, {}, NOW - timedelta(days=1)).phases == ()


def test_a_change_makes_a_new_one_and_the_milter_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotmaker, "PAUSE", 0.0)
    now = [Snapshot()]
    path, faults = tmp_path / "verdicts", dict[str, str]()
    maker = SnapshotMaker(lambda: now[0], path, faults)
    stronger = Snapshot(guard=Guard(sessions=7))

    def work() -> bool:
        if path.exists() and now[0] != stronger:
            now[0] = stronger
            maker.touch()
        return path.exists() and read_snapshot(path.read_bytes()) == stronger

    running(maker, work)
    assert maker.current == stronger
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["verdicts"]


def test_what_did_not_change_is_neither_swapped_nor_written_again(tmp_path: Path) -> None:
    maker = SnapshotMaker(lambda: Snapshot(guard=Guard(sessions=7)), tmp_path / "verdicts", {})
    maker.refresh()
    before = maker.current
    maker.refresh()
    assert maker.current is before


def test_where_something_changes_all_the_time_mailtlsd_does_not_only_make_snapshots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshotmaker, "PAUSE", 0.0)
    made: list[float] = []

    def make() -> Snapshot:
        made.append(time.monotonic())
        time.sleep(0.01)  # as with many addresses
        if len(made) < 6:
            maker.touch()
        return Snapshot(guard=Guard(sessions=len(made)))

    maker = SnapshotMaker(make, None, {})
    running(maker, lambda: len(made) >= 4)
    assert made[3] - made[0] >= 3 * 10 * 0.01, "ten times as long as making them took"


def test_without_the_milters_directory_nothing_is_written(tmp_path: Path) -> None:
    maker = SnapshotMaker(lambda: Snapshot(guard=Guard(sessions=7)), tmp_path / "none" / "verdicts", {})
    running(maker, lambda: maker.current.guard.sessions == 7)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_fault_and_verdicts_go_on(tmp_path: Path) -> None:
    (tmp_path / "verdicts").mkdir()
    faults: dict[str, str] = {}
    maker = SnapshotMaker(lambda: Snapshot(guard=Guard(sessions=7)), tmp_path / "verdicts", faults)
    running(maker, lambda: faults)
    assert "verdicts cannot be written: is a directory" in faults["verdicts"]
    assert maker.current.guard.sessions == 7
