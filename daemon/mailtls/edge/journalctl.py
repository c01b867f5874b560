"""journalctl(1) as a child: what to ask it for, its pipes, its complaints, and its end without a zombie.

A child that is stopped from reading (nobody empties the pipe) waits; one whose reader died gets SIGPIPE.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import subprocess
import termios
from collections.abc import Callable, Sequence

from mailtls.core.printable import printable
from mailtls.errors import InputError

BLOCK = 1 << 18  # bytes
PATIENCE = 20.0  # seconds, for a question that is answered at once
FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_COMM,_HOSTNAME,_SOURCE_REALTIME_TIMESTAMP,MESSAGE_ID,_TRANSPORT"
SUPPRESSED = "a596d6fe7bfa4994828e72309e95d61e"
"""MESSAGE_ID of SD_MESSAGE_JOURNAL_DROPPED (sd-messages.h): `Suppressed 1234 messages from postfix@-.service`."""

_CURSOR = re.compile(rb'"__CURSOR":"([\w;=]{1,500})"', re.ASCII)  # inside a message the quotes have backslashes
_MATCH = re.compile(r"[A-Z0-9_]{1,64}=.*|\+|/.*", re.DOTALL)


def cursor_of(line: bytes) -> str | None:
    """Return the cursor of an entry in journalctl's JSON."""
    found = _CURSOR.search(line)
    return found[1].decode("ascii") if found else None


class Journalctl:
    """How journalctl is called. `options`: more of them, `--directory=` for one. Raises InputError for no match."""

    def __init__(self, matches: Sequence[str], program: str = "journalctl", options: Sequence[str] = ()) -> None:
        for match in matches:
            if not _MATCH.fullmatch(match):
                raise InputError(
                    f"{printable(match, 100)} is no match for journalctl: journal_match takes FIELD=VALUE, `+`, or the"
                    " path of a program; see journalctl(1)."
                )
        self.program = program
        self.matches = tuple(matches)
        # Without it only entries of this boot are followed (systemd 252, 257), and what was written before a reboot is
        # lost. It also reads what a collector stored of other machines. A directory that is named has no boot.
        self._all_boots = () if any(each.startswith(("--directory", "--file")) for each in options) else ("--merge",)
        self._command = (program, *options, "--no-pager", "--all", "--output=json", f"--output-fields={FIELDS}")

    def last_cursor(self) -> tuple[str, str]:
        """Return the newest entry's cursor, empty where there is none, and complaints.

        Blocks. Raises OSError where there is no such program, SubprocessError where it fails.
        """
        command = [*self._command, "--lines=1", *self.matches]
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, check=True, timeout=PATIENCE, env=_environment()
        )
        return cursor_of(done.stdout) or "", done.stderr.decode("utf-8", "replace")

    def follow(self, cursor: str, wake: Callable[[], None], clock: Callable[[], float]) -> Following:
        """Start a child that follows from this entry on, or from the oldest. Raises OSError."""
        where = [f"--cursor={cursor}"] if cursor else []
        # journald's own words of what it dropped do not come from the mail facility
        notices = ["+", "_TRANSPORT=driver", f"MESSAGE_ID={SUPPRESSED}"] if self.matches else []
        return Following(
            [*self._command, *self._all_boots, "--follow", "--no-tail", *where, *self.matches, *notices], wake, clock
        )


class Following:
    """One child that follows; end it at the end. `readable_at`: when what was read last could be read first."""

    def __init__(self, command: Sequence[str], wake: Callable[[], None], clock: Callable[[], float]) -> None:
        self._wake = wake
        self._clock = clock
        self.readable_at = clock()
        self._next_at: float | None = None
        self._armed = False
        self._said = self._news = b""
        self._loop = asyncio.get_running_loop()
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
        )
        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101
        self._output = self._process.stdout.fileno()
        self._errors = self._process.stderr.fileno()
        for descriptor in (self._output, self._errors):
            os.set_blocking(descriptor, False)
        self._loop.add_reader(self._errors, self._hear)

    @property
    def pid(self) -> int:
        """The child's process."""
        return self._process.pid

    def read(self) -> bytes | None:
        """Return what it wrote; empty: it has ended; None: nothing at present."""
        try:
            block = os.read(self._output, BLOCK)
        except BlockingIOError:
            return None
        now = self._clock()
        self.readable_at = now if self._next_at is None else self._next_at
        self._next_at = now if self.waiting() else None  # what comes next was written since, or waited already
        return block

    def waiting(self) -> int:
        """Bytes in the pipe."""
        return int.from_bytes(fcntl.ioctl(self._output, termios.FIONREAD, bytes(4)), "little")

    def complaints(self) -> str:
        """What it wrote to standard error since this was last asked."""
        news, self._news = self._news, b""
        return news.decode("utf-8", "replace")

    def wake_when_readable(self) -> None:
        """Wake once, when there is something to read."""
        if not self._armed:
            self._armed = True
            self._loop.add_reader(self._output, self._readable)

    def end(self) -> str:
        """Kill it, if it still runs; leave no zombie. Return all its complaints, or the last of them."""
        self._disarm()
        self._loop.remove_reader(self._errors)
        self._process.kill()
        self._process.wait()
        self._hear()
        self._loop.remove_reader(self._errors)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return self._said.decode("utf-8", "replace")

    def _readable(self) -> None:
        self._next_at = self._clock()
        self._disarm()
        self._wake()

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._loop.remove_reader(self._output)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._errors, 4096)
            self._said = (self._said + said)[-4096:]
            self._news = (self._news + said)[-4096:]
            if not said:
                self._loop.remove_reader(self._errors)
        self._wake()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
