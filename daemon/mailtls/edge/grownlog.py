"""What a mail log got since a moment: the file's new lines, or the journal's.

Small and short-lived, for a command that has just given the log something to say; what is followed for years is
`follow`'s business.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

USUAL = (Path("/var/log/mail.log"), Path("/var/log/maillog"))
MOST = 256 << 20  # bytes of new lines that are looked at
_PATIENCE_S = 20.0


class GrownLog:
    """The new lines of one file, from now on; a file that is rotated away is read to its end. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file: BinaryIO = path.open("rb")
        self._start = self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[bytes]:
        """Give every whole line since then."""
        self._file.seek(self._start)
        return self._file.read(MOST).split(b"\n")[:-1]

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class GrownJournal:
    """The new lines of smtpd in systemd's journal, from this moment on.

    To the microsecond: within one second others may have come, and without ports only the order tells who was who.
    """

    name = "the journal"

    def __init__(self) -> None:
        self._since = f"{time.time():.6f}"

    def lines(self) -> list[bytes]:
        """Give every line since then; none where there is no journal, or it may not be read."""
        command = ["journalctl", "--no-pager", "-q", "-o", "short-iso", f"--since=@{self._since}", "_COMM=smtpd"]
        with suppress(OSError, subprocess.TimeoutExpired):
            return subprocess.run(  # noqa: S603 - our own words
                command, capture_output=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL
            ).stdout[:MOST].split(b"\n")[:-1]  # fmt: skip
        return []

    def close(self) -> None:
        """Nothing is held."""


def grown_log(named: Iterable[str]) -> GrownLog | GrownJournal:
    """Open the last of these that can be read, else the usual files, else the journal."""
    for path in (*(Path(name) for name in reversed(list(named)) if name), *USUAL):
        with suppress(OSError):
            return GrownLog(path)
    return GrownJournal()
