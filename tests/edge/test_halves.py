"""A large file is read in blocks of whole lines, and half of it by a second process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailtls.edge import halves
from mailtls.edge.halves import Half, blocks, part_of, places_of


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "BLOCK", 64)
    monkeypatch.setattr(halves, "_USUAL_LINE", 16)
    monkeypatch.setattr(halves, "_LONGEST_LINE", 200)


def read_in_blocks(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        return list(blocks(stream.fileno(), places_of(stream.fileno(), path.stat().st_size)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(st.integers(0, 150), max_size=40), ends=st.booleans())
def test_blocks_are_whole_lines_and_all_of_the_file(
    lines: list[int], ends: bool, tmp_path: Path, small_blocks: None
) -> None:
    text = b"".join(b"%b\n" % (b"x" * length) for length in lines)
    text = text if ends else text[:-1]
    (tmp_path / "log").write_bytes(text)
    found = read_in_blocks(tmp_path / "log")
    assert b"".join(found) == (text if not text or text.endswith(b"\n") else text + b"\n")
    assert all(block.endswith(b"\n") for block in found)


@pytest.mark.usefixtures("small_blocks")
def test_of_a_line_that_is_too_long_the_rest_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\n" + b"y" * 5_000 + b"\nb\n")
    assert b"".join(read_in_blocks(tmp_path / "log")) == b"a\n" + b"y" * 200 + b"\nb\n"


def test_a_file_that_became_shorter_ends_where_it_ends(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb")
    with (tmp_path / "log").open("rb") as stream:
        assert list(blocks(stream.fileno(), [(0, 2), (2, 9), (9, 20)])) == [b"a\n", b"b\n"]


def test_small_files_are_read_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert part_of(places, 0.5) == (places, [])
    monkeypatch.setattr(halves, "SPLIT", 40)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert part_of(places, 0.5) == (places[:2], places[2:])
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert part_of(places, 0.5) == (places, [])
    assert part_of([], 0.5) == ([], [])


def half_of(path: Path, work: object) -> Half:
    with path.open("rb") as stream:
        return Half(stream.fileno(), [(0, 4)], work)


def test_the_second_process_sends_one_thing_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb\n")

    def work(found: Iterator[bytes], _: object) -> Iterator[object]:
        yield {b"who": 1}
        yield list(found)

    half = half_of(tmp_path / "log", work)
    assert half.receive() == {b"who": 1}
    assert half.receive() == [b"a\nb\n"]
    assert half.receive() is None
    half.stop()


def test_the_second_process_hears_what_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb\n")

    def work(_: object, hear: Callable[[], Any]) -> Iterator[object]:
        while (value := hear()) is not None:
            yield value

    half = half_of(tmp_path / "log", work)
    for value in (frozenset([b"192.0.2.1"]), b"x" * (1 << 18)):
        half.tell(value)
        assert half.receive() == value
    half.stop()


def test_who_is_gone_can_be_told_anything(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\n")
    half = half_of(tmp_path / "log", lambda *_: [])
    assert half.receive() is None
    half.tell(b"x" * (1 << 18))
    half.stop()


def test_of_a_second_process_that_dies_there_is_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb\n")

    def work(*_: object) -> Iterator[object]:
        yield 1
        os._exit(3)

    half = half_of(tmp_path / "log", work)
    assert (half.receive(), half.receive()) == (1, None)
    half.stop()


def test_a_second_process_can_be_stopped_before_it_is_done(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb\n")
    waiting, never = os.pipe()

    def work(*_: object) -> Iterator[object]:
        os.read(waiting, 1)
        yield 1

    half = half_of(tmp_path / "log", work)
    half.stop()
    with pytest.raises(ChildProcessError):
        os.waitpid(half._pid, 0)
    os.close(waiting)
    os.close(never)
