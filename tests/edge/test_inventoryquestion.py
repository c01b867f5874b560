"""What peers use at port 25, by what the store remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.edge.remembering import DAY, NOW, change, failed, in_loop, looked, opened, session
from tests.edge.test_storearrivals import ARRIVAL

from mailtls.core.arrival import MessageKind
from mailtls.core.cause import Service
from mailtls.core.controlprotocol import AskInventory, InventoryDay
from mailtls.core.peer import Peer

OLD = {"tls_version": "TLSv1", "cipher": "AES128-SHA"}


@in_loop
async def test_sessions_of_the_log_are_counted_by_kind_and_day_and_peers_once(tmp_path: Path) -> None:
    store = await opened(tmp_path / "mailtls.db")
    await store.commit(
        change(
            session("192.0.2.1", delivered=True, **OLD),
            session("192.0.2.1", NOW - DAY, delivered=True, **OLD),
            session("192.0.2.2", **OLD),
            session("192.0.2.3", service=Service.SUBMISSION, delivered=True, **OLD),
            session("192.0.2.4", NOW - 40 * DAY, delivered=True, **OLD),
            looked("192.0.2.5"),
            failed("192.0.2.6"),
        )
    )
    found = await store.inventory(AskInventory(), NOW)
    await store.close()
    assert (found.days, found.peers, found.failed_sessions, found.found) == (30, 4, 1, 2)
    old, plain = found.rows
    assert (old.source, old.encrypted, old.tls_version, old.cipher) == ("log", True, "TLSv1", "AES128-SHA")
    assert (old.key_exchange, old.server_key, old.client_certificate) == ("RSA", "RSA", None)
    assert (old.peers, old.sessions, old.messages) == (2, 3, 2)
    assert old.by_day == (
        InventoryDay(day="2026-11-20", peers=1, sessions=1, messages=1),
        InventoryDay(day="2026-11-21", peers=2, sessions=2, messages=1),
    )
    assert (plain.encrypted, plain.tls_version, plain.peers, plain.messages) == (False, None, 1, 0)


@in_loop
async def test_what_postfix_told_stands_in_a_book_of_its_own(tmp_path: Path) -> None:
    shown = MessageKind("strict", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", 128, "trusted")
    behind_the_gateway = MessageKind("sslv3", None, None, 0, "none")
    store = await opened(tmp_path / "mailtls.db")
    other = replace(ARRIVAL, peer=Peer("192.0.2.8", None))
    await store.commit(
        change(
            session("192.0.2.7", delivered=True),
            arrivals=[ARRIVAL, ARRIVAL, other, replace(other, kind=shown), replace(other, kind=behind_the_gateway)],
        )
    )
    found = await store.inventory(AskInventory(limit=3), NOW)
    await store.close()
    assert (found.peers, found.found) == (2, 4)
    most, *rest = found.rows
    assert (most.source, most.tls_version, most.peers, most.messages, most.sessions) == ("postfix", "TLSv1.3", 2, 3, 0)
    assert (most.key_exchange, most.server_key, most.client_certificate) == (None, None, "none")
    kinds = {(row.source, row.door, row.encrypted, row.key_exchange, row.server_key, row.client_certificate) for row in rest}
    assert kinds == {
        ("postfix", "sslv3", True, None, None, "none"),
        ("postfix", "strict", True, "ECDHE", "ECDSA", "trusted"),
    }


@in_loop
async def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    store = await opened(tmp_path / "mailtls.db")
    found = await store.inventory(AskInventory(), NOW)
    await store.close()
    assert (found.peers, found.failed_sessions, found.rows) == (0, 0, ())
