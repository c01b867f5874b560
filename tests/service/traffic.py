"""A busy smtpd writing its log while it is rotated, and what a reader who misses nothing counts of it.

Forty processes serve a session each; their lines are mixed, every process serves one session after the other, and what
is written at once may end in the middle of a line. `counted` grows with the line that ends a session.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path

PROCESSES = 40
FAILING = (
    "error:0A000102:SSL routines::unsupported protocol:../ssl/statem/statem_srvr.c:1657:",
    "error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2220:",
    "error:0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:354:",
)
BREAKS_ON_STARTTLS = FAILING[2]


class Traffic:
    """Writes to `log`; all that happens follows from `seed`."""

    def __init__(self, log: Path, seed: int, peers: int = 60) -> None:
        self.log = log
        self.draw = random.Random(seed)
        self.counted: dict[str, Counter[str]] = {}
        self.lines = 0
        self.rotations: Counter[str] = Counter()
        self._peers = [f"198.51.{number // 250}.{1 + number % 250}" for number in range(peers)]
        self._open: dict[int, tuple[str, bool, list[str]]] = {}
        self._unwritten = ""
        self._old: Path | None = None

    # --- sessions --------------------------------------------------------------------------------------------

    def _begin(self) -> tuple[str, bool, list[str]]:
        """Draw a peer and what becomes of it: one in three always fails, the others never do."""
        number = self.draw.randrange(len(self._peers))
        ip = self._peers[number]
        fails = number % 3 == 2
        return ip, fails, fails_with(ip, FAILING[number % 7 % 3]) if fails else gets_through(ip)

    def line(self) -> str:
        """Give the next line: of some process, of its session."""
        pid = self.draw.randrange(PROCESSES)
        if pid not in self._open:
            self._open[pid] = self._begin()
        ip, fails, texts = self._open[pid]
        text = texts.pop(0)
        if not texts:
            del self._open[pid]
            self._count(ip, fails)
        self.lines += 1
        return stamped(1000 + pid, text)

    def _count(self, ip: str, fails: bool) -> None:
        of = self.counted.setdefault(ip, Counter())
        of["sessions"] += 1
        of["failures"] += fails
        of["mails"] += not fails

    # --- writing ---------------------------------------------------------------------------------------------

    def write(self, lines: int) -> None:
        """Write about so many lines, and some of them in two halves."""
        text = self._unwritten + "".join(f"{self.line()}\n" for _ in range(lines))
        cut = len(text) - self.draw.randrange(60) if self.draw.random() < 0.3 else len(text)
        self._unwritten = text[cut:]
        with self.log.open("a") as file:
            file.write(text[:cut])

    def finish(self, last: str) -> None:
        """End every session, and then let one peer through, so that it is seen when all was read."""
        while self._open:
            self.write(50)
            for pid in list(self._open):
                ip, fails, texts = self._open.pop(pid)
                self._unwritten += "".join(f"{stamped(1000 + pid, text)}\n" for text in texts)
                self._count(ip, fails)
        self.write(0)
        self._close_line()
        with self.log.open("a") as file:
            file.writelines(f"{stamped(999, text)}\n" for text in gets_through(last))
        self._count(last, fails=False)

    def _close_line(self) -> None:
        with self.log.open("a") as file:
            file.write(self._unwritten)
        self._unwritten = ""

    # --- rotating --------------------------------------------------------------------------------------------

    def rotate(self) -> None:
        """Rotate in one of the ways that there are."""
        ways = (self.rename_and_create, self.rename_and_write_on, self.copy_and_truncate, self.rename_and_compress)
        way = self.draw.choice(ways)
        self._close_line()
        if self.log.stat().st_size < 4096:
            return  # too short to be known again by its first bytes
        self.rotations[way.__name__] += 1
        self._shift()
        way()

    def _rotated(self, number: int, ending: str = "") -> Path:
        return self.log.with_name(f"{self.log.name}.{number}{ending}")

    def _shift(self) -> None:
        for number in range(60, 0, -1):
            for ending in ("", ".gz"):
                if self._rotated(number, ending).exists():
                    self._rotated(number, ending).rename(self._rotated(number + 1, ending))

    def rename_and_create(self) -> None:
        """`create`: the writer is told at once."""
        self.log.rename(self._rotated(1))
        self.log.touch()

    def rename_and_write_on(self) -> None:
        """The writer goes on in the old file for a while."""
        self.log.rename(self._rotated(1))
        with self._rotated(1).open("a") as file:
            file.writelines(f"{self.line()}\n" for _ in range(self.draw.randrange(200)))
        self.log.touch()

    def copy_and_truncate(self) -> None:
        """`copytruncate`; nothing is written in between."""
        shutil.copyfile(self.log, self._rotated(1))
        os.truncate(self.log, 0)

    def rename_and_compress(self) -> None:
        """`delaycompress`: the file before the last one becomes a .gz with the same times."""
        self.rename_and_create()
        plain = self._rotated(2)
        if not plain.exists():
            return
        status = plain.stat()
        beside = plain.with_name(f"{plain.name}.gz.part")
        beside.write_bytes(gzip.compress(plain.read_bytes(), 1))
        os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
        beside.rename(self._rotated(2, ".gz"))
        plain.unlink()


def stamped(pid: int, text: str) -> str:
    """One line as rsyslog writes it."""
    return f"{datetime.now().astimezone().isoformat(timespec='microseconds')} mx postfix/smtpd[{pid}]: {text}"


def fails_with(ip: str, reason: str, name: str = "copier.example.net") -> list[str]:
    """The lines of a session whose handshake fails."""
    who = f"{name}[{ip}]"
    return [
        f"connect from {who}",
        f"SSL_accept error from {who}: -1",
        f"warning: TLS library problem: {reason}",
        f"lost connection after STARTTLS from {who}",
        f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2",
    ]


def gets_through(ip: str, name: str = "mail.example.net") -> list[str]:
    """The lines of a session that brings mail over TLS."""
    who = f"{name}[{ip}]"
    return [
        f"connect from {who}",
        f"Anonymous TLS connection established from {who}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        f"4ABC12345: client={who}",
        f"disconnect from {who} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
    ]
