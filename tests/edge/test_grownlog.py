"""New lines of a log, and which log it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailtls.edge.grownlog import GrownJournal, GrownLog, grown_log

# Stands in journalctl's place: gives the entries that are as young as --since asks, each a line `SECONDS WORDS`.
JOURNALCTL = """#!/bin/sh
for word; do case $word in --since=@*) since=${word#--since=@} ;; esac; done
awk -v since="$since" '$1 + 0 >= since + 0 { print $2 }' "${0%/*}/entries"
"""


def test_only_whole_lines_from_now_on_are_given_also_of_a_file_that_was_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"before\n")
    log = GrownLog(path)
    with path.open("ab") as file:
        file.write(b"first\nsecond\nhalf")
    path.rename(tmp_path / "mail.log.1")
    path.write_bytes(b"other\n")
    assert log.lines() == [b"first", b"second"]
    assert log.lines() == [b"first", b"second"], "all of them, each time"
    log.close()


def test_the_last_one_that_can_be_read_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"")
    log = grown_log(["", str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "none")])
    assert log.name == str(tmp_path / "b")
    log.close()


def test_what_the_journal_got_earlier_in_the_same_second_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journalctl").write_text(JOURNALCTL)
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.75)
    (tmp_path / "entries").write_text("1700000000.5 before\n1700000000.8 after\n1700000001.0 later\n")
    assert GrownJournal().lines() == [b"after", b"later"]
