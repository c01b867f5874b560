"""The milter's look at the file of verdicts: what is new is used, what is broken is not, and nobody waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mailtls.core.snapshotfile import VERSION, write_snapshot
from mailtls.core.verdict import Guard, Snapshot
from mailtls.edge import snapshotreader
from mailtls.edge.snapshotreader import PAUSE_S, SnapshotReader


class Bench:
    """A file of verdicts, a clock that is turned by hand, and a reader; what it says is in `said`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "verdicts"
        self.now = 100.0
        self.said: list[str] = []
        self.reader = SnapshotReader(self.path, self.said.append, lambda: self.now)

    def put(self, content: bytes) -> None:
        fresh = self.path.with_name("new")
        fresh.write_bytes(content)
        fresh.rename(self.path)

    def after_a_pause(self) -> Snapshot:
        self.now += PAUSE_S
        return self.reader.current()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def of(sessions: int) -> Snapshot:
    return Snapshot(guard=Guard(sessions=sessions))


def test_a_file_that_is_renamed_over_is_read_after_the_pause_and_not_before(bench: Bench) -> None:
    bench.put(write_snapshot(of(1)))
    assert bench.reader.current() == of(1)
    bench.put(write_snapshot(of(2)))
    assert bench.reader.current() == of(1)
    assert bench.after_a_pause() == of(2)


def test_a_file_that_did_not_change_is_not_read_again(bench: Bench) -> None:
    bench.put(write_snapshot(of(1)))
    assert bench.reader.current() is bench.after_a_pause()


def test_without_a_file_nothing_is_known_and_that_is_said_once(bench: Bench) -> None:
    assert [bench.after_a_pause(), bench.after_a_pause()] == [Snapshot(), Snapshot()]
    assert bench.said == [
        f"{bench.path}: is not there; is mailtlsd running? systemctl status mailtlsd. "
        "What was known before stays in force."
    ]


def test_a_broken_file_leaves_the_former_in_force_and_the_next_good_one_is_said(bench: Bench) -> None:
    bench.put(write_snapshot(of(1)))
    bench.reader.current()
    bench.put(b"mailtls-verdicts %d\n{" % VERSION)
    assert bench.after_a_pause() == of(1) and bench.after_a_pause() == of(1)
    assert len(bench.said) == 1 and "it cannot be read" in bench.said[0]
    bench.put(write_snapshot(of(2)))
    assert bench.after_a_pause() == of(2)
    assert bench.said[1:] == [f"{bench.path} is read again."]


def test_a_file_that_goes_away_leaves_the_former_in_force(bench: Bench) -> None:
    bench.put(write_snapshot(of(1)))
    bench.reader.current()
    bench.path.unlink()
    assert bench.after_a_pause() == of(1)
    assert len(bench.said) == 1


def test_a_directory_in_its_place_is_said_and_no_exception(bench: Bench) -> None:
    bench.path.mkdir()
    assert bench.after_a_pause() == Snapshot()
    assert "is a directory" in bench.said[0]


def test_who_asks_while_another_reads_gets_the_former_and_does_not_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(write_snapshot(of(1)))
    bench.reader.current()
    reading, go_on = threading.Event(), threading.Event()
    read = snapshotreader.read_snapshot

    def slowly(content: bytes) -> object:
        reading.set()
        assert go_on.wait(20)
        return read(content)

    monkeypatch.setattr(snapshotreader, "read_snapshot", slowly)
    bench.put(write_snapshot(of(2)))
    bench.now += PAUSE_S
    other = threading.Thread(target=bench.reader.current)
    other.start()
    assert reading.wait(20)
    assert bench.reader.current() == of(1)
    go_on.set()
    other.join()
    assert bench.reader.current() == of(2)
