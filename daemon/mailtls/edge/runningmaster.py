"""The master process of Postfix that runs now: whether it lives, where it listens, when it has acted on a reload.

Everything is read from $queue_directory/pid/master.pid and /proc; nothing is asked of Postfix, since `postfix status`
writes to the mail log and says nothing about health (facts 2.8). The lock on the pid file tells a living master from a
number that a dead one left and another process got.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mailtls.errors import PostfixError

LISTEN = "0A"  # /proc/net/tcp, state TCP_LISTEN
UNIT = re.compile(r"/([^/\n]+\.service)$", re.MULTILINE)

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Master:
    """A running master; two are equal only if they are the same process."""

    pid: int
    started: str
    unit: str | None = None
    """The systemd unit that it runs under, from its control group."""

    @property
    def is_alive(self) -> bool:
        """Tell whether this very process still runs."""
        return _started(self.pid) == self.started

    def listens(self) -> frozenset[Address]:
        """Give the addresses and ports at which it listens now. Raises PostfixError."""
        try:
            own = _descriptors(self.pid)
            return frozenset(
                address
                for table in ("tcp", "tcp6")
                for inode, address in _listening(Path(f"/proc/{self.pid}/net/{table}"))
                if f"socket:[{inode}]" in own
            )
        except OSError as error:
            raise PostfixError(f"the Postfix master, pid {self.pid}, cannot be looked at: {error}; be root") from error

    def children(self, name: str) -> frozenset[int]:
        """Give the pids of its children that run this program."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                head, _, tail = entry.read_text(errors="replace").rpartition(")")
                pid, _, command = head.partition(" (")
                state, parent = tail.split()[:2]
                if command == name and int(parent) == self.pid and state != "Z":
                    found.add(int(pid))
        return frozenset(found)


def find_master(queue: Path) -> Master | None:
    """Find the master that serves this queue directory; None where Postfix does not run."""
    path = queue / "pid" / "master.pid"
    try:
        with path.open("rb") as file:
            if not _is_locked(file.fileno()):
                return None
            pid = int(file.read(64).strip() or b"0")
    except (OSError, ValueError):
        return None
    started = _started(pid) if pid > 0 else None
    return Master(pid, started, _unit(pid)) if started is not None else None


def _unit(pid: int) -> str | None:
    with suppress(OSError):
        found = UNIT.search(Path(f"/proc/{pid}/cgroup").read_text())
        return found.group(1) if found and "postfix" in found.group(1) else None
    return None


def _is_locked(handle: int) -> bool:
    """Tell whether another process holds the lock that master takes (util/myflock.c; flock(2) on Linux)."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def _started(pid: int) -> str | None:
    """Give the start time of a process, in clock ticks since boot; None where it is gone or a zombie."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    return None


def listened_here() -> frozenset[Address]:
    """Give the addresses and ports at which anybody listens on this machine; any user may see that."""
    tables = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
    with suppress(OSError):
        return frozenset(address for table in tables for _, address in _listening(table))
    return frozenset()


def _descriptors(pid: int) -> frozenset[str]:
    """Say what the open descriptors lead to; those that are closed meanwhile do not matter."""
    leads = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            leads.add(str(path.readlink()))
    return frozenset(leads)


def _listening(table: Path) -> list[tuple[str, Address]]:
    if not table.exists():
        return []  # no IPv6 here
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return [(row[9], _address(row[1])) for row in rows if row[3] == LISTEN]


def _address(written: str) -> Address:
    """Read `0100007F:0019`: 32-bit words in the byte order of this machine."""
    words, _, port = written.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port, 16)
