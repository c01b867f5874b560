"""What Postfix itself told of messages, in the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.edge.remembering import DAY, NOW, change, in_loop, opened, rows, session

from mailtls.core.arrival import Arrival, MessageKind
from mailtls.core.peer import Peer
from mailtls.core.proof import Standing
from mailtls.core.tlsversion import TLS13
from mailtls.edge import storearrivals

KIND = MessageKind("strict", "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, "none")
ARRIVAL = Arrival(
    at=NOW,
    peer=Peer("192.0.2.7", "mx.example.com"),
    kind=KIND,
    version=TLS13,
    port=4000,
    helo="mx.example.com",
    sender_domain="example.com",
    standing=Standing(3, TLS13, NOW),
)


@in_loop
async def test_messages_are_counted_by_day_and_kind_and_the_last_one_is_told(tmp_path: Path) -> None:
    store = await opened(tmp_path / "mailtls.db")
    await store.commit(change(arrivals=[ARRIVAL, ARRIVAL, replace(ARRIVAL, at=NOW - DAY)]))
    plain = replace(ARRIVAL, kind=MessageKind("strict", None, None, 0, "none"), version=None, alarm="odd")
    await store.commit(change(arrivals=[plain]))
    counts = [(each.day, each.tls_version, each.messages) for each in await store.messages("192.0.2.7")]
    assert counts == [("2026-11-21", "TLSv1.3", 2), ("2026-11-21", None, 1), ("2026-11-20", "TLSv1.3", 1)]
    last = await store.last_arrival("192.0.2.7")
    assert last is not None
    assert (last.tls_version, last.helo, last.sender_domain, last.alarm) == (None, "mx.example.com", "example.com", "odd")
    assert await store.last_arrival("192.0.2.8") is None
    await store.commit(change(arrivals=[ARRIVAL]))
    last = await store.last_arrival("192.0.2.7")
    assert last is not None
    assert (last.tls_version, last.alarm) == ("TLSv1.3", "odd"), "an alarm stays until the next one"
    await store.close()


@in_loop
async def test_a_peer_that_no_log_tells_of_is_known_and_its_sessions_are_the_logs(tmp_path: Path) -> None:
    store = await opened(tmp_path / "mailtls.db")
    await store.commit(change(arrivals=[ARRIVAL]))
    (peer,) = await store.peers()
    assert (peer.ip, peer.name, peer.sessions, peer.mails) == ("192.0.2.7", "mx.example.com", 0, 0)
    assert peer.tls_version == "TLSv1.3"
    await store.commit(change(session(tls_version=None, cipher=None, delivered=True), arrivals=[ARRIVAL]))
    (peer,) = await store.peers()
    assert (peer.sessions, peer.mails, peer.tls_version) == (1, 1, "TLSv1.3")
    await store.close()


@in_loop
async def test_what_was_proven_is_recalled_the_latest_at_the_end(tmp_path: Path) -> None:
    store = await opened(tmp_path / "mailtls.db")
    others = [
        replace(ARRIVAL, peer=Peer("192.0.2.8"), standing=Standing(9, TLS13, NOW - 2 * DAY)),
        replace(ARRIVAL, peer=Peer("192.0.2.9"), standing=Standing(0)),
        replace(ARRIVAL, peer=Peer("192.0.2.10"), standing=Standing(30, TLS13, NOW - 91 * DAY)),
    ]
    await store.commit(change(arrivals=[ARRIVAL, *others]))
    found = await store.standings(NOW - 90 * DAY, 10)
    assert [(ip, standing.sessions) for ip, standing in found] == [("192.0.2.8", 9), ("192.0.2.7", 3)]
    assert [ip for ip, _ in await store.standings(NOW - 90 * DAY, 1)] == ["192.0.2.7"]
    await store.close()


@in_loop
async def test_an_alarm_alone_counts_no_message(tmp_path: Path) -> None:
    store = await opened(tmp_path / "mailtls.db")
    await store.commit(change(arrivals=[replace(ARRIVAL, counted=False, alarm="too large")]))
    assert await store.messages("192.0.2.7") == []
    last = await store.last_arrival("192.0.2.7")
    assert last is not None
    assert last.alarm == "too large"
    await store.close()


@in_loop
async def test_what_is_forgotten_of_a_peer_is_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    store = await opened(path)
    old = replace(ARRIVAL, at=NOW - 500 * DAY)
    await store.commit(change(arrivals=[old, replace(ARRIVAL, peer=Peer("192.0.2.8"))]))
    await store.commit(change(arrivals=[replace(old, peer=Peer("192.0.2.8"))]))
    await store.forget(NOW, 400 * DAY, timedelta(days=30))
    assert rows(path, "SELECT count(*) FROM arrivals") == [(1,)]
    assert rows(path, "SELECT day FROM messages") == [(int(NOW.timestamp()) // 86_400,)]
    await store.close()


@in_loop
async def test_strangers_make_no_end_of_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storearrivals, "MOST_KINDS", 3)
    path = tmp_path / "mailtls.db"
    store = await opened(path)
    many = [replace(ARRIVAL, kind=KIND._replace(cipher=f"C{number}")) for number in range(20)]
    await store.commit(change(arrivals=many[:10]))
    await store.commit(change(arrivals=many[10:]))
    assert rows(path, "SELECT count(*) FROM message_kinds")[0][0] <= 4
    assert sum(each.messages for each in await store.messages("192.0.2.7")) == 20
    await store.close()


@in_loop
async def test_what_was_not_committed_is_in_the_change_again(tmp_path: Path) -> None:
    first, second = change(arrivals=[ARRIVAL]), change(arrivals=[replace(ARRIVAL, helo="second")])
    taken = first.take()
    assert first.arrivals == []
    second.put_back(taken)
    assert [each.helo for each in second.arrivals] == ["mx.example.com", "second"]
