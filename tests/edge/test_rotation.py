"""Which files beside a log are the log's own, and which of them holds a place."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from mailtls.core.logposition import KnownFile, Place, Track, fingerprint
from mailtls.edge.rotation import SLACK, find, itself, next_after, siblings

TEXT = b"".join(b"Nov 21 00:42:35 mail postfix/smtpd[%d]: connect from x\n" % number for number in range(20))


def put(path: Path, content: bytes = TEXT, written: float = 1_000.0) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    os.utime(path, (written, written))
    return path


def place_in(path: Path, offset: int) -> Place:
    track = Track()
    track.skip(path.read_bytes()[:offset])
    return track.place(path.stat().st_ino, path.stat().st_size)


@pytest.mark.parametrize(
    ("log", "name", "dated"),
    [
        ("mail.log", "mail.log.1", True),
        ("mail.log", "mail.log.0", True),
        ("mail.log", "mail.log.12.gz", True),
        ("mail.log", "mail.log-20261121", True),
        ("mail.log", "mail.log-20261121.xz", True),
        ("mail.log", "mail.log-20261121-1795248000.zst", True),
        ("mail.log", "mail.log.20261121-074512.gz", True),
        ("mail.log", "mail.log.2026-11-21_07.bz2", True),
        ("mail.log", "mail.log.old", True),
        ("mail.log", "mail-20261121.log", True),
        ("mail.log", "mail.1.log.gz", True),
        ("mail", "mail.1", True),
        ("maillog", "maillog-20261121", True),
        ("mail.log", "mail.log.bak", False),
        ("mail.log", "mail.log~", False),
        ("mail.log", "mail.log.1.tmp", False),
        ("mail.log", "mail.logs.1", False),
        ("mail.log", "mail.err", None),
        ("mail.log", "mail.err.1", None),
        ("mail.log", "mail.log", None),
        ("mail.log", "mailman.log", None),
        ("mail.log", "syslog.1", None),
        ("mail.log", "1.log", None),
    ],
)
def test_names_of_rotated_logs_are_known(tmp_path: Path, log: str, name: str, dated: bool | None) -> None:
    (tmp_path / name).write_bytes(b"x")
    found = siblings(tmp_path / log)
    assert [sibling.dated for sibling in found] == ([] if dated is None else [dated])
    assert all(sibling.archive is name.endswith(("gz", "xz", "bz2", "zst")) for sibling in found)


def test_directories_and_pipes_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / "mail.log.1").mkdir()
    os.mkfifo(tmp_path / "mail.log.2")
    (tmp_path / "mail.log.3").symlink_to(tmp_path / "missing")
    assert siblings(tmp_path / "mail.log") == []
    assert itself(tmp_path / "mail.log") is None
    assert siblings(tmp_path / "missing" / "mail.log") == []


def test_they_are_ordered_by_their_last_change(tmp_path: Path) -> None:
    for number, written in ((1, 30.0), (2, 10.0), (3, 20.0)):
        put(tmp_path / f"mail.log.{number}", written=written)
    assert [sibling.path.name[-1] for sibling in siblings(tmp_path / "mail.log")] == ["2", "3", "1"]


def test_the_same_inode_is_found_before_copies_and_plain_files_before_archives(tmp_path: Path) -> None:
    log = put(tmp_path / "mail.log")
    place = place_in(log, 110)
    put(tmp_path / "mail.log.3.gz")
    put(tmp_path / "mail.log.2", TEXT + b"a copy that was written on\n")
    log.rename(tmp_path / "mail.log.1")
    beside = siblings(log)
    order = []
    while (found := find(place, beside)) is not None:
        order.append(found.path.name)
        beside.remove(found)
    assert order == ["mail.log.1", "mail.log.2", "mail.log.3.gz"]


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log.1.gz"])
def test_another_log_is_not_taken_for_the_one_that_was_read(tmp_path: Path, name: str) -> None:
    place = place_in(put(tmp_path / "mail.log"), 110)
    put(tmp_path / name, TEXT.replace(b"Nov 21", b"Nov 22"))
    assert find(place, siblings(tmp_path / "mail.log")) is None


def test_an_inode_that_was_given_to_another_file_is_not_believed(tmp_path: Path) -> None:
    log = put(tmp_path / "mail.log")
    place = place_in(log, 110)
    other = put(tmp_path / "mail.log.1", TEXT.replace(b"Nov 21", b"Nov 22"))
    stale = Place(other.stat().st_ino, place.offset, place.size, place.head, place.tail)
    assert find(stale, siblings(log)) is None


def test_a_copy_that_is_shorter_than_what_was_read_does_not_hold_the_place(tmp_path: Path) -> None:
    log = put(tmp_path / "mail.log")
    put(tmp_path / "mail.log.1", TEXT[:600])
    assert find(place_in(log, 700), siblings(log)) is None
    assert find(place_in(log, 600), siblings(log)) is not None


def test_a_copy_that_differs_just_before_the_place_does_not_hold_it(tmp_path: Path) -> None:
    log = put(tmp_path / "mail.log")
    place = place_in(log, 700)
    put(tmp_path / "mail.log.1", TEXT[:690] + b"?" + TEXT[691:])
    assert find(place, siblings(log)) is None


def test_a_place_at_the_beginning_of_an_empty_file_is_known_by_its_inode_alone(tmp_path: Path) -> None:
    log = put(tmp_path / "mail.log", b"")
    place = place_in(log, 0)
    log.rename(tmp_path / "mail.log.1")
    put(tmp_path / "mail.log.2")
    found = find(place, siblings(log))
    assert found is not None
    assert found.path.name == "mail.log.1"


def test_the_oldest_unknown_file_since_the_last_look_is_next(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    for number, written in ((1, 40.0), (2, 30.0), (3, 20.0), (4, 10.0)):
        put(tmp_path / f"mail.log.{number}", b"%d " % number + TEXT, written)
    put(tmp_path / "mail.log.bak", b"bak " + TEXT, 25.0)
    put(tmp_path / "mail.log.5", b"", 26.0)
    third = next_after(20.0, (), siblings(log))
    assert third is not None
    assert third.path.name == "mail.log.3"
    second = next_after(20.0, (third.file(),), siblings(log))
    assert second is not None
    assert second.path.name == "mail.log.2"
    assert next_after(40.0 + 2 * SLACK, (), siblings(log)) is None
    assert next_after(40.0 + SLACK / 2, (), siblings(log)) is not None, "files carry the time of the kernel's last tick"


def test_a_copy_of_a_known_file_is_known_whatever_its_name_and_form(tmp_path: Path) -> None:
    known = KnownFile(1, fingerprint(TEXT[:200]))
    put(tmp_path / "mail.log.1", TEXT)
    put(tmp_path / "mail.log.2.gz", TEXT)
    assert next_after(0.0, (known,), siblings(tmp_path / "mail.log")) is None


def test_an_archive_in_the_making_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(TEXT)[:12])
    assert next_after(0.0, (), siblings(tmp_path / "mail.log")) is None


def test_a_file_that_was_renamed_since_is_said_to_have_moved(tmp_path: Path) -> None:
    put(tmp_path / "mail.log.1")
    (sibling,) = siblings(tmp_path / "mail.log")
    assert not sibling.moved()
    (tmp_path / "mail.log.1").rename(tmp_path / "mail.log.2")
    assert sibling.moved()
    put(tmp_path / "mail.log.1")
    assert sibling.moved()
