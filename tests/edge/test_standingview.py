"""What `setup` wrote of Postfix is read again when it changes, and only what is good holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.edge.standingview import StandingView

OTHERWISE = PostfixSettings(table_type="hash")
GOOD = '[[doors]]\nlevel = "legacy"\nport = 10225\n'


@pytest.fixture
def standing(tmp_path: Path) -> StandingView:
    return StandingView(tmp_path / "postfix.toml", OTHERWISE)


def put(standing: StandingView, text: str) -> None:
    """Write it as `setup` does: beside, then over."""
    beside = standing.path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(standing.path)


def test_without_the_file_it_is_what_mailtls_toml_says(standing: StandingView) -> None:
    assert standing.refresh()
    assert (standing.view, standing.fault) == (OTHERWISE, None)


def test_it_is_read_when_it_appears_changes_and_goes(standing: StandingView) -> None:
    standing.refresh()
    put(standing, GOOD)
    assert standing.refresh()
    assert [door.level for door in standing.view.doors] == [Level.LEGACY]
    put(standing, GOOD.replace("legacy", "legacy-rsa"))
    assert standing.refresh()
    assert [door.level for door in standing.view.doors] == [Level.LEGACY_RSA]
    standing.path.unlink()
    assert standing.refresh()
    assert standing.view == OTHERWISE


def test_what_did_not_change_is_not_read_again(standing: StandingView) -> None:
    put(standing, GOOD)
    assert standing.refresh()
    assert not standing.refresh()


@pytest.mark.parametrize("broken", ["nonsense", '[[doors]]\nlevel = "cleartext"\nport = 1\n', "\x00"])
def test_a_broken_file_is_a_fault_and_the_last_good_one_holds_until_it_is_mended(
    broken: str, standing: StandingView
) -> None:
    put(standing, GOOD)
    standing.refresh()
    good = standing.view
    put(standing, broken)
    assert standing.refresh()
    assert standing.view == good
    assert standing.fault is not None
    assert str(standing.path) in standing.fault
    assert "mailtlsctl setup" in standing.fault
    put(standing, GOOD)
    assert standing.refresh()
    assert standing.fault is None


def test_a_file_that_cannot_be_read_is_a_fault(standing: StandingView) -> None:
    standing.path.mkdir()
    standing.refresh()
    assert standing.fault is not None
    assert standing.view == OTHERWISE


def test_a_file_that_others_could_have_changed_is_not_followed(tmp_path: Path) -> None:
    standing = StandingView(tmp_path / "postfix.toml", OTHERWISE, root=tmp_path)
    put(standing, GOOD)
    standing.path.chmod(0o666)
    standing.refresh()
    assert standing.fault is not None
    assert standing.view == OTHERWISE
    standing.path.chmod(0o644)
    os.utime(standing.path)
    standing.refresh()
    assert standing.fault is None
    assert standing.view.doors
