"""Who would be lost by a higher floor, by what the store remembers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.edge.remembering import DAY, NOW, change, failed, in_loop, opened, session

from mailtls.core.cause import Door, Service
from mailtls.core.clienthello import ClientHello
from mailtls.core.controlprotocol import AskFloor, FloorForecast
from mailtls.core.floor import Fate
from mailtls.core.hellobook import HeardHello
from mailtls.core.postfixview import Offering
from mailtls.core.serverprofile import profile_of
from mailtls.core.session import Session
from mailtls.core.suite import KeyType

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


NO_RSA = AskFloor(without_rsa=True)
TLS12 = ClientHello(0x0303, (0xC02F, 0xC02B), groups=(0x17,), signatures=(0x0403, 0x0401), extensions=(10, 13))
RSA_ONLY = replace(TLS12, ciphers=(0xC02F,))
TLS13 = replace(TLS12, ciphers=(0x1302, 0xC02F), versions=(0x0304, 0x0303), key_shares=(0x17,), extensions=(10, 13, 43, 51))
TLS13_OF_RSA = replace(TLS13, signatures=(0x0804, 0x0401))
STRICT = profile_of(
    Offering(
        versions=("TLSv1.2", "TLSv1.3"),
        certificates=(KeyType.RSA, KeyType.ECDSA),
        ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    )
)


async def asked_with_hellos(path: Path, ask: AskFloor, hellos: dict[str, ClientHello], *sessions: Session) -> FloorForecast:
    """Remember the sessions and the hellos, and ask where the strict door is known."""
    store = await opened(path)
    try:
        written = change(*sessions)
        written.hellos = {ip: HeardHello(NOW.timestamp(), hello) for ip, hello in hellos.items()}
        await store.commit(written)
        return await store.floor(ask, NOW, STRICT)
    finally:
        await store.close()


@in_loop
async def test_stored_hellos_tell_who_has_something_else(path: Path) -> None:
    hellos = {
        "192.0.2.1": TLS12,
        "192.0.2.2": RSA_ONLY,
        "192.0.2.4": TLS13,  # which does not lead to what was logged
        "192.0.2.5": TLS13,
        "192.0.2.6": TLS13_OF_RSA,
        "192.0.2.7": TLS13_OF_RSA,
    }
    used = [session(f"192.0.2.{number}", NOW, **RSA) for number in range(1, 5)]
    used += [session(f"192.0.2.{number}", NOW, delivered=number == 6) for number in range(5, 9)]
    used += [session("192.0.2.7", NOW, tls_version="TLSv1.2", cipher="ECDHE-ECDSA-AES128-GCM-SHA256")]
    found = await asked_with_hellos(path, NO_RSA, hellos, *used)
    assert (found.sessions, found.touched, found.spared) == (9, 5, 1)
    assert [(peer.ip, peer.fate, peer.sessions, peer.all_sessions, peer.by_hello) for peer in found.peers] == [
        ("192.0.2.6", Fate.LOST, 1, 1, "no suitable signature algorithm"),
        ("192.0.2.2", Fate.LOST, 1, 1, "no shared cipher"),
        ("192.0.2.7", Fate.PARTLY, 1, 2, "no suitable signature algorithm"),
        ("192.0.2.3", Fate.DOUBTFUL, 1, 1, None),
        ("192.0.2.4", Fate.DOUBTFUL, 1, 1, None),
    ]


@in_loop
async def test_without_the_door_hellos_say_nothing_and_many_are_judged_in_lots(path: Path) -> None:
    ips = [f"10.0.{number >> 8}.{number & 255}" for number in range(1200)]
    hellos = {ip: replace(TLS13_OF_RSA, server_name=f"{ip}.example") for ip in ips}
    found = await asked_with_hellos(path, NO_RSA, hellos, *(session(ip, NOW) for ip in ips))
    assert (found.touched, found.spared, {peer.fate for peer in found.peers}) == (1200, 0, {Fate.LOST})
    store = await opened(path)
    assert (await store.floor(NO_RSA, NOW)).touched == 0
    later = await store.floor(AskFloor(without_rsa=True, days=1), NOW + 2 * DAY, STRICT)
    assert (later.touched, later.sessions) == (0, 0)
    await store.close()


@in_loop
async def test_an_empty_store_loses_nobody(path: Path) -> None:
    assert await asked(path, AskFloor(version="TLSv1.3")) == FloorForecast(days=30, sessions=0, touched=0, peers=())
