"""While sessions at a door that goes are waited for, and whatever ends the waiting: the view says what is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailtls.errors import RefusedError
from mailtls.service import applyleave as module
from mailtls.service.applyleave import Leaving

DOORS = '[[doors]]\nlevel = "legacy"\nport = 10225\nentry = "10225/inet"\n'


@pytest.fixture
def view(tmp_path: Path) -> Path:
    path = tmp_path / "postfix.toml"
    path.write_text(DOORS)
    return path


def test_the_door_is_struck_out_before_anybody_is_waited_for(view: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(module, "wait_until_left", lambda *_: told.append(view.read_text()) or 0)
    with Leaving(view, frozenset(), 5.0) as leaving:
        leaving.is_done = True
    assert "[[doors]]" not in told[0]
    assert "[[doors]]" not in view.read_text()


def test_sessions_that_do_not_end_are_said_and_the_door_is_back(view: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wait_until_left", lambda *_: 3)
    with pytest.raises(RefusedError, match="still 3 sessions"), Leaving(view, frozenset(), 5.0):
        pass
    assert view.read_text() == DOORS


def test_whoever_loses_patience_leaves_the_door_as_it_was(view: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "wait_until_left", interrupted)
    with pytest.raises(KeyboardInterrupt), Leaving(view, frozenset(), 5.0):
        pass
    assert view.read_text() == DOORS
