"""What is forgotten: what was not seen for long, and the quietest strangers where there are too many; never a waiver."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.edge.remembering import (
    DAY,
    NOW,
    addresses,
    change,
    decision,
    event,
    failed,
    good,
    in_loop,
    live,
    looked,
    opened,
    rows,
    session,
)

from mailtls.core.action import Action
from mailtls.edge import storeretention
from mailtls.edge.storeretention import SLACK, Bounds

PEERS, STRANGERS = 400 * DAY, 30 * DAY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailtls.db"


def size_of(path: Path) -> int:
    return path.stat().st_size


def known(path: Path) -> int:
    return int(rows(path, "SELECT count(*) FROM peers")[0][0])


@pytest.mark.parametrize(
    ("make", "age", "kept"),
    [
        (session, 400 * DAY - timedelta(seconds=1), True),
        (session, 400 * DAY + timedelta(seconds=1), False),
        (looked, 30 * DAY - timedelta(seconds=1), True),
        (looked, 30 * DAY + timedelta(seconds=1), False),
        (failed, 30 * DAY + timedelta(seconds=1), False),
    ],
)
@in_loop
async def test_peers_are_forgotten_when_they_were_not_seen_for_long(
    path: Path, make: object, age: timedelta, kept: bool
) -> None:
    store = await opened(path)
    one = make(at=NOW - age)  # type: ignore[operator]
    await store.commit(change(one, session("192.0.2.8"), decisions=[decision(at=NOW), decision("192.0.2.8")]))
    assert await store.forget(NOW, PEERS, STRANGERS) == (not kept)
    assert known(path) == 1 + kept
    assert rows(path, "SELECT count(*) FROM decisions") == [(1 + kept,)]
    assert rows(path, "SELECT count(DISTINCT peer) FROM days") == [(1 + kept,)]
    await store.close()


@in_loop
async def test_a_peer_that_comes_back_is_not_forgotten_but_its_old_days_are(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session(at=NOW - 500 * DAY), session(at=NOW - 399 * DAY), session(at=NOW)))
    assert await store.forget(NOW, PEERS, STRANGERS) == 0
    assert [day.day for day in await store.days("192.0.2.7")] == ["2026-11-21", "2025-10-18"]
    (peer,) = await store.peers()
    assert (peer.sessions, peer.first_seen) == (3, NOW - 500 * DAY)
    await store.close()


@in_loop
async def test_days_are_looked_through_in_ranges_once_a_day(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storeretention, "RANGE", 7)
    store = await opened(path)
    ips = list(addresses(30))
    await store.commit(change(*(session(ip, at) for ip in ips for at in (NOW, NOW - 500 * DAY))))
    await store.forget(NOW, PEERS, STRANGERS)
    assert rows(path, "SELECT count(*) FROM days") == [(30,)]
    await store.commit(change(*(session(ip, NOW - 500 * DAY) for ip in ips)))
    await store.forget(NOW + timedelta(minutes=1), PEERS, STRANGERS)
    assert rows(path, "SELECT count(*) FROM days") == [(60,)]
    await store.forget(NOW + DAY, PEERS, STRANGERS)
    assert rows(path, "SELECT count(*) FROM days") == [(30,)]
    await store.close()


@in_loop
async def test_whoever_has_a_waiver_is_not_forgotten_nor_what_was_done_about_him(path: Path) -> None:
    store = await opened(path)
    old = NOW - 500 * DAY
    ips = ["192.0.2.7", "198.51.100.7", "203.0.113.7", "2001:db8::7"]
    waivers = (live("192.0.2.7"), live("198.51.100.0/24"), live("2001:db8::/32"))
    await store.commit(
        change(
            *(failed(ip, old) for ip in ips),
            events=[event(number, live(ip), at=old) for number, ip in enumerate(ips)],
            waivers=waivers,
        )
    )
    assert await store.forget(NOW, PEERS, STRANGERS) == 1
    assert sorted(peer.ip for peer in await store.peers()) == sorted(set(ips) - {"203.0.113.7"})
    assert sorted(step.ip or "" for step in await store.history()) == sorted(set(ips) - {"203.0.113.7"})
    await store.commit(change(waivers=()))
    assert await store.forget(NOW, PEERS, STRANGERS) == 3
    assert await store.history() == []
    await store.close()


@in_loop
async def test_room_that_becomes_free_is_given_back_to_the_disk(path: Path) -> None:
    store = await opened(path)
    ips = list(addresses(5000))
    await store.commit(change(*(looked(ip, NOW - 60 * DAY) for ip in ips), conducts={ip: good(ip) for ip in ips}))
    rows(path, "UPDATE peers SET proven = 0")
    await store.close()
    full = size_of(path)
    store = await opened(path)
    assert await store.forget(NOW, PEERS, STRANGERS) == 5000
    await store.close()
    assert size_of(path) < full / 4


@in_loop
async def test_others_are_served_while_much_is_forgotten(path: Path) -> None:
    """A round takes many transactions, and a commit waits for one of them at most."""
    store = await opened(path)
    await store.commit(change(*(looked(ip, NOW - 60 * DAY) for ip in addresses(3000)), session("192.0.2.1")))
    forgetting = asyncio.create_task(store.forget(NOW, PEERS, STRANGERS))
    while known(path) > 3000:  # noqa: ASYNC110  (what is waited for is in the file)
        await asyncio.sleep(0)
    await store.commit(change(session("192.0.2.1")))
    assert not forgetting.done()
    assert await forgetting == 3000
    assert [peer.sessions for peer in await store.peers()] == [2]
    await store.close()


# --- bounds -------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_flood_of_strangers_is_bounded_and_drives_nobody_else_out(path: Path) -> None:
    bounds = Bounds(peers=10_000, strangers=1_000, decisions=200)
    store = await opened(path, bounds)
    friends, waived = list(addresses(300, "172.16.0.0")), "192.0.2.7"
    long_ago = NOW - 20 * DAY
    await store.commit(
        change(
            *(session(ip, long_ago) for ip in friends), failed(waived, long_ago),
            conducts={ip: good(ip) for ip in friends}, waivers=(live(waived),),
            decisions=[decision(waived, Action.WAIVE, at=long_ago), decision(friends[0], Action.PROPOSE, at=long_ago)],
        )
    )  # fmt: skip
    flood = list(addresses(20_000))
    for start in range(0, len(flood), 250):
        some, at = flood[start : start + 250], NOW - 10 * DAY + timedelta(seconds=start)
        await store.commit(change(*(failed(ip, at) for ip in some), decisions=[decision(ip, at=at) for ip in some]))
        assert known(path) <= 300 + 1 + bounds.strangers + 250
        assert rows(path, "SELECT count(*) FROM decisions")[0][0] <= bounds.decisions
    assert len(await store.conducts(friends)) == 300
    assert await store.peer(waived) is not None
    assert {step.action for step in await store.history(limit=1000)} == {Action.WAIVE, Action.PROPOSE, Action.ADVISE}
    assert await store.peer(flood[0]) is None, "the quietest went first"
    assert await store.peer(flood[-1]) is not None
    assert rows(path, "SELECT count(*) FROM days WHERE peer NOT IN (SELECT id FROM peers)") == [(0,)]
    await store.close()


@in_loop
async def test_where_all_are_proven_the_quietest_goes_and_the_waived_stay(path: Path) -> None:
    store = await opened(path, Bounds(peers=100, strangers=50, decisions=100))
    ips = list(addresses(150))
    waived = ips[0]
    for number, ip in enumerate(ips):
        standing = (live(waived),) if number == 0 else None
        await store.commit(change(session(ip, NOW - (150 - number) * DAY / 10), waivers=standing))
        assert known(path) <= 100
    left = [peer.ip for peer in await store.peers()]
    assert waived in left
    assert set(ips[-100 + 100 // SLACK :]) <= set(left)
    await store.close()


@in_loop
async def test_where_everybody_has_a_waiver_nobody_is_forgotten(path: Path) -> None:
    store = await opened(path, Bounds(peers=10, strangers=10, decisions=10))
    ips = list(addresses(20))
    await store.commit(change(*map(failed, ips), waivers=tuple(map(live, ips))))
    await store.commit(change(*map(failed, ips)))
    assert known(path) == 20
    await store.close()


@in_loop
async def test_bounds_hold_after_a_restart(path: Path) -> None:
    bounds = Bounds(peers=100, strangers=50, decisions=100)
    for start in range(4):
        store = await opened(path, bounds)
        ips = [f"10.0.{start}.{number}" for number in range(40)]
        await store.commit(change(*(looked(ip, NOW + start * timedelta(seconds=1)) for ip in ips)))
        await store.close()
    assert known(path) <= 50


@in_loop
async def test_a_good_history_that_only_the_conduct_tells_of_counts(path: Path) -> None:
    """All that came since the file was begun is failures, but the decider knows better."""
    store = await opened(path)
    await store.commit(change(failed(at=NOW - 60 * DAY), conducts={"192.0.2.7": good()}))
    assert await store.forget(NOW, PEERS, STRANGERS) == 0
    assert await store.forget(NOW + 341 * DAY, PEERS, STRANGERS) == 1
    await store.close()


@in_loop
async def test_a_stranger_is_not_remembered_longer_than_anybody(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(looked(at=NOW - 20 * DAY)))
    assert await store.forget(NOW, 10 * DAY, STRANGERS) == 1
    await store.close()


@in_loop
async def test_a_decision_about_a_network_outlives_the_peer_whose_address_begins_it(path: Path) -> None:
    store = await opened(path)
    decided = [decision("192.0.2.0"), decision("192.0.2.0/24", Action.WITHDRAW)]
    await store.commit(change(looked("192.0.2.0", NOW - 60 * DAY), decisions=decided))
    assert await store.forget(NOW, PEERS, STRANGERS) == 1
    assert [step.ip for step in await store.history()] == ["192.0.2.0/24"]
    await store.close()


@in_loop
async def test_what_was_done_stays_however_much_it_is(path: Path) -> None:
    store = await opened(path, Bounds(peers=100, strangers=100, decisions=10))
    done = [decision(ip, Action.WAIVE) for ip in addresses(30)]
    await store.commit(change(decisions=[*done, decision(action=Action.PROPOSE), decision()]))
    assert [step.action for step in await store.history()] == [Action.WAIVE] * 30
    await store.close()


@in_loop
async def test_whoever_once_got_through_is_no_stranger_when_he_fails(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session(at=NOW - 90 * DAY)))
    await store.commit(change(failed(at=NOW - 60 * DAY)))
    assert await store.forget(NOW, PEERS, STRANGERS) == 0
    await store.close()
