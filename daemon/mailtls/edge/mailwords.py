"""Postfix's own words: what it wrote to its log since a moment, where that tells of trouble.

Read from the log files that mailtls.toml names and from Postfix's own maillog_file; a master that dies may take its
last words with it (facts 2.7), so that there are none is no good sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TROUBLE = re.compile(r" postfix[^ ]{0,80}\[[0-9]{1,10}\]: ((?:fatal|panic|error|warning): .*)$")
MOST = 1024 * 1024  # bytes
FEW = 4


class MailWords:
    """Marks the end of the logs now; `since` gives what was said after that."""

    def __init__(self, logs: Iterable[Path]) -> None:
        self._marks = {path: _size(path) for path in dict.fromkeys(logs)}

    def since(self) -> tuple[str, ...]:
        """Give the few latest lines that tell of trouble, without their header."""
        said: dict[str, None] = {}
        for path, mark in self._marks.items():
            for line in _text_after(path, mark).splitlines():
                if found := TROUBLE.search(line):
                    said[found.group(1)] = None
        return tuple(said)[-FEW:]


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _text_after(path: Path, mark: int) -> str:
    with suppress(OSError), path.open("rb") as file:
        size = _size(path)
        file.seek(max(mark if mark <= size else 0, size - MOST))
        return file.read(MOST).decode("utf-8", "replace")
    return ""
