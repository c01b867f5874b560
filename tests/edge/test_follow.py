"""Following a file as it is written: lines come at once, the state says how it stands, and logrotate(8) is survived."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.edge.listening import Listening

from mailtls.edge.follow import Batch, Follower
from mailtls.edge.growingfile import BLOCK
from mailtls.edge.inotify import Identity, Inotify, Wakeup

NEVER = 1e9  # seconds: whoever depends on a look now and then fails
LOGROTATE = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(b"".join(line + b"\n" for line in lines))


def no_inotify() -> Wakeup:
    def refuse() -> Inotify:
        raise OSError(24, "Too many open files")

    return Wakeup(make=refuse, poll=0.01)


def follow(path: Path, position: str | None = None, *, from_start: bool = True) -> Listening:
    return Listening(Follower(path, position, from_start=from_start, look_every=NEVER))


def test_lines_come_without_a_look_at_the_clock(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    append(log, b"old")

    async def play() -> None:
        async with follow(log, from_start=False) as heard:
            await heard.until_word("following")
            append(log, b"one")
            await heard.until_lines(b"one")
            append(log, b"two", b"three")
            await heard.until_lines(b"one", b"two", b"three")

    asyncio.run(play())


@pytest.mark.parametrize("make", [Wakeup, no_inotify])
def test_rotation_is_heard_as_it_happens(tmp_path: Path, make: Callable[[], Wakeup]) -> None:
    log = tmp_path / "mail.log"
    append(log, b"one")

    async def play() -> None:
        follower = Follower(log, from_start=True, look_every=NEVER, wakeup=make)
        async with Listening(follower) as heard:
            await heard.until_lines(b"one")
            log.rename(tmp_path / "mail.log.1")
            await heard.until_word("vanished")
            append(tmp_path / "mail.log.1", b"two")
            await heard.until_lines(b"one", b"two")
            append(log, b"three")
            await heard.until_lines(b"one", b"two", b"three")
            append(tmp_path / "mail.log.1", b"four")
            await heard.until_lines(b"one", b"two", b"three", b"four")
            shutil.copyfile(log, tmp_path / "mail.log.2")
            os.truncate(log, 0)
            append(log, b"five")
            await heard.until_lines(b"one", b"two", b"three", b"four", b"five")
            log.unlink()
            await heard.until_word("vanished")
            append(log, b"six")
            await heard.until_lines(b"one", b"two", b"three", b"four", b"five", b"six")
            assert follower.state.word == "following"

    asyncio.run(play())


def test_a_directory_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "var" / "log" / "mail.log"

    async def play() -> None:
        async with follow(log) as heard:
            await heard.until_word("waiting")
            log.parent.mkdir(parents=True)
            append(log, b"one")
            await heard.until_lines(b"one")

    asyncio.run(play())


def test_the_directory_of_a_symlinks_target_is_heard_as_well(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    log = tmp_path / "real" / "mail.log"
    append(log, b"one")
    link = tmp_path / "maillog"
    link.symlink_to(log)

    async def play() -> None:
        async with follow(link) as heard:
            await heard.until_lines(b"one")
            log.rename(tmp_path / "real" / "mail.log.1")
            await heard.until_word("vanished")
            append(log, b"two")
            await heard.until_lines(b"one", b"two")

    asyncio.run(play())


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A directory and rights of a user who is not root; root may read everything."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if os.geteuid() != 0:
            yield directory
            return
        nobody = pwd.getpwnam("nobody").pw_uid
        os.chown(directory, nobody, -1)
        os.seteuid(nobody)
        try:
            yield directory
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_permission_that_is_lost_and_given_back_costs_no_line(what: str) -> None:
    with as_nobody() as directory:
        log = directory / "mail.log"

        async def play() -> None:
            append(log, b"one")
            place = log if what == "file" else directory
            mode = place.stat().st_mode
            first = follow(log)
            async with first as heard:
                await heard.until_lines(b"one")
            append(log, b"two")
            place.chmod(0)
            async with Listening(Follower(log, first.position, look_every=0.01)) as heard:
                await heard.until_word("denied")
                assert "usermod" in heard.follower.state.sentence
                assert heard.position == first.position
                place.chmod(mode)
                await heard.until_lines(b"two")
                assert heard.follower.state.word == "following"

        asyncio.run(play())


def test_a_new_file_that_may_not_be_read_is_waited_for_while_the_old_one_is_read_on() -> None:
    with as_nobody() as directory:
        log = directory / "mail.log"

        async def play() -> None:
            append(log, b"one")
            async with follow(log) as heard:
                await heard.until_lines(b"one")
                log.rename(directory / "mail.log.1")
                log.touch(mode=0)
                await heard.until_word("denied")
                append(directory / "mail.log.1", b"two")
                await heard.until_lines(b"one", b"two")
                log.chmod(0o640)
                append(log, b"three")
                await heard.until_lines(b"one", b"two", b"three")
                assert heard.follower.state.word == "following"

        asyncio.run(play())


def test_a_log_that_could_not_be_read_at_first_is_begun_where_it_ended_then() -> None:
    with as_nobody() as directory:
        log = directory / "mail.log"

        async def play() -> None:
            append(log, b"old")
            log.chmod(0)
            async with Listening(Follower(log, look_every=0.01)) as heard:
                await heard.until_word("denied")
                log.chmod(0o600)
                await heard.until_word("following")
                append(log, b"new")
                await heard.until_lines(b"new")

        asyncio.run(play())

    with as_nobody() as directory:
        log = directory / "mail.log"

        async def meanwhile() -> None:
            append(log, b"old")
            log.chmod(0)
            async with Listening(Follower(log, look_every=0.01)) as heard:
                await heard.until_word("denied")
                log.chmod(0o600)
                append(log, b"new")
                await heard.until_lines(b"new")

        asyncio.run(meanwhile())


def test_a_backlog_comes_in_batches_of_bounded_size_with_what_is_left(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    line = b"Nov 21 00:42:35 mail postfix/smtpd[1]: connect from x[192.0.2.1], and so on"
    count = 4 * BLOCK // len(line)
    append(log, *[line] * count)
    size = log.stat().st_size

    async def play() -> None:
        async with follow(log) as heard:
            await heard.until(lambda: len(heard.lines) == count)
            with_lines = [batch for batch in heard.batches if batch.lines]
            assert len(with_lines) > 3
            assert max(sum(len(line) + 1 for line in batch.lines) for batch in with_lines) <= BLOCK
            left = [batch.behind for batch in with_lines]
            assert left == sorted(left, reverse=True)
            assert size - BLOCK <= left[0] < size
            assert left[-1] == 0 == heard.follower.state.behind

    asyncio.run(play())


def test_a_batch_says_when_its_bytes_became_readable(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    append(log, b"one")

    async def play() -> None:
        async with follow(log) as heard:
            await heard.until_lines(b"one")
            before = time.monotonic()
            append(log, b"two")
            await heard.until_lines(b"one", b"two")
            after = time.monotonic()
            assert before <= heard.batches[-1].readable_at <= after

    asyncio.run(play())


def test_bytes_that_wait_behind_a_slow_reader_are_as_old_as_their_arrival(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"

    async def play() -> None:
        append(log, *[b"x" * 99] * (3 * BLOCK // 100))
        times = iter(range(1, 1000))
        follower = Follower(log, from_start=True, look_every=NEVER, clock=lambda: float(next(times)))
        taken: list[Batch] = []
        async for batch in follower.batches():
            if batch.lines:
                taken.append(batch)
            if batch.lines and not batch.behind:
                await follower.close()
        assert len(taken) >= 3
        assert len({batch.readable_at for batch in taken}) == 1

    asyncio.run(play())


def test_the_state_says_when_bytes_came(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"

    async def play() -> None:
        follower = Follower(log, look_every=NEVER, wall=lambda: 1_700_000_000.0)
        assert follower.source == f"file:{log}"
        assert follower.state.word == "waiting"
        async with Listening(follower) as heard:
            await heard.until_word("waiting")
            assert follower.state.last_read is None
            append(log, b"one")
            await heard.until_lines(b"one")
            assert follower.state.last_read is not None
            assert follower.state.last_read.timestamp() == 1_700_000_000.0

    asyncio.run(play())


def test_it_rests_when_nothing_happens(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    append(log, b"one")
    looks = 0

    async def play() -> None:
        nonlocal looks
        follower = Follower(log, from_start=True, look_every=NEVER)
        look = follower._log.look

        def counted() -> None:
            nonlocal looks
            looks += 1
            look()

        follower._log.look = counted  # type: ignore[method-assign]
        async with Listening(follower) as heard:
            await heard.until_lines(b"one")
            for _ in range(1_000):
                await asyncio.sleep(0)
            before = looks
            for _ in range(10_000):
                await asyncio.sleep(0)
            assert looks == before

    asyncio.run(play())


def test_batches_are_given_to_one_reader(tmp_path: Path) -> None:
    async def play() -> None:
        follower = Follower(tmp_path / "mail.log", look_every=NEVER)
        async with Listening(follower) as heard:
            await heard.until_word("waiting")
            with pytest.raises(RuntimeError, match="asked for once"):
                await anext(follower.batches())
        await follower.close()

    asyncio.run(play())


def test_closing_and_cancelling_leave_no_descriptor_open(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    append(log, b"one")

    async def play() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with follow(log) as heard:
            await heard.until_lines(b"one")
        assert len(os.listdir("/proc/self/fd")) == before

        async def listen() -> None:
            async for _ in Follower(log, from_start=True, look_every=NEVER).batches():
                got.set()

        got = asyncio.Event()
        task = asyncio.create_task(listen())
        await got.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(play())


def test_a_line_that_is_written_while_the_file_is_not_yet_watched_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    append(log, b"one")

    class Late(Wakeup):
        def watch(self, places: Mapping[Identity, tuple[str, int]]) -> bool:
            if not self._watches:
                append(log, b"two")
            return super().watch(places)

    async def play() -> None:
        follower = Follower(log, from_start=True, look_every=NEVER, wakeup=Late)
        async with Listening(follower) as heard:
            await heard.until_lines(b"one", b"two")

    asyncio.run(play())


HOW = {
    "create": "create",
    "nocreate": "nocreate",
    "copytruncate": "copytruncate",
    "dateext": "create\n dateext\n dateformat -%Y%m%d-{}",
    "extension": "create\n extension .log",
}


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate(8) is not installed")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("compress", ["nocompress", "compress", "compress\n delaycompress"])
def test_logrotate_itself_costs_no_line(tmp_path: Path, how: str, compress: str) -> None:
    log = tmp_path / "mail.log"
    rules = tmp_path / "logrotate.conf"
    tmp_path.chmod(0o755)  # it refuses directories that others may write to
    lines = [b"Nov 21 00:42:35 mail postfix/smtpd[1]: connect from x[192.0.2.%d]" % number for number in range(9)]

    def rotate(number: int) -> None:
        rules.write_text(f'"{log}" {{\n rotate 9\n size 1\n {HOW[how].format(number)}\n {compress}\n}}\n')
        rules.chmod(0o644)
        subprocess.run([str(LOGROTATE), "-f", "-s", tmp_path / "status", rules], check=True, capture_output=True)

    async def play() -> None:
        append(log, *lines[:2])
        async with follow(log) as heard:
            await heard.until_lines(*lines[:2])
            rotate(1)
            append(log, lines[2])
            await heard.until_lines(*lines[:3])
        position = heard.position
        append(log, lines[3])
        rotate(2)
        append(log, lines[4])
        async with follow(log, position) as heard:
            await heard.until_lines(*lines[3:5])
            assert heard.follower.state.loss == ""

    asyncio.run(play())
