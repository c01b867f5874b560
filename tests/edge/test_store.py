"""The store remembers what it was given, once, and all of a change or nothing."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.remembering import (
    DAY,
    NOW,
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

from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.conduct import Conduct, Series
from mailtls.core.conductrecord import distrusted
from mailtls.core.session import Session
from mailtls.edge import store as module
from mailtls.edge.store import Change, Position, Store
from mailtls.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailtls.db"


@in_loop
async def test_everything_is_there_after_a_restart(path: Path) -> None:
    store = await opened(path)
    failing = Conduct(series={(Cause.PEER_TOO_OLD, 0x102): Series([NOW], 1, NOW)}, evidence=["a line"])
    await store.commit(
        change(
            session("192.0.2.1"), failed("2001:db8::1"), session(None),
            conducts={"192.0.2.1": good(), "2001:db8::1": failing},
            decisions=[decision("2001:db8::1")], events=[event(7)], waivers=(live("192.0.2.1"),), position="99",
        )
    )  # fmt: skip
    before = await everything(store)
    await store.close()
    again = await opened(path)
    assert await everything(again) == before
    assert await again.conducts(["192.0.2.1", "2001:db8::1", "192.0.2.9"]) == {
        "192.0.2.1": good(),
        "2001:db8::1": failing,
    }
    assert await again.position("mail.log") == Position("99", None, NOW)
    assert await again.position("another.log") is None
    assert await again.last_event() == 7
    await again.close()


async def everything(store: Store) -> list[object]:
    peers = await store.peers()
    days = [await store.days(ip) for ip in (None, *(peer.ip for peer in peers))]
    return [peers, days, await store.history(), await store.waivers(), await store.counts()]


IPS = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "unknown"]
ANY_SESSION = st.builds(
    lambda make, ip, hours, service, name: make(ip, NOW - timedelta(hours=hours), service=service, name=name),
    st.sampled_from([session, failed, looked]),
    st.sampled_from(IPS),
    st.integers(0, 100),
    st.sampled_from([Service.SMTPD, Service.IMAP]),
    st.sampled_from(["unknown", "mx.example.com", None]),
)


@settings(max_examples=25)
@given(st.lists(st.lists(ANY_SESSION, max_size=5), max_size=6))
def test_it_does_not_matter_how_sessions_are_cut_into_batches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Session]]
) -> None:
    async def remembered(cut: list[list[Session]]) -> list[object]:
        store = await opened(tmp_path_factory.mktemp("cut") / "mailtls.db")
        for batch in cut:
            await store.commit(change(*batch))
        found = [sorted(await store.peers(), key=lambda peer: peer.ip), await store.counts()]
        for ip in (None, *IPS):
            found.append({(day.day, day.service, day.outcome): day.sessions for day in await store.days(ip)})
        await store.close()
        return found

    whole = [list(itertools.chain(*batches))]
    assert asyncio.run(remembered(batches)) == asyncio.run(remembered(whole))


@in_loop
async def test_a_change_is_empty_when_it_was_committed(path: Path) -> None:
    """Whoever commits it again, because he was cancelled before he heard, counts nothing twice."""
    store = await opened(path)
    one = change(session(), decisions=[decision()], waivers=(live(),), position="1")
    await store.commit(one)
    assert one == Change()
    await store.commit(one)
    assert [peer.sessions for peer in await store.peers()] == [1]
    assert len(await store.history()) == 1
    assert len(await store.waivers()) == 1
    await store.close()


@in_loop
async def test_a_change_that_failed_is_whole_again_in_front_of_what_came_meanwhile(path: Path) -> None:
    store = await opened(path)
    await store.close()
    early, late = session("192.0.2.1"), session("192.0.2.2")
    one = change(early, conducts={"192.0.2.1": Conduct(), "192.0.2.9": good()}, events=[event(1)], position="1")
    committing = asyncio.create_task(store.commit(one))
    await asyncio.sleep(0)
    assert not one.sessions, "the commit has begun"
    one.sessions.append(late)
    one.conducts["192.0.2.1"] = good()
    one.waivers = (live(),)
    with pytest.raises(StoreError):
        await committing
    assert one.sessions == [early, late]
    assert one.conducts == {"192.0.2.1": good(), "192.0.2.9": good()}
    assert (len(one.events), one.waivers, list(one.positions)) == (1, (live(),), ["mail.log"])


@in_loop
async def test_a_commit_that_is_cancelled_is_finished(path: Path) -> None:
    store = await opened(path)
    one = change(*(session(f"192.0.2.{number}") for number in range(200)), position="200")
    committing = asyncio.create_task(store.commit(one))
    await asyncio.sleep(0)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert one == Change()
    assert len(await store.peers()) == 200
    await store.close()


@in_loop
async def test_a_commit_that_is_cancelled_and_fails_keeps_everything(path: Path) -> None:
    store = await opened(path)
    one = change(session(), position="1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        committing = asyncio.create_task(store.commit(one))
        await asyncio.sleep(0)
        assert not one.sessions, "the commit has begun"
        for _ in range(3):
            committing.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await committing
    assert (len(one.sessions), list(one.positions)) == (1, ["mail.log"])
    assert await store.peers() == []
    await store.close()


@in_loop
async def test_a_fault_in_the_middle_of_a_change_leaves_nothing_of_it(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session(), position="1"))
    trigger = "CREATE TRIGGER t BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'the middle'); END"
    rows(path, trigger)
    one = change(session("192.0.2.8"), decisions=[decision()], position="2")
    with pytest.raises(StoreError, match="the middle"):
        await store.commit(one)
    assert [peer.ip for peer in await store.peers()] == ["192.0.2.7"]
    assert (await store.position("mail.log")) == Position("1", None, NOW)
    assert rows(path, "SELECT sum(sessions) FROM days") == [(1,)]
    rows(path, "DROP TRIGGER t")
    await store.commit(one)
    assert rows(path, "SELECT sum(sessions), count(*) FROM days") == [(2, 2)]
    assert (await store.position("mail.log")) == Position("2", None, NOW)
    await store.close()


@in_loop
async def test_kinds_of_a_commit_that_failed_are_not_taken_for_known(path: Path) -> None:
    store = await opened(path)
    rows(path, "CREATE TRIGGER t BEFORE INSERT ON positions BEGIN SELECT RAISE(ABORT, 'late'); END")
    one = change(failed(), position="1")
    with pytest.raises(StoreError):
        await store.commit(one)
    rows(path, "DROP TRIGGER t")
    await store.commit(change(session()))
    await store.commit(one)
    assert {day.outcome for day in await store.days("192.0.2.7")} == {Outcome.TLS_OK, Outcome.TLS_FAILED}
    await store.close()


@in_loop
async def test_events_that_are_told_again_are_remembered_once(path: Path) -> None:
    store = await opened(path)
    for _ in range(2):
        await store.commit(change(events=[event(1), event(2)]))
    assert len(await store.history()) == 2
    await store.commit(change(events=[event(1, at=NOW + DAY)]))
    assert len(await store.history()) == 3, "a keeper whose ledger was replaced counts from 1 again"
    assert await store.last_event() == 1
    await store.close()


@in_loop
async def test_the_list_of_waivers_becomes_what_was_told(path: Path) -> None:
    store = await opened(path)
    first, second = live("192.0.2.1"), live("192.0.2.0/24")
    for told in (
        (first, second),
        (second,),
        (),
        (first, live("2001:db8::/32")),
        (first.model_copy(update={"generation": 2}),),
    ):
        await store.commit(change(waivers=told))
        assert sorted(await store.waivers(), key=str) == sorted(told, key=str)
        await store.commit(change(waivers=None))
        assert len(await store.waivers()) == len(told)
    await store.close()
    again = await opened(path)
    await again.commit(change(waivers=(second,)))
    assert await again.waivers() == [second]
    await again.close()


@in_loop
async def test_a_waiver_that_did_not_change_is_not_written_again(path: Path) -> None:
    store = await opened(path)
    many = tuple(live(f"192.0.2.{number}") for number in range(50))
    await store.commit(change(waivers=many))
    rows(path, "CREATE TABLE written (network)")
    rows(path, "CREATE TRIGGER t AFTER UPDATE ON waivers BEGIN INSERT INTO written VALUES (new.network); END")
    renewed = many[3].model_copy(update={"generation": 2})
    await store.commit(change(waivers=(*many[:3], renewed, *many[4:])))
    assert rows(path, "SELECT network FROM written") == [("192.0.2.3",)]
    await store.close()


@in_loop
async def test_a_damaged_conduct_is_distrusted_and_counted(path: Path) -> None:
    store = await opened(path)
    await store.commit(
        change(session("192.0.2.1"), session("192.0.2.2"), conducts={"192.0.2.1": good(), "192.0.2.2": good()})
    )
    rows(path, "UPDATE peers SET conduct = replace(conduct, 'good', 'evil') WHERE id = 1")
    assert await store.conducts(["192.0.2.1", "192.0.2.2"]) == {"192.0.2.1": distrusted(), "192.0.2.2": good()}
    assert store.damaged == 1
    rows(path, "UPDATE peers SET conduct = x'00ff' WHERE id = 1")
    assert await store.conducts(["192.0.2.1"]) == {"192.0.2.1": distrusted()}
    await store.close()


@in_loop
async def test_conducts_of_many_are_found_in_one_go(path: Path) -> None:
    store = await opened(path)
    ips = [f"10.0.{number >> 8}.{number & 255}" for number in range(2 * module.AT_ONCE + 1)]
    await store.commit(change(conducts={ip: good(ip) for ip in ips}))
    found = await store.conducts([*ips, "unknown", "192.0.2.99"])
    assert {ip: conduct.name for ip, conduct in found.items()} == {ip: ip for ip in ips}
    assert {peer.ip: peer.name for peer in await store.peers(limit=5000)} == {ip: ip for ip in ips}
    await store.close()


@in_loop
async def test_other_services_leave_conduct_and_state_as_they_are(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session(), conducts={"192.0.2.7": good()}))
    await store.commit(change(failed(service=Service.IMAP)))
    (peer,) = await store.peers()
    assert (peer.state, peer.sessions, peer.failures) == ("ok", 2, 1)
    assert await store.conducts(["192.0.2.7"]) == {"192.0.2.7": good()}
    await store.close()


@in_loop
async def test_a_peer_of_other_services_only_has_a_state_and_no_conduct(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(failed(service=Service.IMAP)))
    assert await store.conducts(["192.0.2.7"]) == {}
    assert await store.counts() == {"ok": 0, "failing": 1, "waived": 0, "scanner": 0, "quiet": 0}
    await store.close()


@in_loop
async def test_kinds_of_sessions_are_bounded_whatever_ciphers_strangers_invent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KINDS", 10)
    store = await opened(path)
    for start in (0, 50, 100):
        await store.commit(change(*(session(cipher=f"CIPHER-{start + number}") for number in range(50))))
    days = await store.days("192.0.2.7")
    assert rows(path, "SELECT count(*) FROM kinds") == [(11,)]
    assert sum(day.sessions for day in days) == 150
    assert sum(day.sessions for day in days if day.cipher == "other") == 140
    await store.close()


@in_loop
async def test_nothing_is_an_empty_commit(path: Path) -> None:
    store = await opened(path)
    await store.commit(Change())
    assert await store.peers() == []
    assert await store.last_event() == 0
    await store.close()


@pytest.mark.parametrize(("quick", "known"), [(60.0, 2), (0.0, 1)], ids=["quick", "slow"])
@in_loop
async def test_what_takes_long_to_count_is_not_counted_for_everybody_who_asks(
    path: Path, monkeypatch: pytest.MonkeyPatch, quick: float, known: int
) -> None:
    monkeypatch.setattr(module, "COUNT_QUICK", quick)
    monkeypatch.setattr(module, "COUNT_PAUSE", 10**6)
    store = await opened(path)
    await store.commit(change(session("192.0.2.1")))
    assert (await store.counts())["ok"] == 1
    await store.commit(change(session("192.0.2.2")))
    assert (await store.counts())["ok"] == known
    await store.close()
