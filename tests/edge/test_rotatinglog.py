"""A log through its rotations: every line once, whatever rotates, whoever dies, from any stored position."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.rotations import Reader, Stage

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
