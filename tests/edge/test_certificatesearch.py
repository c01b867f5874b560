"""A certificate that is on the machine already is found with its key, and why others are not taken is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailtls.edge.certificatesearch import covered, search
from mailtls.edge.openssl import make_self_signed

NOW = datetime.now(UTC)

NAMES = [
    (["mx.example.test"], True), (["*.example.test"], True), (["*.test"], False), (["example.test"], False), ([], False)
]  # fmt: skip


@pytest.mark.parametrize(("offered", "fits"), NAMES)
def test_a_name_is_covered_whole_or_by_one_label(offered: list[str], fits: bool) -> None:
    assert covered(offered, ["mx.other.test", "MX.example.test"]) is fits


def live(root: Path, name: str = "mx", names: tuple[str, ...] = ("mx.example.test",)) -> Path:
    directory = root / "etc/letsencrypt/live" / name
    directory.mkdir(parents=True)
    make_self_signed(str(directory / "privkey.pem"), str(directory / "fullchain.pem"), names, 10)
    return directory


def trusting(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    monkeypatch.setattr(
        "mailtls.edge.certificatesearch.is_trusted", lambda path: any(str(each) in path for each in directories)
    )


def test_the_first_name_is_preferred_and_strangers_names_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = live(tmp_path, "a", ("second.test",)), live(tmp_path, "b"), live(tmp_path, "c", ("stranger.test",))
    trusting(monkeypatch, *directories)
    best = search(tmp_path, (), ("mx.example.test", "second.test"), NOW).best
    assert best is not None
    assert (best.certificate, best.key) == (str(directories[1] / "fullchain.pem"), str(directories[1] / "privkey.pem"))
    assert search(tmp_path, (), ("nobody.test",), NOW).best is None


def test_a_certificate_without_its_key_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = live(tmp_path, "a"), live(tmp_path, "b", ("other.test",))
    trusting(monkeypatch, first, second)
    (first / "privkey.pem").write_bytes((second / "privkey.pem").read_bytes())
    assert search(tmp_path, (), ("mx.example.test",), NOW).best is None


def test_why_one_is_not_taken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = live(tmp_path)
    said = search(tmp_path, (), ("mx.example.test",), NOW).refused
    assert said == (f"{directory}/fullchain.pem is not signed by an authority that this system trusts, with its chain",)
    trusting(monkeypatch, directory)
    (late,) = search(tmp_path, (), ("mx.example.test",), NOW + timedelta(days=11)).refused
    assert " expired on " in late


def test_files_that_are_none_and_directories_that_are_closed_are_borne(tmp_path: Path) -> None:
    place = tmp_path / "etc/ssl/private"
    place.mkdir(parents=True)
    (place / "rubbish").write_bytes(b"\xff\x00" * 1000)
    (place / "loop").symlink_to(place / "loop")
    (place / "up").symlink_to(place)
    assert search(tmp_path, ("/nosuch/file",), ("mx.example.test",), NOW).best is None
