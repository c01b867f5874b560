"""New lines of a log, and which log it is."""

from __future__ import annotations

from pathlib import Path

from mailtls.edge.grownlog import GrownLog, grown_log


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
