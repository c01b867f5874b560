"""Whoever can write to a directory can swap what is in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailtls.edge.rootowned import ownership_fault

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    deep = tmp_path / "etc" / "postfix" / "mailtls"
    deep.mkdir(parents=True)
    for each in (deep, *deep.parents):
        if tmp_path in each.parents:
            each.chmod(0o755)
    return deep


def test_what_only_root_can_change_is_fine(place: Path, tmp_path: Path) -> None:
    assert ownership_fault(place, tmp_path) is None


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
@pytest.mark.parametrize("which", ["etc", "etc/postfix", "etc/postfix/mailtls"])
def test_a_parent_that_others_can_write_to_is_named(place: Path, tmp_path: Path, which: str, mode: int) -> None:
    (tmp_path / which).chmod(mode)
    assert ownership_fault(place, tmp_path) == (
        f"{tmp_path / which} may be written by others than root, who alone may decide here: chmod go-w {tmp_path / which}"
    )


@ROOT_ONLY
@pytest.mark.parametrize("which", ["etc", "etc/postfix/mailtls"])
def test_a_parent_of_another_owner_is_named(place: Path, tmp_path: Path, which: str) -> None:
    os.chown(tmp_path / which, 65_533, -1)
    assert "belongs to uid 65533" in (ownership_fault(place, tmp_path) or "")


def test_a_link_is_followed_and_what_it_leads_to_is_checked(place: Path, tmp_path: Path) -> None:
    weak = tmp_path / "weak"
    (weak / "postfix").mkdir(parents=True)
    weak.chmod(0o777)
    link = tmp_path / "etc" / "elsewhere"
    link.symlink_to(weak / "postfix")
    assert str(weak) in (ownership_fault(link, tmp_path) or "")


def test_what_is_above_the_root_of_the_installation_is_not_asked(tmp_path: Path) -> None:
    inner = tmp_path / "root" / "etc"
    inner.mkdir(parents=True)
    inner.chmod(0o755)
    tmp_path.chmod(0o777)
    (tmp_path / "root").chmod(0o777)
    assert ownership_fault(inner, tmp_path / "root") is None


def test_what_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    assert "no such file" in (ownership_fault(tmp_path / "gone", tmp_path) or "")
