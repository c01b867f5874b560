"""Hellos in the store: one a peer, of known peers only, forgotten with them; damage is no hello."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.edge.remembering import NOW, change, in_loop, opened, rows, session

from core.hellotexts import MODERN, message, record
from mailtls.core.clienthello import read_hello
from mailtls.core.hellobook import HeardHello
from mailtls.edge.storeretention import Bounds

PEER, OTHER = "192.0.2.7", "2001:db8::7"
OLD, NEW = (read_hello(record(message(*each))) for each in ((0x0301, [0x2F]), (0x0303, [0x1301], MODERN)))
assert OLD is not None
assert NEW is not None
HEARD, LATER = HeardHello(NOW.timestamp() - 60, OLD, 48), HeardHello(NOW.timestamp(), NEW)


@in_loop
async def test_the_last_hello_of_each_peer_is_recalled_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    store = await opened(path)
    first = change(session(PEER), session(OTHER))
    first.hellos = {PEER: HEARD, OTHER: HEARD}
    await store.commit(first)
    second = change(session(PEER))
    second.hellos = {PEER: LATER}
    await store.commit(second)
    await store.close()
    store = await opened(path)
    assert await store.hellos([PEER, OTHER, "192.0.2.8", "unknown"]) == {PEER: LATER, OTHER: HEARD}
    await store.close()


@in_loop
async def test_a_hello_of_nobody_is_not_kept(tmp_path: Path) -> None:
    """Whoever sends segments in other names fills no table: only peers that the log tells of have a row."""
    path = tmp_path / "mailtls.db"
    store = await opened(path)
    written = change(session(OTHER))
    written.hellos = {PEER: HEARD, "unknown": HEARD}
    await store.commit(written)
    assert rows(path, "SELECT count(*) FROM hellos") == [(0,)]
    await store.close()


@in_loop
async def test_hellos_are_forgotten_with_their_peers(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    store = await opened(path, Bounds(peers=100, strangers=100))
    written = change(session(PEER), session(OTHER, NOW - timedelta(days=500)))
    written.hellos = {PEER: HEARD, OTHER: HEARD}
    await store.commit(written)
    await store.forget(NOW, timedelta(days=400), timedelta(days=30))
    assert set(await store.hellos([PEER, OTHER])) == {PEER}
    assert rows(path, "SELECT count(*) FROM hellos") == [(1,)]
    await store.close()


@in_loop
async def test_what_somebody_wrote_into_the_file_is_no_hello(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    store = await opened(path)
    written = change(session(PEER), session(OTHER))
    written.hellos = {PEER: HEARD, OTHER: HEARD}
    await store.commit(written)
    await store.close()
    rows(path, "UPDATE hellos SET hello = '{\"version\": \"x\"}' WHERE peer = 1")
    store = await opened(path)
    assert len(await store.hellos([PEER, OTHER])) == 1
    await store.close()


@in_loop
async def test_what_could_not_be_stored_is_kept_for_the_next_time(tmp_path: Path) -> None:
    first = change(session(PEER))
    first.hellos = {PEER: HEARD}
    taken = first.take()
    assert first.hellos == {}
    first.hellos = {OTHER: LATER}
    first.put_back(taken)
    assert first.hellos == {PEER: HEARD, OTHER: LATER}
