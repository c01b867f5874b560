"""Notes between processes: read whole or not at all, whatever their writer does."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailtls.core.notice import GuardRequest
from mailtls.edge.noticeboard import LARGEST, NoticeBoard
from mailtls.errors import StoreError

NOTE = GuardRequest(change="c1", at=datetime(2026, 11, 21, tzinfo=UTC), peers=("192.0.2.1",))


def test_a_note_is_read_back_and_its_stamp_changes_with_it(tmp_path: Path) -> None:
    board = NoticeBoard(tmp_path / "board", os.getgid())
    assert board.read("guard.json", GuardRequest) is None
    assert board.stamp("guard.json") is None
    board.put("guard.json", NOTE)
    first = board.stamp("guard.json")
    assert board.read("guard.json", GuardRequest) == NOTE
    assert (tmp_path / "board/guard.json").stat().st_mode & 0o777 == 0o640
    board.put("guard.json", NOTE.model_copy(update={"change": "another"}))
    assert board.stamp("guard.json") != first
    board.remove("guard.json")
    board.remove("guard.json")
    assert os.listdir(tmp_path / "board") == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not what it should be"), (b"{", "not what it should be"), (b"\xff", "not what it should be"),
     (b" " * (LARGEST + 1), "is larger than")],
    ids=["empty", "cut", "no text", "huge"],
)  # fmt: skip
def test_what_is_no_note_is_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "guard.json").write_bytes(content)
    with pytest.raises(StoreError, match=words):
        NoticeBoard(tmp_path).read("guard.json", GuardRequest)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_root_is_not_led_elsewhere_and_does_not_wait(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "guard.json"
    secret = tmp_path / "secret"
    secret.write_text(NOTE.model_dump_json())
    {"link": lambda: path.symlink_to(secret), "pipe": lambda: os.mkfifo(path), "directory": path.mkdir}[kind]()
    with pytest.raises(StoreError, match=r"guard\.json"):
        NoticeBoard(tmp_path).read("guard.json", GuardRequest)


def test_a_link_that_somebody_left_beside_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "guard.json.new").symlink_to(target)
    NoticeBoard(tmp_path).put("guard.json", NOTE)
    assert not target.exists()


def test_where_nothing_can_be_written_it_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        NoticeBoard(tmp_path / "file").put("guard.json", NOTE)


def test_a_note_of_a_newer_version_is_understood(tmp_path: Path) -> None:
    text = NOTE.model_dump_json().replace("{", '{"new": 1, ', 1)
    (tmp_path / "guard.json").write_text(text)
    assert NoticeBoard(tmp_path).read("guard.json", GuardRequest) == NOTE
