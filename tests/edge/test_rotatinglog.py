"""A log through its rotations: every line once, whatever rotates, whoever dies, from any stored position."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.edge.rotations import Reader, Stage

from mailtls.core.logposition import SPAN
from mailtls.edge import rotatinglog
from mailtls.edge.rotatinglog import RotatingLog
from mailtls.edge.rotation import Sibling, siblings

ACTS: dict[str, Callable[[Stage, Reader, int], object]] = {
    "write": lambda stage, _, number: stage.write(number % 4 + 1),
    "begin a line": lambda stage, *_: stage.begin_line(),
    "rotate": lambda stage, *_: stage.rotate(),
    "rotate without creating": lambda stage, *_: stage.rotate(create=False),
    "write to the old file": lambda stage, _, number: stage.write_to_old(number % 3 + 1),
    "copy and truncate": lambda stage, *_: stage.copy_and_truncate(),
    "compress the last": lambda stage, *_: stage.compress(1),
    "compress the one before": lambda stage, *_: stage.compress(2),
    "read once": lambda _, reader, __: reader.step(),
    "read all": lambda _, reader, __: reader.drain(),
    "kill": lambda _, reader, __: reader.kill(),
    "kill, and go back": lambda _, reader, number: reader.kill(-1 - number % min(4, len(reader.commits))),
}


def play(acts: list[tuple[str, int]]) -> tuple[Stage, Reader]:
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(Path(directory))
        reader = Reader(stage)
        reader.step()
        reader.commits[:] = [(reader.log.position(), 0)]  # a reader that never stored a position knows of nothing
        for act, number in acts:
            ACTS[act](stage, reader, number)
        if stage.open_line:
            stage.write(1)
        reader.drain()
        reader.log.close()
        return stage, reader


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 20)), max_size=40))
def test_every_line_comes_once_whatever_happens(acts: list[tuple[str, int]]) -> None:
    stage, reader = play(acts)
    assert sorted(reader.lines) == sorted(stage.written)
    assert reader.losses == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(sorted(set(ACTS) - {"write to the old file"})), st.integers(0, 20)), max_size=40)
)
def test_lines_come_in_the_order_of_writing(acts: list[tuple[str, int]]) -> None:
    stage, reader = play(acts)
    assert reader.lines == stage.written


# Plays that have a name. `stage`: see rotations.py; a reader that stopped, and one that starts from its position.


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def stopped_after_some_lines(stage: Stage) -> Reader:
    stage.write(3)
    reader = Reader(stage)
    reader.drain()
    assert reader.lines == stage.written
    stage.write(2)
    return reader


def again(reader: Reader) -> Reader:
    reader.kill()
    reader.drain()
    return reader


def rotate_daily(stage: Stage, days: int) -> None:
    for _ in range(days):
        stage.rotate()
        stage.compress(2)
        stage.write(2)


AWAY: dict[str, Callable[[Stage], object]] = {
    "nothing": lambda stage: None,
    "it grew": lambda stage: stage.write(5),
    "it was rotated": lambda stage: rotate_daily(stage, 1),
    "it was rotated and nothing was written since": lambda stage: stage.rotate(),
    "it was rotated and there is no new file": lambda stage: stage.rotate(create=False),
    "it was rotated several times": lambda stage: rotate_daily(stage, 3),
    "it was rotated more often than places are kept": lambda stage: rotate_daily(stage, 25),
    "it was rotated and compressed": lambda stage: (stage.rotate(), stage.compress(1), stage.write(2)),
    "it was copied and truncated": lambda stage: (stage.copy_and_truncate(), stage.write(1)),
    "it was copied, truncated, and grew past the old place": lambda stage: (
        stage.copy_and_truncate(),
        stage.write(30),
    ),
    "it was copied, truncated and compressed": lambda stage: (stage.copy_and_truncate(), stage.compress(1)),
    "it was copied and truncated several times": lambda stage: [
        (stage.copy_and_truncate(), stage.write(2)) for _ in range(3)
    ],
    "the old file was written to after it was rotated": lambda stage: (stage.rotate(), stage.write_to_old(2)),
}


@pytest.mark.parametrize("meanwhile", AWAY)
def test_a_reader_that_was_away_goes_on_where_it_was(stage: Stage, meanwhile: str) -> None:
    reader = stopped_after_some_lines(stage)
    AWAY[meanwhile](stage)
    again(reader)
    assert reader.lines == stage.written
    assert reader.losses == []


@pytest.mark.parametrize("meanwhile", AWAY)
def test_a_reader_that_stands_by_misses_nothing_either(stage: Stage, meanwhile: str) -> None:
    reader = stopped_after_some_lines(stage)
    AWAY[meanwhile](stage)
    reader.drain()
    assert reader.lines == stage.written
    assert reader.losses == []


def test_a_log_that_was_never_read_is_begun_at_its_end(stage: Stage) -> None:
    stage.write(2)
    stage.rotate()
    stage.write(3)
    reader = Reader(stage, from_start=False)
    reader.drain()
    assert reader.lines == []
    stage.write(2)
    stage.rotate()
    stage.write(1)
    reader.drain()
    assert reader.lines == stage.written[5:]


def test_a_line_in_the_making_at_the_first_look_is_new(stage: Stage) -> None:
    stage.write(2)
    stage.begin_line()
    reader = Reader(stage, from_start=False)
    reader.drain()
    assert reader.lines == []
    stage.write(2)
    reader.drain()
    assert reader.lines == stage.written[2:]


def test_a_log_that_appears_is_read_from_its_first_line(stage: Stage) -> None:
    reader = Reader(stage, from_start=False)
    reader.drain()
    assert reader.log.condition.word == "waiting"
    stage.write(2)
    reader.drain()
    assert reader.lines == stage.written
    assert reader.log.condition.word == "following"


def test_rotated_logs_that_were_there_before_are_left_alone_though_somebody_writes_to_them(stage: Stage) -> None:
    stage.write(2)
    stage.rotate(create=False)
    reader = Reader(stage, from_start=False)
    reader.drain()
    stage.write_to_old(2)
    stage.write(1)
    reader.drain()
    assert reader.lines == stage.written[-1:]


@pytest.mark.parametrize("regrown", [0, 1, 30])
def test_a_truncation_without_a_copy_is_a_loss_that_is_said(stage: Stage, regrown: int) -> None:
    reader = stopped_after_some_lines(stage)
    stage.log.write_bytes(b"")
    if regrown:
        stage.write(regrown)
    again(reader)
    assert reader.lines == stage.written[:3] + stage.written[5:]
    assert len(reader.losses) == 1
    assert "was truncated" in reader.losses[0]


def test_a_position_whose_file_is_gone_is_a_loss_that_is_said(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    stage.rotate()
    stage.rotated(1).unlink()
    stage.write(1)
    again(reader)
    assert reader.lines == [*stage.written[:3], stage.written[-1]]
    assert "lost" in reader.losses[0]


def test_bytes_that_were_seen_and_not_read_are_counted_when_they_are_lost(stage: Stage) -> None:
    stage.begin_line()
    stage.write(1)
    reader = Reader(stage)
    reader.drain()
    stage.begin_line()
    reader.drain()
    half = len(stage.open_line) // 2
    reader.commits.append((reader.log.position(), len(reader.lines)))
    stage.open_line = b""
    stage.rotate()
    stage.rotated(1).unlink()
    again(reader)
    assert f"at least {half} bytes" in reader.losses[0]


def test_an_unreadable_position_is_said_and_the_log_begun_at_its_end(stage: Stage) -> None:
    stage.write(3)
    log = RotatingLog(stage.log, "{broken")
    log.look()
    assert log.read(0.0) is None
    assert "cannot be read" in log.loss


def test_a_position_waits_for_its_file_system(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    position = reader.commits[-1][0]
    elsewhere = stage.directory / "unmounted"
    elsewhere.mkdir()
    for path in [stage.log]:
        path.rename(elsewhere / path.name)
    again(reader)
    assert reader.log.position() == position, "nothing may be forgotten"
    assert reader.log.condition.word == "vanished"
    (elsewhere / "mail.log").rename(stage.log)
    reader.drain()
    assert reader.lines == stage.written


def test_a_log_that_is_moved_away_and_back_goes_on(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    stage.log.rename(stage.directory / "aside")
    reader.drain()
    assert reader.log.condition.word == "vanished"
    (stage.directory / "aside").rename(stage.log)
    stage.write(1)
    reader.drain()
    assert reader.lines == stage.written
    assert reader.log.condition.word == "following"


def test_a_log_that_moved_to_another_machine_goes_on_by_what_it_holds(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    copy = stage.directory / "copy"
    copy.write_bytes(stage.log.read_bytes())
    stage.log.unlink()
    copy.rename(stage.log)
    again(reader)
    assert reader.lines == stage.written
    assert reader.losses == []


def test_a_copy_that_an_operator_made_is_not_read(stage: Stage) -> None:
    stage.write(10)
    reader = stopped_after_some_lines(stage)
    (stage.directory / "mail.log.2026").write_bytes(stage.log.read_bytes())
    (stage.directory / "mail.log.bak").write_bytes(stage.log.read_bytes())
    stage.write(1)
    stage.rotate()
    stage.write(1)
    again(reader)
    assert reader.lines == stage.written


def test_a_rotated_file_is_closed_when_it_is_quiet_and_its_successor_has_lines(stage: Stage) -> None:
    reader = Reader(stage, late=10.0)
    stage.write(1)
    reader.drain()
    stage.rotate()
    stage.now += 60.0
    reader.drain()
    assert len(reader.log.places()) == 3, "the directory, and both files: nothing came into the new one"
    stage.write(1)
    stage.write_to_old(1)
    reader.drain()
    stage.now += 9.0
    reader.drain()
    assert len(reader.log.places()) == 3
    stage.now += 2.0
    reader.drain()
    assert len(reader.log.places()) == 2
    assert sorted(reader.lines) == sorted(stage.written)


def test_the_last_line_of_a_rotated_file_may_lack_its_end(stage: Stage) -> None:
    reader = Reader(stage, late=10.0)
    stage.write(1)
    stage.begin_line()
    half, stage.open_line = stage.open_line[: len(stage.open_line) // 2], b""
    reader.drain()
    stage.rotate()
    stage.write(1)
    reader.drain()
    assert half not in reader.lines
    stage.now += 11.0
    reader.drain()
    again(reader)
    assert sorted(reader.lines) == sorted([*stage.written, half])


def test_however_many_rotations_were_missed_few_files_are_open(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    for _ in range(25):
        stage.rotate()
        stage.write(1)
    reader.kill()
    while reader.step():
        assert len(reader.log.places()) <= 9
        assert len(reader.log.position()) < 4_000
    assert reader.lines == stage.written


def test_a_broken_archive_is_said_and_the_rest_read(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    stage.rotate()
    stage.compress(1)
    packed = stage.rotated(1, ".gz")
    stamp = packed.stat().st_mtime
    packed.write_bytes(packed.read_bytes()[:-9])
    os.utime(packed, (stamp, stamp))
    stage.write(2)
    again(reader)
    assert reader.lines == stage.written
    assert any("truncated gzip" in loss for loss in reader.losses)


def test_an_archive_that_ends_before_the_place_is_a_loss(stage: Stage) -> None:
    stage.write(10)
    reader = stopped_after_some_lines(stage)
    reader.drain()
    stage.rotate()
    stage.rotated(1).write_bytes(stage.rotated(1).read_bytes()[: SPAN + 5])
    stage.compress(1)
    stage.write(1)
    again(reader)
    assert any("ends before the place" in loss for loss in reader.losses)
    assert reader.lines == stage.written


def test_a_program_that_writes_on_at_its_old_offset_after_a_truncation_is_read(stage: Stage) -> None:
    stage.write(3)
    reader = Reader(stage)
    with stage.log.open("r+b") as writer:
        writer.seek(0, os.SEEK_END)
        reader.drain()
        os.truncate(stage.log, 0)
        writer.write(b"after the hole\n")
    reader.drain()
    assert reader.lines == [*stage.written, b"after the hole"]


def test_a_log_behind_a_symlink_is_followed_with_its_rotations(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    stage = Stage(tmp_path / "real")
    stage.write(1)
    link = tmp_path / "maillog"
    link.symlink_to(stage.log)
    log = RotatingLog(link, from_start=True, clock=lambda: stage.now, wall=lambda: stage.now)
    reader = Reader(stage, log=log)
    reader.drain()
    assert {str(tmp_path), str(stage.directory)} <= {path for path, _ in log.places().values()}
    position = log.position()
    stage.write(1)
    stage.rotate()
    stage.write(1)
    log.close()
    reader.log = RotatingLog(link, position, clock=lambda: stage.now, wall=lambda: stage.now)
    reader.drain()
    assert reader.lines == stage.written


def test_names_of_other_logs_are_not_mistaken_for_rotations(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    stage.rotate()
    stage.now += 1
    for name in ("mail.err", "mail.log.swp", "mail.logs.1", "mail.log.d", "mailman.log", "mail.log.1.tmp"):
        (stage.directory / name).write_bytes(b"not this\n")
        os.utime(stage.directory / name, (stage.now, stage.now))
    stage.write(1)
    again(reader)
    assert reader.lines == stage.written


def test_a_disk_that_fails_is_said_and_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = stopped_after_some_lines(stage)
    real = os.pread

    def broken(*_: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    reader.drain()
    assert reader.log.condition.word == "stalled"
    assert "Input/output error" in reader.log.condition.sentence
    monkeypatch.setattr(os, "pread", real)
    reader.drain()
    assert reader.log.condition.word == "following"
    assert reader.lines == stage.written


def test_what_is_no_file_is_refused_with_a_sentence(stage: Stage) -> None:
    os.mkfifo(stage.log)
    reader = Reader(stage)
    reader.drain()
    assert reader.log.condition.word == "denied"
    assert "is a FIFO" in reader.log.condition.sentence
    stage.log.unlink()
    stage.log.mkdir()
    reader.drain()
    assert "is a directory" in reader.log.condition.sentence
    stage.log.rmdir()
    stage.write(1)
    reader.drain()
    assert reader.lines == stage.written


@pytest.mark.parametrize(
    "name", ["mail.log.{}", "mail.log-2026112{}", "mail.log.2026112{}-120000", "mail-2026112{}.log"]
)
def test_dated_names_are_found_like_numbered_ones(stage: Stage, name: str) -> None:
    reader = stopped_after_some_lines(stage)
    for number in range(3):
        stage.log.rename(stage.directory / name.format(number))
        stage.write(1)
    again(reader)
    assert reader.lines == stage.written
    assert reader.losses == []


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("regrown", [0, 3])
def test_a_log_that_was_copied_and_truncated_before_its_first_line_was_read_is_read_in_its_copy(
    stage: Stage, killed: bool, regrown: int
) -> None:
    stage.log.touch()
    reader = Reader(stage)
    reader.drain()
    reader.commits.append((reader.log.position(), 0))
    stage.write(2)
    stage.copy_and_truncate()
    if regrown:
        stage.write(regrown)
    if killed:
        reader.kill()
    reader.drain()
    assert reader.lines == stage.written


@pytest.mark.parametrize("when", [1, 2])
def test_a_rotation_in_the_middle_of_looking_around_costs_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    reader = stopped_after_some_lines(stage)
    stage.rotate()
    stage.write(1)
    looked = 0

    def disturbed(path: Path) -> list[Sibling]:
        nonlocal looked
        looked += 1
        if looked == when:
            for _ in range(2):
                stage.rotate()
                stage.write(1)
        return siblings(path)

    monkeypatch.setattr(rotatinglog, "siblings", disturbed)
    reader.drain()
    assert looked > 2
    assert reader.lines == stage.written
    assert reader.losses == []


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_reader_that_comes_back_while_its_file_is_being_compressed_finds_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    reader = stopped_after_some_lines(stage)
    stage.rotate()
    stage.write(1)
    looked = 0

    def disturbed(path: Path) -> list[Sibling]:
        nonlocal looked
        looked += 1
        found = siblings(path)
        if looked == when:
            stage.compress(1)
        return found

    monkeypatch.setattr(rotatinglog, "siblings", disturbed)
    again(reader)
    assert looked > when
    assert reader.lines == stage.written
    assert reader.losses == []


def test_an_empty_file_that_was_rotated_and_removed_is_no_loss(stage: Stage) -> None:
    reader = stopped_after_some_lines(stage)
    reader.drain()
    for _ in range(2):
        stage.rotate()
        reader.drain()
    stage.rotated(1).unlink()
    again(reader)
    stage.write(1)
    reader.drain()
    assert reader.lines == stage.written
    assert reader.losses == []
