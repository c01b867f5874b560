"""The keeper's socket, from the asking side."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ctl.parties import NOW, Keeper, Odd, a_waiver, listening
from mailtls.core.keeperprotocol import Event, Events, Grant, KeeperStatus, ListWaivers, Reply, Step, Withdraw
from mailtls.core.level import Level
from mailtls.edge.keepersocket import KeeperSilent, KeeperSocket, KeeperUnreachable
from mailtls.errors import ProtocolError, RefusedError

GRANT = Grant(id="g1", network="192.0.2.7", level=Level.CLEARTEXT, until=NOW + timedelta(days=7), reason="old copier")


def ask(path: Path, *requests: Any) -> list[Reply]:
    async def talk() -> list[Reply]:
        keeper = KeeperSocket(path)
        replies = [await keeper.ask(request) for request in requests]
        await keeper.close()
        return replies

    return asyncio.run(talk())


async def events_of(keeper: KeeperSocket, since: int, count: int) -> list[Event]:
    following = keeper.follow(since)
    seen = [await anext(following) for _ in range(count)]
    await following.aclose()
    return seen


def test_each_request_gets_its_reply(tmp_path: Path) -> None:
    with listening(tmp_path / "s", Keeper().serve):
        granted, listed, health, withdrawn, nothing = ask(
            tmp_path / "s", GRANT, ListWaivers(), KeeperStatus(), Withdraw(network="192.0.2.7"), ListWaivers()
        )
    assert granted.live
    assert granted.waiver is not None
    assert [waiver.network for waiver in listed.waivers] == ["192.0.2.7"]
    assert health.health is not None
    assert withdrawn.ok
    assert nothing.waivers == ()


def test_a_refusal_is_a_reply(tmp_path: Path) -> None:
    with listening(tmp_path / "s", Keeper().serve):
        [reply] = ask(tmp_path / "s", GRANT.model_copy(update={"level": Level.SSLV3}))
    assert (reply.ok, reply.refused) == (False, "level sslv3 has no door here yet")


def test_events_are_given_once_each_from_a_number_on_and_then_as_they_happen(tmp_path: Path) -> None:
    world = Keeper()
    for _ in range(3):
        world.happen(Step.GRANTED, a_waiver())

    async def follow() -> list[int]:
        keeper = KeeperSocket(tmp_path / "s")
        following = keeper.follow(1)
        numbers = [(await anext(following)).number for _ in range(2)]
        world.happen(Step.EXPIRED, a_waiver())
        numbers.append((await anext(following)).number)
        await following.aclose()
        return numbers

    with listening(tmp_path / "s", world.serve):
        assert asyncio.run(follow()) == [2, 3, 4]


def test_events_that_are_told_again_are_given_once(tmp_path: Path) -> None:
    event = Event(number=1, at=NOW, step=Step.GRANTED, waiver=a_waiver(), by="root")
    told = Reply(events=(event, event)), Reply(events=(event, event.model_copy(update={"number": 2})))

    def repeats(connection: Any) -> None:
        connection.rfile.readline()
        for reply in told:
            connection.wfile.write(reply.model_dump_json().encode() + b"\n")

    with listening(tmp_path / "s", repeats):
        assert [event.number for event in asyncio.run(events_of(KeeperSocket(tmp_path / "s"), 0, 2))] == [1, 2]


def test_following_ends_with_a_sentence_when_the_keeper_ends_or_refuses(tmp_path: Path) -> None:
    with listening(tmp_path / "s", Odd.closes), pytest.raises(KeeperUnreachable, match="closed the connection"):
        asyncio.run(events_of(KeeperSocket(tmp_path / "s"), 0, 1))
    with listening(tmp_path / "s", Odd.refuses_and_closes), pytest.raises(RefusedError, match="you are nobody here"):
        asyncio.run(events_of(KeeperSocket(tmp_path / "s"), 0, 1))
    with pytest.raises(KeeperUnreachable, match="there is no socket"):
        asyncio.run(events_of(KeeperSocket(tmp_path / "s"), 0, 1))


@pytest.mark.parametrize("odd", [Odd.garbage, Odd.another_protocol])
def test_what_is_no_reply_is_one_sentence(odd: Any, tmp_path: Path) -> None:
    with listening(tmp_path / "s", odd), pytest.raises(ProtocolError, match="answered with what is no reply"):
        ask(tmp_path / "s", GRANT)


def test_who_was_asked_and_fell_silent_is_told_from_who_is_not_there(tmp_path: Path) -> None:
    with listening(tmp_path / "s", Odd.closes), pytest.raises(KeeperSilent):
        ask(tmp_path / "s", GRANT)
    with pytest.raises(KeeperUnreachable) as away:
        ask(tmp_path / "s", GRANT)
    assert not isinstance(away.value, KeeperSilent)


def test_asking_for_events_without_end_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="follow"):
        ask(tmp_path / "s", Events(follow=True))
