"""A mail log on disk, and everything that rotation and its writers do to it; lines are numbered, none is like another.

Time is the play's own: every act takes a second, and files carry that time, as they would if the acts were hours apart.
"""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from mailtls.edge.rotatinglog import RotatingLog


@dataclass
class Stage:
    """The directory with the log, the program that writes it, and rotation."""

    directory: Path
    now: float = 1_700_000_000.0
    written: list[bytes] = field(default_factory=list)
    open_line: bytes = b""
    old: Path | None = None
    """Where the program still writes that did not reopen its log."""

    @property
    def log(self) -> Path:
        return self.directory / "mail.log"

    def rotated(self, number: int, ending: str = "") -> Path:
        return self.directory / f"mail.log.{number}{ending}"

    def pass_time(self) -> None:
        self.now += 1.0

    def write(self, count: int, path: Path | None = None) -> None:
        """Write whole lines; the first may end one that was begun."""
        self.pass_time()
        path = path or self.log
        text = b""
        for _ in range(count):
            begun = self.open_line if path == self.log else b""
            line = b"Nov 21 00:42:35 mail postfix/smtpd[%d]: line %d" % (len(self.written) % 7, len(self.written))
            if begun:
                line, text = begun, text + begun[len(begun) // 2 :] + b"\n"
                self.open_line = b""
            else:
                text += line + b"\n"
            self.written.append(line)
        self._append(path, text)

    def begin_line(self) -> None:
        """Write the first half of a line."""
        if not self.open_line:
            self.pass_time()
            self.open_line = (
                b"Nov 21 00:42:%02d mail postfix/smtpd[9]: a line in two writes, and it is a long one"
                % len(self.written)
            )
            self._append(self.log, self.open_line[: len(self.open_line) // 2])

    def _append(self, path: Path, text: bytes) -> None:
        with path.open("ab") as file:
            file.write(text)
        os.utime(path, (self.now, self.now))

    def shift(self) -> None:
        """Make room for a new `mail.log.1`."""
        for number in range(30, 0, -1):
            for ending in ("", ".gz"):
                if self.rotated(number, ending).exists():
                    self.rotated(number, ending).rename(self.rotated(number + 1, ending))
        if self.old is not None:
            self.old = None

    def rotate(self, create: bool = True) -> None:
        """Rename, and create anew."""
        if not self.log.exists():
            return
        if self.open_line:
            self.write(1)
        self.pass_time()
        self.shift()
        self.log.rename(self.rotated(1))
        self.old = self.rotated(1)
        if create:
            self.log.touch()
            os.utime(self.log, (self.now, self.now))

    def write_to_old(self, count: int) -> None:
        """Not where it is empty: a reader that was away does not know of it (see BUGS in edge/rotatinglog.py)."""
        if self.old is not None and self.old.stat().st_size:
            self.write(count, self.old)

    def copy_and_truncate(self) -> None:
        if not self.log.exists():
            return
        if self.open_line:
            self.write(1)
        self.pass_time()
        self.shift()
        shutil.copyfile(self.log, self.rotated(1))
        os.utime(self.rotated(1), (self.now, self.now))
        os.truncate(self.log, 0)

    def compress(self, number: int) -> None:
        """As logrotate does: a new file with the old times, and the old one is removed."""
        plain = self.rotated(number)
        if not plain.exists():
            return
        status = plain.stat()
        packed = self.rotated(number, ".gz")
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        os.utime(packed, (status.st_atime, status.st_mtime))
        plain.unlink()
        if self.old == plain:
            self.old = None


@dataclass
class Reader:
    """Reads a stage's log, commits lines and position together, and can be killed at any moment."""

    stage: Stage
    from_start: bool = True
    late: float = 1e9
    commits: list[tuple[str | None, int]] = field(default_factory=lambda: [(None, 0)])
    lines: list[bytes] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    log: RotatingLog = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.log is None:
            self.log = self.started(None)

    def started(self, position: str | None) -> RotatingLog:
        return RotatingLog(
            self.stage.log,
            position,
            from_start=self.from_start,
            clock=self.clock,
            wall=self.clock,
            late=self.late,
        )

    def clock(self) -> float:
        return self.stage.now

    def step(self) -> bool:
        """Take one batch and commit it; False: there is none."""
        self.log.look()
        read = self.log.read(self.stage.now)
        if self.log.loss and self.log.loss not in self.losses:
            self.losses.append(self.log.loss)
        if read is None and not self.log.changed:
            return False
        self.log.changed = False
        self.lines += read[0] if read is not None else []
        self.commits.append((self.log.position(), len(self.lines)))
        return True

    def drain(self) -> None:
        for _ in range(10_000):
            if not self.step() and not self.step():
                return
        raise AssertionError("reading never came to an end")

    def kill(self, commit: int = -1) -> None:
        """Start anew from a committed batch; what came after it was never stored."""
        self.log.close()
        commit = range(len(self.commits))[commit]
        del self.commits[commit + 1 :]
        position, count = self.commits[-1]
        del self.lines[count:]
        self.log = self.started(position)
