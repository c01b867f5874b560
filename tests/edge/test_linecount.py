"""wc(1) counts the lines of a file beside other work, and nobody misses it where there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mailtls.edge import linecount
from mailtls.edge.linecount import LineCount


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_bytes(b"a\n" * 100_000 + b"rest")
    return path


def test_newlines_are_counted_and_the_place_in_the_file_stays(log: Path) -> None:
    with log.open("rb") as stream:
        stream.seek(7)
        count = LineCount(stream.fileno(), log.stat().st_size)
        assert count.result() == 100_000
        assert os.lseek(stream.fileno(), 0, os.SEEK_CUR) == 7
        count.close()


@pytest.mark.parametrize(("size", "lines"), [(200_004, 100_000), (200_000, 100_000), (100_001, 50_000), (2, 1)])
def test_what_was_written_later_is_not_counted(
    log: Path, size: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linecount, "_PIECE", 4_096)
    with log.open("rb") as stream:
        count = LineCount(stream.fileno(), size)
        assert count.result() == lines
        count.close()


@pytest.mark.parametrize("program", ["exit 1", "echo many", ":", "kill -9 $$"])
def test_without_a_count_there_is_none(
    program: str, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wc").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "wc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with log.open("rb") as stream:
        count = LineCount(stream.fileno(), 9)
        assert count.result() is None
        count.close()


def test_where_there_is_no_wc_there_is_no_count(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with log.open("rb") as stream:
        count = LineCount(stream.fileno(), 9)
        assert count.result() is None
        count.close()


def test_a_count_can_be_ended_before_it_is_done(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wc").write_text("#!/bin/sh\nexec cat /dev/zero\n")
    (tmp_path / "wc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with log.open("rb") as stream:
        count = LineCount(stream.fileno(), 9)
        child = count._child
        assert isinstance(child, subprocess.Popen)
        count.close()
    assert child.returncode == -9
