"""Every way in which a disk lets a database down: one sentence, nothing half done, and as it was when that is over."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from tests.edge.remembering import addresses, change, good, in_loop, live, opened, rows, session

from mailtls.edge.storetrouble import SENTENCES, sentence, telling
from mailtls.errors import StoreError

ROOT = Path(__file__).parents[2]
CHILD = [sys.executable, "-m", "tests.edge.storechild"]
OWN_DISK = ["unshare", "--mount", "--map-root-user"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailtls.db"


def spoil(path: Path, start: int, length: int = 4096) -> None:
    """Overwrite bytes, as a dying disk does."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(start).randbytes(length))


def move_away(path: Path) -> None:
    """Do what the sentence about damage says, with what lies beside the file."""
    for each in path.parent.glob("mailtls.db*"):
        each.rename(each.with_name("damaged." + each.name))


def allow(path: str | Path, mode: int) -> None:
    """Change what others may do with it."""
    Path(path).chmod(mode)


async def look(path: Path) -> None:
    """Open it and close it."""
    await (await opened(path)).close()


# --- cannot be opened ---------------------------------------------------------------------------------------------


@in_loop
async def test_a_missing_directory_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=re.escape(f"install -d -o mailtls -g mailtls -m 0750 {tmp_path}/gone")):
        await opened(tmp_path / "gone" / "mailtls.db")


@in_loop
async def test_a_directory_in_its_place_is_said(path: Path) -> None:
    with pytest.raises(StoreError, match="this is a directory"):
        await opened(path.parent)


@contextmanager
def nobody() -> Iterator[None]:
    """Be somebody without rights, if this is root."""
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if uid == 0:
            os.seteuid(uid)


@in_loop
async def test_a_directory_that_may_not_be_written_is_said() -> None:
    with tempfile.TemporaryDirectory() as directory:
        allow(directory, 0o555)
        with nobody(), pytest.raises(StoreError, match="permission denied; see: ls -ld"):
            await opened(Path(directory) / "mailtls.db")


@in_loop
async def test_a_file_that_may_not_be_read_is_said() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "mailtls.db"
        await (await opened(path)).close()
        allow(path, 0)
        allow(directory, 0o777)
        with nobody(), pytest.raises(StoreError, match="permission denied; see: ls -ld"):
            await opened(path)


@pytest.mark.parametrize(
    "content", [b"no database, but long enough to be taken for one" * 100, b"SQLite format 3\0" * 9]
)
def test_a_file_that_is_no_database_is_said_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=re.escape(f"mv {path} {path}.damaged")):
        asyncio.run(opened(path))
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    asyncio.run(look(path))
    assert rows(path, "SELECT count(*) FROM peers") == [(0,)]


# --- damage -------------------------------------------------------------------------------------------------------


@in_loop
async def test_damage_under_way_is_said_and_cured_by_moving_the_file_away(path: Path) -> None:
    store = await opened(path)
    ips = list(addresses(2000))
    await store.commit(change(conducts={ip: good(ip) for ip in ips}))
    await store.close()
    spoil(path, 4096, 40 * 4096)
    with pytest.raises(StoreError, match="damaged"):
        await opened(path)
    move_away(path)
    store = await opened(path)
    assert await store.conducts(ips) == {}
    await store.close()


@in_loop
async def test_a_damaged_page_is_told_by_whoever_meets_it(path: Path) -> None:
    store = await opened(path)
    ips = list(addresses(5000))
    await store.commit(change(*map(session, ips), conducts={ip: good(ip) for ip in ips}))
    await store.close()
    (root,) = rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'peers'")[0]
    spoil(path, (root - 1) * 4096)
    store = await opened_or_none(path)
    if store is None:
        return  # it was met at once, and said
    with pytest.raises(StoreError, match="damaged"):
        await store.conducts(ips)
    with pytest.raises(StoreError, match="damaged"):
        await store.peers()
    one = change(session(ips[0]), position="1")
    with pytest.raises(StoreError, match="damaged"):
        await store.commit(one)
    assert len(one.sessions) == 1
    move_away(path)
    with pytest.raises(StoreError, match="a new one is begun there"):
        await store.commit(one)
    await store.commit(one)
    assert rows(path, "SELECT sum(sessions) FROM days") == [(1,)]
    assert [peer.ip for peer in await store.peers()] == [ips[0]]
    await store.close()


async def opened_or_none(path: Path) -> object:
    try:
        return await opened(path)
    except StoreError as error:
        assert "damaged" in str(error)
        return None


# --- gone ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_file_that_is_deleted_under_way_is_said_once_and_begun_anew(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session("192.0.2.1"), waivers=(live("192.0.2.2"),), position="1"))
    move_away(path)
    one = change(session("192.0.2.2"), position="2")
    with pytest.raises(StoreError, match="moved or deleted while in use"):
        await store.commit(one)
    assert len(one.sessions) == 1
    await store.commit(one)
    assert [(peer.ip, peer.state) for peer in await store.peers()] == [("192.0.2.2", "waived")]
    assert rows(path, "SELECT position FROM positions") == [("2",)]
    await store.close()


@in_loop
async def test_a_directory_that_vanishes_is_said_until_it_is_back(path: Path) -> None:
    directory = path.parent / "state"
    directory.mkdir()
    store = await opened(directory / "mailtls.db")
    await store.commit(change(session("192.0.2.1")))
    shutil.rmtree(directory)
    one = change(session("192.0.2.2"))
    for _ in range(2):
        with pytest.raises(StoreError, match="this directory is missing"):
            await store.commit(one)
    with pytest.raises(StoreError, match="is not open"):
        await store.peers()
    directory.mkdir()
    await store.commit(one)
    assert [peer.ip for peer in await store.peers()] == ["192.0.2.2"]
    await store.close()


@in_loop
async def test_a_store_that_was_closed_stays_closed(path: Path) -> None:
    store = await opened(path)
    await store.close()
    await store.close()
    for asked in (store.commit(change(session())), store.peers(), store.conducts(["192.0.2.1"])):
        with pytest.raises(StoreError, match="is not open"):
            await asked


# --- locked -------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_lock_of_another_process_is_said_and_forgotten_when_it_is_gone(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(conducts={"192.0.2.1": good()}))
    one = change(session(), position="1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=re.escape(f"fuser -v {path}")):
            await store.commit(one)
        assert await store.conducts(["192.0.2.1"]) == {"192.0.2.1": good()}, "reading goes on"
    await store.commit(one)
    assert rows(path, "SELECT sum(sessions) FROM days") == [(1,)]
    await store.close()


@in_loop
async def test_a_lock_at_the_start_is_said(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE t (x)")
        with pytest.raises(StoreError, match="locked"):
            await opened(path)


@in_loop
async def test_somebody_who_reads_for_long_holds_up_nobody(path: Path) -> None:
    store = await opened(path)
    await store.commit(change(session("192.0.2.1")))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM peers").fetchone() == (1,)
        await store.commit(change(session("192.0.2.2")))
        assert other.execute("SELECT count(*) FROM peers").fetchone() == (1,)
        other.execute("COMMIT")
        assert other.execute("SELECT count(*) FROM peers").fetchone() == (2,)
    await store.close()


# --- disks of their own, and processes that are killed ------------------------------------------------------------


def own_disk(tmp_path: Path, what: str) -> dict[str, str]:
    """Run the child with its own mounts; give what it printed, by the first word."""
    if shutil.which("unshare") is None or subprocess.run([*OWN_DISK, "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not have mounts of its own")
    done = subprocess.run([*OWN_DISK, *CHILD, what, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    said = own_disk(tmp_path, "full")
    assert "the disk is full" in said["refused"]
    assert f"df -h {tmp_path}" in said["refused"]
    assert said["waiting"] == "100 ['mail.log']"
    start, position, counted = map(int, said["kept"].split())
    assert start == position == counted > 0
    start, position, counted = map(int, said["again"].split())
    assert start + 100 == position == counted


def test_a_read_only_disk_is_said(tmp_path: Path) -> None:
    assert "read-only" in own_disk(tmp_path, "readonly")["refused"]


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_counts_and_position_agreeing(path: Path) -> None:
    chance = random.Random()
    told = 0
    for _ in range(8):
        with subprocess.Popen([*CHILD, "load", path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(chance.randint(1, 30)):
                word, number = child.stdout.readline().split()
                assert word == "committed" or int(number) >= told, "a restart goes on from what was committed"
                told = int(number)
            os.kill(child.pid, signal.SIGKILL)
            rest = child.stdout.read().splitlines()
        told = int(rest[-1].split()[1]) if rest else told
        ((counted,),) = rows(path, "SELECT coalesce(sum(sessions), 0) FROM days")
        ((remembered,),) = rows(path, "SELECT coalesce(sum(sessions), 0) FROM peers")
        ((position,),) = rows(path, "SELECT coalesce(max(CAST(position AS INTEGER)), 0) FROM positions")  # none: no commit
        assert counted == remembered == position >= told
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert told > 1000


# --- sentences ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_every_sentence_names_the_file_and_what_to_do(code: int, path: Path) -> None:
    error = sqlite3.OperationalError("of sqlite")
    error.sqlite_errorcode, error.sqlite_errorname = code | 5 << 8, "SQLITE_SOMETHING"  # an extended code
    said = sentence(path, error)
    assert said.startswith(f"{path}: ")
    assert re.search(r"(fuser|mv|df|ls|free) -?", said)
    assert "{" not in said


def test_what_nobody_foresaw_is_told_in_the_words_of_sqlite(path: Path) -> None:
    with pytest.raises(StoreError, match="no such table: doors"), telling(path):
        try:
            rows(path, "SELECT * FROM doors")
        except sqlite3.Error as error:
            raise DBAPIError("SELECT", {}, error) from error
