"""Following the journal: with a real journalctl and real journal files, and with one that behaves as badly as we like."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.edge.listening import PATIENCE, Listening

from mailtls.core.linecutter import LONGEST_LINE
from mailtls.core.logline import split
from mailtls.core.stamp import Calendar
from mailtls.edge import journal
from mailtls.edge.journal import JournalFollower
from mailtls.edge.journalctl import SUPPRESSED
from mailtls.errors import InputError

JOURNALCTL = shutil.which("journalctl")
WRITER = shutil.which("systemd-journal-remote", path="/lib/systemd:/usr/lib/systemd")
real = pytest.mark.skipif(
    JOURNALCTL is None or WRITER is None, reason="journalctl or systemd-journal-remote is not installed"
)

# A journalctl in small. The journal is a file of entries, one `cursor<TAB>JSON` a line; `how` in its directory says how
# it behaves: `die` after what it has, `denied`, `others` (only entries
# of this user), `empty` (no files), `badcursor`.
FAKE = """#!{python}
import os, pathlib, sys, time
here = pathlib.Path(sys.argv[0]).parent
arguments = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(" ".join(arguments) + "\\n")
how = (here / "how").read_text().split() if (here / "how").exists() else []
cursor = next((a.partition("=")[2] for a in arguments if a.startswith("--cursor=")), "")
if "denied" in how:
    print("No journal files were opened due to insufficient permissions.", file=sys.stderr)
    sys.exit(1)
if "others" in how:
    print("Hint: You are currently not seeing messages from other users and the system.", file=sys.stderr)
    print("-- No entries --")
    sys.exit(0)
if "empty" in how:
    print("No journal files were found.", file=sys.stderr)
if "badcursor" in how and cursor:
    print("Failed to seek to cursor: Invalid argument", file=sys.stderr)
    sys.exit(1)
def entries():
    text = (here / "journal").read_bytes() if (here / "journal").exists() else b""
    return [line.split(b"\\t", 1) for line in text.splitlines()]
known = entries()
if "--follow" not in arguments:
    sys.stdout.buffer.write(known[-1][1] + b"\\n" if known else b"-- No entries --\\n")
    sys.exit(0)
start = next((n for n, entry in enumerate(known) if entry[0] >= cursor.encode()), len(known)) if cursor else 0
while True:
    for entry in entries()[start:]:
        start += 1
        sys.stdout.buffer.write(entry[1] + b"\\n")
        sys.stdout.buffer.flush()
    if "die" in how:
        print("Connection to nothing lost", file=sys.stderr)
        sys.exit(3)
    time.sleep(0.005)
"""


class FakeJournal:
    """The directory of the fake, with its journal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = directory / "journalctl"
        self.program.write_text(FAKE.replace("{python}", sys.executable))
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.count = 0

    def behave(self, *how: str) -> None:
        (self.directory / "how").write_text(" ".join(how))

    def write(self, message: object, **fields: str) -> bytes:
        """Add an entry; return its line as journalctl prints it."""
        self.count += 1
        cursor = f"c{self.count:04d}"
        entry = {"__CURSOR": cursor, "MESSAGE": message, "SYSLOG_IDENTIFIER": "postfix/smtpd", "_PID": "7", **fields}
        line = json.dumps(entry, separators=(",", ":")).encode()
        with (self.directory / "journal").open("ab") as file:
            file.write(cursor.encode() + b"\t" + line + b"\n")
        return line

    def vacuum(self, upto: int) -> None:
        """Forget the oldest entries."""
        lines = (self.directory / "journal").read_bytes().splitlines(keepends=True)
        (self.directory / "journal").write_bytes(b"".join(lines[upto:]))

    def calls(self) -> list[str]:
        return (self.directory / "calls").read_text().splitlines()

    def follower(self, position: str | None = None, **settings: object) -> Listening:
        return Listening(
            JournalFollower(position=position, program=str(self.program), first_delay=0.01, **settings)  # type: ignore[arg-type]
        )


@pytest.fixture
def fake(tmp_path: Path) -> FakeJournal:
    return FakeJournal(tmp_path)


def test_without_a_position_it_begins_at_the_end_and_knows_its_place_at_once(fake: FakeJournal) -> None:
    fake.write("old")

    async def play() -> None:
        async with fake.follower() as heard:
            await heard.until(lambda: heard.batches)
            assert json.loads(heard.position)["cursor"] == "c0001"
            new = fake.write("new")
            await heard.until_lines(new)
            assert heard.follower.state.word == "following"
            assert heard.follower.state.last_read is not None
        missed = fake.write("missed")
        async with fake.follower(heard.position) as heard:
            await heard.until_lines(missed)
            assert heard.follower.state.loss == ""

    asyncio.run(play())


def test_from_an_empty_journal_nothing_is_missed(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower() as heard:
            await heard.until(lambda: heard.batches)
        first = fake.write("first")
        async with fake.follower(heard.position) as heard:
            await heard.until_lines(first)

    asyncio.run(play())


def test_from_the_start_all_is_read(fake: FakeJournal) -> None:
    lines = [fake.write("one"), fake.write("two")]

    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            await heard.until_lines(*lines)

    asyncio.run(play())


def test_journalctl_is_asked_for_the_stored_entry_itself_and_for_journalds_own_notices(fake: FakeJournal) -> None:
    async def play() -> None:
        fake.write("one")
        async with fake.follower() as heard:
            await heard.until(lambda: heard.batches)
            await heard.until_lines(fake.write("two"))

    asyncio.run(play())
    call = fake.calls()[-1]
    assert "--follow --no-tail --cursor=c0001 SYSLOG_FACILITY=2 + _TRANSPORT=driver MESSAGE_ID=" in call
    assert "--all --output=json" in call


@pytest.mark.parametrize("commit", range(4))
def test_from_any_stored_position_every_entry_comes_once(fake: FakeJournal, commit: int) -> None:
    lines = [fake.write(f"entry {number}") for number in range(4)]

    async def play() -> None:
        stored: list[tuple[str, int]] = []
        count = 0
        async with fake.follower(from_start=True) as heard:
            await heard.until_lines(*lines)
        for batch in heard.batches:
            count += len(batch.lines)
            stored.append((batch.position, count))
        position, count = stored[min(commit, len(stored) - 1)]
        last = fake.write("last")
        async with fake.follower(position) as heard:
            await heard.until_lines(*lines[count:], last)

    asyncio.run(play())


def test_a_child_that_dies_is_started_again_where_it_was(fake: FakeJournal) -> None:
    fake.behave("die")

    async def play() -> None:
        lines = [fake.write("one"), fake.write("two")]
        async with fake.follower(from_start=True) as heard:
            await heard.until_lines(*lines)
            await heard.until_word("stalled")
            assert "Connection to nothing lost" in heard.follower.state.sentence
            lines.append(fake.write("three"))
            await heard.until_lines(*lines)
            fake.behave()
            lines.append(fake.write("four"))
            await heard.until_lines(*lines)
            await heard.until_word("following")
            assert heard.follower.state.loss == ""

    asyncio.run(play())


def test_the_delay_between_children_grows_has_an_end_and_begins_anew_with_an_entry(
    fake: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.behave("die")
    monkeypatch.setattr(journal, "LONGEST_DELAY", 0.05)
    delays: list[float] = []
    enough, anew, grown = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Recorded(JournalFollower):
        async def _wait(self) -> None:
            if self._child is None:
                delays.append(self._delay)
                if len(delays) == 5:
                    enough.set()
                if delays[5:].count(0.01):
                    anew.set()
                if delays[5:].count(0.05):
                    grown.set()
            await super()._wait()

    async def play() -> None:
        follower = Recorded(program=str(fake.program), first_delay=0.01, from_start=True)
        async with Listening(follower) as heard:
            await asyncio.wait_for(enough.wait(), PATIENCE)
            delays[5:] = []
            await heard.until_lines(fake.write("one"))
            await asyncio.wait_for(anew.wait(), PATIENCE)
            grown.clear()
            await asyncio.wait_for(grown.wait(), PATIENCE)  # the entry that was read before is no sign of life

    asyncio.run(play())
    assert delays[:5] == [0.01, 0.02, 0.04, 0.05, 0.05]
    assert delays.count(0.01) == 2


def test_a_vacuumed_entry_is_a_loss_that_is_said_and_no_further_entry_is_swallowed(fake: FakeJournal) -> None:
    lines = [fake.write(f"entry {number}") for number in range(6)]

    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            await heard.until(lambda: heard.lines)
            await heard.until_lines(*lines)
        position = json.dumps({**json.loads(heard.position), "cursor": "c0002"})
        fake.vacuum(4)
        async with fake.follower(position) as heard:
            await heard.until_lines(*lines[4:])
            assert "vacuumed" in heard.follower.state.loss

    asyncio.run(play())


def test_other_matches_than_last_time_are_no_loss(fake: FakeJournal) -> None:
    lines = [fake.write(f"entry {number}") for number in range(3)]

    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            await heard.until_lines(*lines)
        position = json.dumps({**json.loads(heard.position), "cursor": "c0001"})
        fake.vacuum(1)
        async with fake.follower(position, matches=("_SYSTEMD_SLICE=system-postfix.slice",)) as heard:
            await heard.until_lines(*lines[1:])
            assert heard.follower.state.loss == ""

    asyncio.run(play())


def test_a_cursor_that_journalctl_refuses_is_given_up_and_said(fake: FakeJournal) -> None:
    fake.write("old")
    fake.behave("badcursor")

    async def play() -> None:
        async with fake.follower('{"v":1,"cursor":"c0001"}') as heard:
            await heard.until(lambda: "does not accept" in heard.follower.state.loss)
            fake.behave()
            await heard.until_word("following")
            await heard.until_lines(fake.write("new"))

    asyncio.run(play())


@pytest.mark.parametrize("position", ["{broken", '{"v":1}', '{"cursor":"a --file=/etc/shadow"}', '{"cursor":7}'])
def test_an_unreadable_position_is_said_and_the_journal_begun_at_its_end(fake: FakeJournal, position: str) -> None:
    fake.write("old")

    async def play() -> None:
        async with fake.follower(position) as heard:
            await heard.until(lambda: heard.batches)
            assert "cannot be read" in heard.follower.state.loss
            await heard.until_lines(fake.write("new"))

    asyncio.run(play())


def test_what_journald_suppressed_is_a_loss_and_no_line(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            fake.write("Suppressed 77 messages from postfix@-.service", _TRANSPORT="driver", MESSAGE_ID=SUPPRESSED)
            await heard.until(lambda: "Suppressed 77 messages from postfix@-.service" in heard.follower.state.loss)
            assert "LogRateLimitIntervalSec" in heard.follower.state.loss
            await heard.until_lines(fake.write("one"))

    asyncio.run(play())


def test_a_notice_that_a_program_forged_is_a_line_like_others(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            forged = fake.write(f"Suppressed 1 {SUPPRESSED}", _TRANSPORT="syslog", MESSAGE_ID=SUPPRESSED)
            await heard.until_lines(forged)
            assert heard.follower.state.loss == ""

    asyncio.run(play())


def test_a_cursor_inside_a_message_is_not_taken_for_the_entrys(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            line = fake.write('x","__CURSOR":"c9999","y":"')
            await heard.until_lines(line)
            assert json.loads(heard.position)["cursor"] == "c0001"

    asyncio.run(play())


def test_an_entry_without_measure_is_cut(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            fake.write("x" * (2 * LONGEST_LINE))
            after = fake.write("after")
            await heard.until(lambda: len(heard.lines) == 2)
            assert len(heard.lines[0]) == LONGEST_LINE
            assert heard.lines[1] == after

    asyncio.run(play())


@pytest.mark.parametrize("how", ["denied", "others"])
def test_a_journal_that_may_not_be_read_is_denied_and_its_end_not_guessed(fake: FakeJournal, how: str) -> None:
    fake.write("old")
    fake.behave(how)

    async def play() -> None:
        async with fake.follower() as heard:
            await heard.until_word("denied")
            assert "systemd-journal" in heard.follower.state.sentence
            assert heard.position == ""
            fake.behave()
            await heard.until_word("following")
            await heard.until_lines(fake.write("new"))

    asyncio.run(play())


def test_no_journal_yet_is_waited_for(fake: FakeJournal) -> None:
    fake.behave("empty")

    async def play() -> None:
        async with fake.follower() as heard:
            await heard.until_word("waiting")
            await heard.until_lines(fake.write("one"))
            assert heard.follower.state.word == "following"

    asyncio.run(play())


def test_without_journalctl_it_says_what_to_install() -> None:
    async def play() -> None:
        async with Listening(JournalFollower(program="no-such-journalctl", first_delay=0.01)) as heard:
            await heard.until_word("stalled")
            assert "is not installed" in heard.follower.state.sentence

    asyncio.run(play())


def test_a_program_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "journalctl").write_text("no program")

    async def play() -> None:
        follower = JournalFollower(program=str(tmp_path / "journalctl"), first_delay=0.01)
        async with Listening(follower) as heard:
            await heard.until_word("stalled")
            assert "Permission denied" in heard.follower.state.sentence

    asyncio.run(play())


@pytest.mark.parametrize("match", ["--file=/etc/shadow", "-D", "x", "postfix", ""])
def test_what_is_no_match_is_refused(match: str) -> None:
    with pytest.raises(InputError, match="journal_match takes FIELD=VALUE"):
        JournalFollower((match,))


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_no_child_is_left_behind(fake: FakeJournal, how: str) -> None:
    async def play() -> None:
        before = len(os.listdir("/proc/self/fd"))
        heard = fake.follower(from_start=True)
        await heard.__aenter__()
        await heard.until_lines(fake.write("one"))
        assert isinstance(heard.follower, JournalFollower)
        assert heard.follower._child is not None
        pid = heard.follower._child.pid
        assert alive(pid)
        if how == "close":
            await heard.__aexit__()
        else:
            assert heard._task is not None
            heard._task.cancel()
            await asyncio.gather(heard._task, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_asyncgens()
        assert not alive(pid), "neither running nor a zombie"
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(play())


def test_it_rests_when_nothing_happens(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower(from_start=True) as heard:
            await heard.until_lines(fake.write("one"))
            child = heard.follower._child  # type: ignore[union-attr]
            assert child is not None
            reads = 0
            read = child.read

            def counted() -> bytes | None:
                nonlocal reads
                reads += 1
                return read()

            child.read = counted  # type: ignore[method-assign]
            for _ in range(10_000):
                await asyncio.sleep(0)
            assert reads <= 1

    asyncio.run(play())


def test_batches_are_given_to_one_reader(fake: FakeJournal) -> None:
    async def play() -> None:
        async with fake.follower() as heard:
            await heard.until(lambda: heard.batches)
            with pytest.raises(RuntimeError, match="asked for once"):
                await anext(heard.follower.batches())

    asyncio.run(play())


# The real thing.


class RealJournal:
    """systemd-journal-remote writes what it is given in the export format into a journal of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        assert WRITER is not None
        self.process = subprocess.Popen(
            [WRITER, "-o", directory / "test.journal", "--split-mode=none", "-"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.count = 0

    def write(self, message: bytes, **fields: str) -> None:
        assert self.process.stdin is not None
        self.count += 1
        now = int(time.time() * 1e6) + self.count
        head = {
            "__REALTIME_TIMESTAMP": str(now),
            "__MONOTONIC_TIMESTAMP": str(now),
            "_BOOT_ID": "0123456789abcdef0123456789abcdef",
            "_HOSTNAME": "mail",
            "SYSLOG_FACILITY": "2",
            "SYSLOG_IDENTIFIER": "postfix/smtpd",
            "SYSLOG_PID": str(100 + self.count),
            **fields,
        }
        text = "".join(f"{name}={value}\n" for name, value in head.items()).encode()
        self.process.stdin.write(text + b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n")
        self.process.stdin.flush()

    def follower(self, position: str | None = None) -> Listening:
        return Listening(JournalFollower(position=position, options=[f"--directory={self.directory}"], from_start=True))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def journal_files(tmp_path: Path) -> Iterator[RealJournal]:
    files = RealJournal(tmp_path)
    yield files
    files.close()


def messages(heard: Listening) -> list[bytes]:
    heads = [split(line) for line in heard.lines]
    assert all(heads)
    return [head.message for head in heads if head is not None]


MESSAGES = (
    b"connect from x[192.0.2.7]",
    b"an \xc3\xa9 in UTF-8",
    b"bytes \xff\xfe and an escape \x1b[31m",
    b"x" * 9_000,  # without --all journalctl prints null above 4 kB
    b'quotes " and \\ and \t tab',
)


@real
def test_real_entries_arrive_byte_for_byte_with_tag_process_and_time(journal_files: RealJournal) -> None:
    async def play() -> None:
        for message in MESSAGES:
            journal_files.write(message)
        before = time.time()
        async with journal_files.follower() as heard:
            await heard.until(lambda: len(heard.lines) == len(MESSAGES))
        assert messages(heard) == list(MESSAGES)
        head = split(heard.lines[0])
        assert head is not None
        assert (head.source, head.tag) == (b"mail postfix/smtpd[101]", b"postfix/smtpd")
        moment = Calendar(datetime.now(UTC)).read(head.stamp)
        assert moment is not None
        assert abs(moment.timestamp() - before) < 60

    asyncio.run(play())


@real
@pytest.mark.parametrize("wait_for", [1, 2, 3])
def test_a_real_journal_goes_on_at_the_stored_entry(journal_files: RealJournal, wait_for: int) -> None:
    async def play() -> None:
        for number in range(wait_for):
            journal_files.write(b"entry %d" % number)
        async with journal_files.follower() as heard:
            await heard.until(lambda: len(heard.lines) == wait_for)
            journal_files.write(b"not ours", SYSLOG_FACILITY="3")
            journal_files.write(b"Suppressed 5 messages from a", _TRANSPORT="driver", MESSAGE_ID=SUPPRESSED)
            await heard.until(lambda: "Suppressed 5" in heard.follower.state.loss)
        journal_files.write(b"next")
        async with journal_files.follower(heard.position) as heard:
            await heard.until(lambda: heard.lines)
            assert messages(heard) == [b"next"]
            assert heard.follower.state.loss == ""

    asyncio.run(play())


@real
def test_in_a_real_journal_a_vacuumed_cursor_swallows_nothing(journal_files: RealJournal) -> None:
    async def play() -> None:
        for number in range(3):
            journal_files.write(b"entry %d" % number)
        async with journal_files.follower() as heard:
            await heard.until(lambda: len(heard.lines) == 3)
        stored = json.loads(heard.position)
        gone = "s=00000000000000000000000000000001;i=1;b=00000000000000000000000000000002;m=1;t=5f0c4468fb4d4;x=1"
        async with journal_files.follower(json.dumps({**stored, "cursor": gone})) as heard:
            await heard.until(lambda: len(heard.lines) == 3)
            assert messages(heard) == [b"entry 0", b"entry 1", b"entry 2"]
            assert "vacuumed" in heard.follower.state.loss

    asyncio.run(play())


@real
@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None], ids=["empty", "missing"])
def test_a_real_journal_that_is_not_there_is_said(tmp_path: Path, make: Callable[[Path], None]) -> None:
    directory = tmp_path / "journal"
    make(directory)

    async def play() -> None:
        follower = JournalFollower(options=[f"--directory={directory}"], first_delay=0.01)
        async with Listening(follower) as heard:
            await heard.until(lambda: heard.words[-1:] in (["waiting"], ["stalled"]))

    asyncio.run(play())
