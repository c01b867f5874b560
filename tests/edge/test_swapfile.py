"""A file is replaced whole, or left as it was."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from mailtls.edge import swapfile
from mailtls.edge.swapfile import content_of, digest, drop_left_over, swap
from mailtls.errors import RefusedError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "main.cf"
    path.write_bytes(b"old")
    return path


def test_the_new_content_stands_and_looks_old_enough_to_be_read(file: Path) -> None:
    swap(file, b"new", digest(b"old"))
    assert file.read_bytes() == b"new"
    assert file.stat().st_mtime <= time.time() - 2
    assert [each.name for each in file.parent.iterdir()] == ["main.cf"]


def test_an_edit_made_meanwhile_is_left(file: Path) -> None:
    with pytest.raises(RefusedError, match="changed by somebody else"):
        swap(file, b"new", digest(b"what it was"))
    assert file.read_bytes() == b"old"
    assert [each.name for each in file.parent.iterdir()] == ["main.cf"]


def test_mode_link_and_attributes_stay(file: Path) -> None:
    link = file.with_name("link.cf")
    link.symlink_to(file)
    file.chmod(0o640)
    os.setxattr(file, "user.note", b"kept")
    swap(link, b"new", digest(b"old"))
    assert link.is_symlink()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o640)
    assert os.getxattr(file, "user.note") == b"kept"


def test_files_come_and_go(file: Path) -> None:
    other = file.with_name("new.toml")
    swap(other, b"x", digest(None))
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"x", 0o644)
    swap(other, None, digest(b"x"))
    assert content_of(other) is None


def test_who_edits_with_postconf_is_waited_for_and_then_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapfile, "TRIES", 2)
    beside = file.with_name("main.cf.tmp")
    with beside.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="somebody edits this file"):
            swap(file, b"new", digest(b"old"))
        drop_left_over(file)
        assert beside.exists(), "somebody holds it"
    assert file.read_bytes() == b"old"
    drop_left_over(file)
    assert not beside.exists()


def test_a_directory_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no such file or directory; it was left as it is"):
        swap(tmp_path / "none" / "x", b"x", digest(None))
    with pytest.raises(RefusedError, match="cannot be read"):
        content_of(tmp_path)
