"""What mailtlsctl asks of the store: whom is meant, what comes first, and that damage of a row is no error."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
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

from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.conduct import Conduct, Series
from mailtls.core.keeperprotocol import Step
from mailtls.core.level import Level
from mailtls.edge.store import Store

HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailtls.db"


async def filled(path: Path) -> Store:
    """Six peers, each seen an hour before the one in front of it."""
    store = await opened(path)
    await store.commit(
        change(
            session("192.0.2.1", NOW, name="mx.example.com", delivered=True),
            failed("192.0.2.2", NOW - HOUR, name="MX2.Example.COM"),
            looked("192.0.2.130", NOW - 2 * HOUR),
            session("198.51.100.1", NOW - 3 * HOUR, name="notexample.com"),
            failed("2001:db8::1", NOW - 4 * HOUR, name="example.com"),
            looked("4.4.4.4", NOW - 5 * HOUR, name="a.mx.example.com"),
            conducts={
                "192.0.2.1": good(),
                "192.0.2.2": Conduct(series={(Cause.PEER_TOO_OLD, None): Series(count=1)}),
                "4.4.4.4": Conduct(scanner=True),
            },
        )
    )
    return store


EVERYBODY = ["192.0.2.1", "192.0.2.2", "192.0.2.130", "198.51.100.1", "2001:db8::1", "4.4.4.4"]


@pytest.mark.parametrize(
    ("whom", "meant"),
    [
        (None, EVERYBODY),
        ("192.0.2.1", ["192.0.2.1"]),
        ("2001:db8::1", ["2001:db8::1"]),
        ("2001:0DB8::0:1", ["2001:db8::1"]),
        ("192.0.2.0/25", ["192.0.2.1", "192.0.2.2"]),
        ("192.0.2.0/24", ["192.0.2.1", "192.0.2.2", "192.0.2.130"]),
        ("0.0.0.0/0", [ip for ip in EVERYBODY if ":" not in ip]),
        ("::/0", ["2001:db8::1"]),
        ("404::/16", []),
        ("mx.example.com", ["192.0.2.1"]),
        ("mx2.example.com", ["192.0.2.2"]),
        (".EXAMPLE.com", ["192.0.2.1", "192.0.2.2", "4.4.4.4"]),
        (".mx.example.com", ["4.4.4.4"]),
        ("example.com", ["2001:db8::1"]),
        ("%.example.com", []),
        ("mx_example.com", []),
        ("", []),
        ("192.0.2.9", []),
    ],
)
@in_loop
async def test_whom_is_an_address_a_network_a_name_or_a_domain(path: Path, whom: str | None, meant: list[str]) -> None:
    store = await filled(path)
    assert [peer.ip for peer in await store.peers(whom=whom)] == meant
    await store.close()


@in_loop
async def test_the_latest_come_first_whatever_they_are(path: Path) -> None:
    store = await filled(path)
    assert [peer.ip for peer in await store.peers(limit=3)] == EVERYBODY[:3]
    assert [peer.ip for peer in await store.peers(failing=True)] == ["192.0.2.2", "2001:db8::1"]
    assert [peer.ip for peer in await store.peers(failing=True, limit=1)] == ["192.0.2.2"]
    await store.close()


@in_loop
async def test_a_peer_is_told_with_everything_that_is_known(path: Path) -> None:
    store = await filled(path)
    await store.commit(change(session("192.0.2.2", NOW - 9 * HOUR, name="unknown", delivered=True)))
    peer = await store.peer("192.0.2.2")
    assert peer is not None
    assert (peer.ip, peer.name, peer.state) == ("192.0.2.2", "MX2.Example.COM", "failing")
    assert (peer.first_seen, peer.last_seen) == (NOW - 9 * HOUR, NOW - HOUR)
    assert (peer.sessions, peer.failures, peer.mails) == (2, 1, 1)
    assert (peer.cause, peer.reason, peer.tls_version) == (Cause.PEER_TOO_OLD, "unsupported protocol", "TLSv1.3")
    assert await store.peer("192.0.2.99") is None
    await store.close()


@in_loop
async def test_days_are_counted_by_kind_the_latest_first(path: Path) -> None:
    store = await opened(path)
    await store.commit(
        change(session(), failed(), failed(), session(at=NOW - DAY, delivered=True), session("192.0.2.8"))
    )
    days = await store.days("192.0.2.7")
    assert sorted((day.day, day.outcome, day.sessions, day.mails) for day in days) == [
        ("2026-11-20", "tls_ok", 1, 1),
        ("2026-11-21", "tls_failed", 2, 0),
        ("2026-11-21", "tls_ok", 1, 0),
    ]
    assert [day.day for day in days] == ["2026-11-21", "2026-11-21", "2026-11-20"]
    assert {day.cipher for day in days} == {None, "TLS_AES_256_GCM_SHA384"}
    assert await store.days("192.0.2.99") == []
    await store.close()


@in_loop
async def test_sessions_of_nobody_are_counted_apart(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session(None), session("unknown"), session()))
    assert sum(day.sessions for day in await store.days(None)) == 2
    assert [peer.ip for peer in await store.peers()] == ["192.0.2.7"]
    await store.close()


# --- history ------------------------------------------------------------------------------------------------------


async def eventful(path: Path) -> Store:
    """A decision each hour, and what became of it."""
    store = await filled(path)
    await store.commit(
        change(
            decisions=[
                decision(
                    "192.0.2.1", Action.WAIVE, at=NOW, level=Level.LEGACY, until=NOW + DAY, alternatives=("revoke",)
                ),
                decision("198.51.100.1", at=NOW + 2 * HOUR, name="notexample.com"),
                decision(None, at=NOW + 4 * HOUR),
                decision("192.0.2.0/24", Action.WITHDRAW, at=NOW + 6 * HOUR, name=None),
            ],
            events=[
                event(1, live("192.0.2.1"), at=NOW + HOUR, by="mailtlsd", why="asked"),
                event(2, live("192.0.2.0/25"), at=NOW + 3 * HOUR, step=Step.RENEWED),
                event(3, live("2001:db8::/32"), at=NOW + 5 * HOUR, step=Step.EXPIRED),
            ],
        )
    )
    return store


@pytest.mark.parametrize(
    ("whom", "hours"),
    [
        (None, [6, 5, 4, 3, 2, 1, 0]),
        ("192.0.2.1", [6, 3, 1, 0]),
        ("192.0.2.200", [6]),
        ("192.0.2.128/25", [6]),
        ("192.0.0.0/16", [6, 3, 1, 0]),
        ("198.51.100.0/24", [2]),
        ("2001:db8::1", [5]),
        ("mx.example.com", [1, 0]),
        (".com", [2, 1, 0]),
        ("notexample.com", [2]),
        ("nobody.example", []),
    ],
)
@in_loop
async def test_the_history_of_a_peer_holds_what_covers_it(path: Path, whom: str | None, hours: list[int]) -> None:
    """Decisions carry the name that a line printed, steps of waivers none: they are found by the name's addresses."""
    store = await eventful(path)
    assert [step.at for step in await store.history(whom)] == [NOW + hour * HOUR for hour in hours]
    await store.close()


@in_loop
async def test_a_limit_takes_the_latest_of_both_kinds(path: Path) -> None:
    store = await eventful(path)
    assert [(step.kind, step.ip) for step in await store.history(limit=3)] == [
        ("decision", "192.0.2.0/24"),
        ("waiver", "2001:db8::/32"),
        ("decision", None),
    ]
    await store.close()


@in_loop
async def test_a_step_is_told_with_everything_that_was_said(path: Path) -> None:
    store = await eventful(path)
    *_, step, decided = await store.history("192.0.2.1")
    assert (decided.action, decided.rule, decided.cause) == (Action.WAIVE, "policy", Cause.PEER_TOO_OLD)
    assert (decided.level, decided.until) == (Level.LEGACY, NOW + DAY)
    assert (decided.reasons, decided.evidence, decided.alternatives) == (("why",), ("a line",), ("revoke",))
    assert (step.step, step.by, step.level, step.until) == (Step.GRANTED, "mailtlsd", Level.LEGACY, NOW + 30 * DAY)
    assert step.reasons == ("asked", "old copier")
    await store.close()


@in_loop
async def test_rows_that_make_no_sense_are_left_out(path: Path) -> None:
    store = await eventful(path)
    await store.commit(change(waivers=(live("192.0.2.1"), live("192.0.2.2"))))
    rows(path, "UPDATE decisions SET said = '[' WHERE who = '192.0.2.1'")
    rows(path, "UPDATE decisions SET action = 'shrug' WHERE who IS NULL")
    rows(path, "UPDATE steps SET event = '{}' WHERE number = 2")
    rows(path, "UPDATE waivers SET waiver = '{}' WHERE network = '192.0.2.1'")
    assert len(await store.history()) == 4
    assert [waiver.network for waiver in await store.waivers()] == ["192.0.2.2"]
    assert [peer.waiver is not None for peer in await store.peers(whom="192.0.2.0/25")] == [False, True]
    rows(path, "UPDATE peers SET cause = 'whim' WHERE name = 'mx.example.com'")
    assert [peer.ip for peer in await store.peers()] == EVERYBODY[1:]
    await store.close()


# --- states and waivers -------------------------------------------------------------------------------------------


@in_loop
async def test_states_are_counted_and_a_waiver_is_stronger_than_any(path: Path) -> None:
    store = await filled(path)
    assert await store.counts() == {"ok": 2, "failing": 2, "waived": 0, "scanner": 1, "quiet": 1}
    both = (live("192.0.2.2"), live("192.0.2.0/25"), live("203.0.113.1"), live("2001:db8::/32"))
    await store.commit(change(waivers=both))
    assert await store.counts() == {"ok": 1, "failing": 0, "waived": 3, "scanner": 1, "quiet": 1}
    waived = {peer.ip: peer.waiver.network for peer in await store.peers() if peer.waiver is not None}
    assert waived == {"192.0.2.1": "192.0.2.0/25", "192.0.2.2": "192.0.2.2", "2001:db8::1": "2001:db8::/32"}
    assert [peer.state for peer in await store.peers(whom="192.0.2.0/25")] == ["waived", "waived"]
    await store.close()
