"""What the kernel tells is heard; where it tells nothing, time does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mailtls.edge import inotify
from mailtls.edge.inotify import DIRECTORY, FILE, Inotify, Wakeup

PATIENCE = 30.0


def identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def place(path: Path) -> dict[tuple[int, int], tuple[str, int]]:
    return {identity(path): (str(path), DIRECTORY if path.is_dir() else FILE)}


def test_events_say_what_happened_to_which_name(tmp_path: Path) -> None:
    kernel = Inotify()
    try:
        watch = kernel.watch(str(tmp_path), DIRECTORY)
        assert kernel.watch(str(tmp_path), DIRECTORY) == watch
        (tmp_path / "mail.log").touch()
        (tmp_path / "mail.log").rename(tmp_path / "mail.log.1")
        events = [(event.watch, event.mask, event.name) for event in kernel.read()]
        assert (watch, inotify.IN_CREATE, b"mail.log") in events
        assert (watch, inotify.IN_MOVED_FROM, b"mail.log") in events
        assert (watch, inotify.IN_MOVED_TO, b"mail.log.1") in events
        assert kernel.read() == []
    finally:
        kernel.close()


def test_writing_to_a_file_is_told_by_its_own_watch_and_not_by_the_directorys(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.touch()
    kernel = Inotify()
    try:
        kernel.watch(str(tmp_path), DIRECTORY)
        with log.open("ab") as file:
            file.write(b"unwatched\n")
        assert kernel.read() == []
        watch = kernel.watch(str(log), FILE)
        with log.open("ab") as file:
            file.write(b"watched\n")
        assert [(event.watch, event.mask) for event in kernel.read()] == [(watch, inotify.IN_MODIFY)]
    finally:
        kernel.close()


def test_what_cannot_be_watched_is_an_error_of_the_system(tmp_path: Path) -> None:
    kernel = Inotify()
    try:
        with pytest.raises(OSError, match="No such file"):
            kernel.watch(str(tmp_path / "missing"), FILE)
        with pytest.raises(NotADirectoryError):
            (tmp_path / "file").touch()
            kernel.watch(str(tmp_path / "file"), DIRECTORY)
        kernel.forget(4711)
    finally:
        kernel.close()
        kernel.close()


def test_it_rings_once_for_what_happened_before_anybody_waited(tmp_path: Path) -> None:
    async def play() -> None:
        wakeup = Wakeup()
        assert wakeup.watch(place(tmp_path))
        assert not wakeup.watch(place(tmp_path))
        (tmp_path / "a").touch()
        async with asyncio.timeout(PATIENCE):
            await wakeup.wait(1e9)
        assert wakeup.take() is not None
        assert wakeup.take() is None
        wakeup.close()

    asyncio.run(play())


def test_it_keeps_the_time_of_the_first_ring(tmp_path: Path) -> None:
    async def play() -> None:
        times = iter([1.0, 2.0])
        wakeup = Wakeup(clock=lambda: next(times))
        wakeup.ring()
        wakeup.ring()
        assert wakeup.take() == 1.0
        wakeup.close()

    asyncio.run(play())


def test_a_place_that_was_removed_and_made_again_is_watched_again(tmp_path: Path) -> None:
    directory = tmp_path / "log"

    async def play() -> None:
        wakeup = Wakeup()
        directory.mkdir()
        first = place(directory)
        wakeup.watch(first)
        directory.rmdir()
        async with asyncio.timeout(PATIENCE):
            await wakeup.wait(1e9)
        wakeup.take()
        directory.mkdir()
        assert wakeup.watch(place(directory)), "the old watch ended with its directory, whatever number the new one has"
        (directory / "a").touch()
        async with asyncio.timeout(PATIENCE):
            await wakeup.wait(1e9)
        wakeup.close()

    asyncio.run(play())


def test_what_is_not_watched_any_more_rings_no_more(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    async def play() -> None:
        wakeup = Wakeup()
        wakeup.watch(place(tmp_path / "one"))
        wakeup.watch(place(tmp_path / "two"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wakeup.take()
        (tmp_path / "one" / "a").touch()
        await wakeup.wait(0.05)
        assert wakeup.take() is None
        wakeup.close()

    asyncio.run(play())


def refuse() -> Inotify:
    raise OSError(24, "Too many open files")


def test_without_inotify_it_returns_after_the_polls_time(tmp_path: Path) -> None:
    async def play() -> None:
        wakeup = Wakeup(make=refuse, poll=0.01)
        assert wakeup.polls
        assert not wakeup.watch(place(tmp_path))
        async with asyncio.timeout(PATIENCE):
            await wakeup.wait(1e9)
        wakeup.close()

    asyncio.run(play())


def test_where_one_place_cannot_be_watched_it_polls_as_well(tmp_path: Path) -> None:
    async def play() -> None:
        wakeup = Wakeup(poll=0.01)
        wakeup.watch({**place(tmp_path), (0, 0): (str(tmp_path / "missing"), FILE)})
        assert wakeup.polls
        async with asyncio.timeout(PATIENCE):
            await wakeup.wait(1e9)
        wakeup.watch(place(tmp_path))
        assert not wakeup.polls
        wakeup.close()

    asyncio.run(play())


def test_closing_gives_the_descriptor_back_and_wakes_the_waiter() -> None:
    async def play() -> None:
        before = len(os.listdir("/proc/self/fd"))
        wakeup = Wakeup()
        waiting = asyncio.create_task(wakeup.wait(1e9))
        await asyncio.sleep(0)
        wakeup.close()
        await asyncio.wait_for(waiting, PATIENCE)
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(play())


async def test_a_flood_of_writes_wakes_once_in_a_while_and_the_last_of_them_too(tmp_path: Path) -> None:
    """Each wake of a reader costs its writer time; what is written meanwhile is told at the end of the rest."""
    log, rings = tmp_path / "mail.log", 0
    log.touch()
    wakeup = Wakeup(rest=0.05)
    wakeup.watch(place(log))
    with log.open("ab", buffering=0) as file:
        file.write(b"first\n")
        await asyncio.wait_for(wakeup.wait(PATIENCE), PATIENCE)
        assert wakeup.take() is not None, "one line alone is told at once"
        for _ in range(200):
            file.write(b"line\n")
            await asyncio.sleep(0)
            rings += wakeup.take() is not None
    assert rings < 60
    await wakeup.wait(1)
    assert wakeup.take() is not None or rings, "and the last of many"
    wakeup.close()
