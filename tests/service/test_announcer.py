"""Who watches hears everything, or how much he missed, and holds up nobody."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from mailtls.core.controlprotocol import Happening
from mailtls.service import announcer
from mailtls.service.announcer import Announcer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def happening(what: str) -> Happening:
    return Happening(at=NOW, kind="session", what=what)


async def test_while_nobody_listens_nothing_is_made() -> None:
    def make() -> Happening:
        raise AssertionError("nobody asked")

    Announcer(lambda: NOW).tell(make)


async def test_everybody_who_listens_hears_it() -> None:
    office = Announcer(lambda: NOW)
    async with aclosing(office.listen()) as one, aclosing(office.listen()) as other:
        first, second = one.__anext__(), other.__anext__()

        tasks = [asyncio.ensure_future(first), asyncio.ensure_future(second)]
        await asyncio.sleep(0)
        office.tell(lambda: happening("a"))
        assert [each.what for each in await asyncio.gather(*tasks)] == ["a", "a"]
    assert not office.heard


async def test_a_slow_listener_is_told_how_much_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(announcer, "BACKLOG", 3)
    office = Announcer(lambda: NOW)
    async with aclosing(office.listen()) as ear:
        task = asyncio.ensure_future(ear.__anext__())
        await asyncio.sleep(0)
        for number in range(10):
            office.tell(lambda number=number: happening(str(number)))  # type: ignore[misc]
        heard = [await task] + [await ear.__anext__() for _ in range(3)]
    assert heard[0].what.startswith("7 happenings were left out")
    assert [each.what for each in heard[1:]] == ["7", "8", "9"]
