"""A large log gives the same report on one process, on two, and where the second one dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.test_sieve import CALENDAR, cut_off, log_of, rows_of, success_at_loglevel_0
from tests.core.test_skim import REGULAR

from mailtls.core.assembler import Assembler
from mailtls.core.history import History
from mailtls.edge import halves, skimming
from mailtls.edge.skimming import Skimming


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(halves, "BLOCK", 16_384)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    path = tmp_path / "mail.log"
    path.write_bytes(b"\n".join(log_of(21, 1_500, REGULAR)) + b"\n")
    return path


def skim(path: Path, most: int, history: History | None = None) -> tuple[History, list[float], bool]:
    history, assembler, ticks = history or History(), Assembler(CALENDAR), []

    def drain(lines: list[bytes]) -> None:
        for session in [session for line in lines for session in assembler.feed(line)]:
            history.record(session)

    with path.open("rb") as stream:
        run = Skimming(stream.fileno(), path.stat().st_size, (b"mx1 postfix/smtpd", 16), CALENDAR, history, drain, ticks.append)
        regular = run.run(most)
    history.crowds.extend(run.crowds)
    return history, ticks, regular


def lines_in(path: Path) -> int:
    with path.open("rb") as stream:
        run = Skimming(
            stream.fileno(), path.stat().st_size, (b"mx1 postfix/smtpd", 16), CALENDAR, History(), len, lambda _: None
        )
        assert run.run(3)
    return run.read


def facts(history: History) -> tuple[Any, ...]:
    """All but the lines of evidence, which are fewer of a session that the middle of the file goes through, and the times
    of failures beyond the first, of which each part keeps so many."""
    peers = {ip: (peer.mail, peer.cleartext_mail, peer.failed_at[:1]) for ip, peer in history.peers.items()}
    return rows_of(history), history.totals(), peers, history.failing_unlisted


def on_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "SPLIT", 1)


@pytest.mark.parametrize("most", [3, 1_000])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.47, 0.5, 0.9])
def test_two_processes_find_what_one_finds(log: Path, most: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _, regular = skim(log, most)
    on_two(monkeypatch)
    monkeypatch.setattr(skimming, "_FIRST_SHARE", share)
    assert regular
    assert facts(skim(log, most)[0]) == facts(alone)
    assert sum(alone.totals().values()) > 1_000


class Dying:
    """A second process that dies instead of sending its first, its second, its third thing."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, descriptor: int, places: Any, work: Any) -> halves.Half:
        def cut_short(found: Iterator[bytes], hear: Any) -> Iterator[object]:
            for number, thing in enumerate(work(found, hear)):
                if number == self.after:
                    os._exit(1)
                yield thing

        return halves.Half(descriptor, places, cut_short)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_what_a_second_process_leaves_undone_is_done(log: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = skim(log, 5)[0]
    on_two(monkeypatch)
    monkeypatch.setattr(skimming, "Half", Dying(after))
    assert facts(skim(log, 5)[0]) == facts(alone)


def test_of_those_who_failed_as_often_the_first_by_address_are_listed(log: Path) -> None:
    head = "Nov 20 10:00:00 mx1 postfix/smtpd[77]: "
    names = [f"a.example[192.0.2.{number}]" for number in (7, 3, 9, 5, 5)]
    log.write_text("".join(f"{head}{text}\n" for name in names for text in cut_off(name)))
    history = skim(log, 3)[0]
    assert list(history.peers) == ["192.0.2.7", "192.0.2.3", "192.0.2.5"]
    assert history.failing_unlisted == 1


def test_of_an_irregular_log_nothing_is_recorded(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(b"\n".join(log_of(22, 1_500, (success_at_loglevel_0,))) + b"\n")
    on_two(monkeypatch)
    history, _, regular = skim(log, 5)
    assert not regular
    assert (history.peers, history.crowds, history.failing_unlisted) == ({}, [], 0)


@pytest.mark.parametrize("quickly", [True, False])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_all_lines_are_counted(log: Path, quickly: bool, end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    text = log.read_bytes().rstrip(b"\n") + end
    log.write_bytes(text)
    monkeypatch.setattr(skimming, "counts_lines_quickly", lambda: quickly)
    assert lines_in(log) == text.count(b"\n") + (end == b"")
    monkeypatch.setenv("PATH", "")
    assert lines_in(log) == text.count(b"\n") + (end == b"")


def test_the_progress_only_grows(log: Path) -> None:
    ticks = skim(log, 5)[1]
    assert ticks == sorted(ticks)
    assert (ticks[0], ticks[-1] < 1) == (0, True)
