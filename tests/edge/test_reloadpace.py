"""Reloads keep their distance, and several at once are one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailtls.edge import reloadpace
from mailtls.edge.checkpoint import Workplace
from mailtls.edge.reloadpace import begin_reload, did_it_already, end_reload, keep_distance, moment

SITE = Path("/etc/postfix")
FILES = {"main.cf": b"a", "master.cf": b"b"}


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def waited(place: Workplace) -> tuple[float, list[str]]:
    slept, said = [0.0], list[str]()
    keep_distance(place, 3.0, said.append, slept.append)
    return slept[-1], said


def test_the_first_reload_waits_for_nothing(place: Workplace) -> None:
    assert waited(place) == (0.0, [])


def test_the_next_one_waits_and_says_so(place: Workplace) -> None:
    begin_reload(place, SITE, FILES)
    slept, said = waited(place)
    assert 0 < slept <= 3.0
    assert said[0].startswith("Postfix was reloaded just now; waiting ")


@pytest.mark.parametrize("damage", [b"", b"{}", b"junk"])
def test_a_damaged_record_holds_nobody_up(place: Workplace, damage: bytes) -> None:
    begin_reload(place, SITE, FILES)
    (place.directory / reloadpace.NAME).write_bytes(damage)
    assert waited(place) == (0.0, [])
    assert not did_it_already(place, SITE, FILES, 0.0)


def test_a_record_of_before_the_boot_holds_nobody_up(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    end_reload(place, begin_reload(place, SITE, FILES))
    monkeypatch.setattr(reloadpace, "_boot", lambda: "another boot")
    assert waited(place) == (0.0, [])
    assert not did_it_already(place, SITE, FILES, 0.0)


def test_only_a_good_reload_of_the_same_contents_that_began_later_counts(place: Workplace) -> None:
    asked = moment()
    latest = begin_reload(place, SITE, FILES)
    assert not did_it_already(place, SITE, FILES, asked), "it has not ended"
    end_reload(place, latest, good=False)
    assert not did_it_already(place, SITE, FILES, asked), "nobody saw that it was right"
    end_reload(place, latest)
    assert did_it_already(place, SITE, FILES, asked)
    assert not did_it_already(place, SITE, FILES, moment()), "it began before"
    assert not did_it_already(place, SITE, {**FILES, "main.cf": b"c"}, asked)
    assert not did_it_already(place, Path("/etc/postfix-out"), FILES, asked)
