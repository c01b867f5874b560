"""The staged copy is the original, but for what shall change."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mailtls.edge.stage import clear, lay_out
from mailtls.errors import PostfixError


def test_everything_else_leads_to_the_original(tmp_path: Path) -> None:
    original, stage = tmp_path / "etc", tmp_path / "stage"
    (original / "sasl").mkdir(parents=True)
    for name in ("main.cf", "own.cidr", "sasl/x"):
        (original / name).write_text(name)
    (original / "main.cf").chmod(0o640)
    for text in (b"first", b"second"):
        lay_out(stage, original, {"main.cf": text})
        assert (stage / "main.cf").read_bytes() == text
    assert (stage / "main.cf").stat().st_mode & 0o777 == 0o640
    assert (stage / "main.cf").stat().st_mtime < time.time() - 2
    assert (stage / "own.cidr").read_text() == "own.cidr"
    assert (stage / "sasl/x").read_text() == "sasl/x"
    assert os.path.samefile(stage / "own.cidr", original / "own.cidr")
    clear(stage)
    assert not stage.exists()
    assert sorted(each.name for each in original.rglob("*")) == ["main.cf", "own.cidr", "sasl", "x"]


def test_a_directory_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PostfixError, match="no such file or directory; nothing was changed"):
        lay_out(tmp_path / "stage", tmp_path / "none", {})
