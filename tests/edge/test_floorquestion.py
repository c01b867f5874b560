"""Who would be lost by a higher floor, by what the store remembers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.edge.remembering import DAY, NOW, change, failed, in_loop, opened, session

from mailtls.core.cause import Door, Service
from mailtls.core.controlprotocol import AskFloor, FloorForecast
from mailtls.core.floor import Fate
from mailtls.core.session import Session

OLD = {"tls_version": "TLSv1", "cipher": "AES128-SHA"}
RSA = {"tls_version": "TLSv1.2", "cipher": "ECDHE-RSA-AES128-GCM-SHA256"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailtls.db"


async def asked(path: Path, ask: AskFloor, *sessions: Session) -> FloorForecast:
    """Remember the sessions, and ask."""
    store = await opened(path)
    try:
        await store.commit(change(*sessions))
        return await store.floor(ask, NOW)
    finally:
        await store.close()


@in_loop
async def test_peers_are_told_with_their_mails_the_surest_first(path: Path) -> None:
    found = await asked(
        path,
        AskFloor(version="TLSv1.2", without_rsa=True),
        session("192.0.2.1", NOW, delivered=True),
        session("192.0.2.2", NOW, delivered=True, **OLD),
        session("192.0.2.2", NOW - DAY, delivered=True, **OLD),
        session("192.0.2.3", NOW, **OLD),
        session("192.0.2.3", NOW),
        session("192.0.2.4", NOW, delivered=True, **RSA),
    )
    assert (found.sessions, found.touched, found.days) == (6, 3, 30)
    assert [(peer.ip, peer.fate, peer.mails, peer.sessions, peer.all_sessions) for peer in found.peers] == [
        ("192.0.2.2", Fate.LOST, 2, 2, 2),
        ("192.0.2.3", Fate.PARTLY, 0, 1, 2),
        ("192.0.2.4", Fate.DOUBTFUL, 1, 1, 1),
    ]
    assert found.peers[0].used == ("TLSv1 with AES128-SHA",)
    assert found.peers[0].last_day == "2026-11-21"


@in_loop
async def test_only_the_strict_door_of_port_25_counts_and_only_what_came_about(path: Path) -> None:
    found = await asked(
        path,
        AskFloor(version="TLSv1.2"),
        session("192.0.2.1", NOW, door=Door.LEGACY, **OLD),
        session("192.0.2.2", NOW, service=Service.SUBMISSION, **OLD),
        failed("192.0.2.3", NOW, **OLD),
        session(None, NOW, **OLD),
        session("192.0.2.5", NOW, service=Service.POSTSCREEN, **OLD),
    )
    assert [peer.ip for peer in found.peers] == ["192.0.2.5"]


@pytest.mark.parametrize(("days", "seen"), [(1, 1), (2, 2), (30, 2), (31, 3)])
def test_only_so_many_days_are_counted(path: Path, days: int, seen: int) -> None:
    ages = [timedelta(0), DAY, 30 * DAY]
    old = [session(f"192.0.2.{number}", NOW - age, **OLD) for number, age in enumerate(ages)]

    @in_loop
    async def ask() -> None:
        assert (await asked(path, AskFloor(version="TLSv1.2", days=days), *old)).touched == seen

    ask()


@in_loop
async def test_a_limit_leaves_the_number_of_all(path: Path) -> None:
    many = [session(f"10.0.{number >> 8}.{number & 255}", NOW, **OLD) for number in range(1200)]
    found = await asked(path, AskFloor(version="TLSv1.3", limit=10), *many)
    assert (found.touched, len(found.peers), found.peers[0].all_sessions) == (1200, 10, 1)


@in_loop
async def test_a_list_of_ciphers_is_a_floor_too(path: Path) -> None:
    ask = AskFloor(ciphers=("ECDHE-RSA-AES128-GCM-SHA256",))
    found = await asked(path, ask, session("192.0.2.1", NOW, **OLD), session("192.0.2.2", NOW, **RSA))
    assert [(peer.ip, peer.fate) for peer in found.peers] == [("192.0.2.1", Fate.DOUBTFUL)]


@in_loop
async def test_an_empty_store_loses_nobody(path: Path) -> None:
    assert await asked(path, AskFloor(version="TLSv1.3")) == FloorForecast(days=30, sessions=0, touched=0, peers=())
