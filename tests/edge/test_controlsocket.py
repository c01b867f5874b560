"""mailtlsd's control socket, from the asking side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ctl.parties import NOW, Daemon, Odd, a_peer, listening
from mailtls.core.controlprotocol import Answer, AskPeers, AskStatus, AskWatch, Happening
from mailtls.edge.controlsocket import ControlSocket, DaemonUnreachable
from mailtls.errors import ProtocolError, RefusedError


def ask(path: Path, question: Any) -> Answer:
    return asyncio.run(ControlSocket(path).ask(question))


async def happenings(path: Path, count: int) -> list[str]:
    watching = ControlSocket(path).watch()
    seen = [(await anext(watching)).what for _ in range(count)]
    await watching.aclose()
    return seen


def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    world = Daemon()
    world.known = [a_peer("192.0.2.7"), a_peer("192.0.2.8", state="ok")]
    with listening(tmp_path / "s", world.serve):
        assert ask(tmp_path / "s", AskStatus()).status == world.status
        assert ask(tmp_path / "s", AskPeers(failing=True)).peers == (world.known[0],)


def test_an_error_is_refused_in_its_own_words(tmp_path: Path) -> None:
    world = Daemon()
    world.error = "the database is locked"
    with listening(tmp_path / "s", world.serve):
        with pytest.raises(RefusedError, match="mailtlsd: the database is locked"):
            ask(tmp_path / "s", AskStatus())
        with pytest.raises(RefusedError, match="mailtlsd: the database is locked"):
            asyncio.run(happenings(tmp_path / "s", 1))


def test_what_happens_is_given_in_its_order(tmp_path: Path) -> None:
    world = Daemon()
    world.happenings = tuple(Happening(at=NOW, kind="session", what=str(number)) for number in range(100))
    with listening(tmp_path / "s", world.serve):
        assert asyncio.run(happenings(tmp_path / "s", 100)) == [str(number) for number in range(100)]
    world.end_of_watch.set()


def test_watching_ends_with_a_sentence_when_mailtlsd_ends(tmp_path: Path) -> None:
    with listening(tmp_path / "s", Odd.closes), pytest.raises(DaemonUnreachable, match="closed the connection"):
        asyncio.run(happenings(tmp_path / "s", 1))


@pytest.mark.parametrize("odd", [Odd.garbage, Odd.another_protocol])
def test_what_is_no_answer_is_one_sentence(odd: Any, tmp_path: Path) -> None:
    with listening(tmp_path / "s", odd), pytest.raises(ProtocolError, match="answered with what is no answer"):
        ask(tmp_path / "s", AskStatus())


def test_watching_is_not_asking(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="watch"):
        ask(tmp_path / "s", AskWatch())
