"""The files that a rotating log leaves beside it, and which of them holds what a reader has not read yet.

Known are logrotate's names (`mail.log.1`, `mail.log.2.gz`, `mail.log-20250131.xz`, `mail-20250131.log` of its option
`extension`), those of `postfix logrotate` (maillog_file_rotate_suffix: `mail.log.20250131-120000.gz`), of savelog(8)
and newsyslog(8) (`mail.log.0`). What a file is, its content decides: names only say where to look.

BUGS: files that rotation moves to another directory (`olddir`) are not looked for. Files are ordered by their last
change: a clock that was set back between two rotations can hide one of them from a reader that was away during both.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mailtls.core.logposition import SPAN, KnownFile, Place, fingerprint
from mailtls.edge.logstream import LogFile
from mailtls.errors import InputError

SLACK = 0.05  # seconds: a file's time is that of the kernel's last tick, and may lie before the clock's
MOST = 2_000  # files of one log that are looked at
_ARCHIVE = re.compile(r"\.(?:gz|bz2|xz|zst)$")
_DATED = re.compile(r"[._-](?:\d[\dT:._-]{0,40}|old)(?:\.(?:gz|bz2|xz|zst))?$")


@dataclass(frozen=True, slots=True)
class Sibling:
    """One file beside the log. `dated`: its name says that it was the log itself; `written`: its last change."""

    path: Path
    inode: int
    size: int
    written: float
    archive: bool
    dated: bool

    def head(self, length: int = SPAN) -> bytes:
        """Return the first bytes of its text; none where it cannot be read."""
        with suppress(OSError, InputError):
            return _archive_head(self.path, length) if self.archive else _span(self.path, 0, length)
        return b""

    def holds(self, place: Place) -> bool:
        """Tell whether this is the file, or a copy of it, that the place was in, with what came before the place."""
        if not place.head.length:
            return not self.archive and self.inode == place.inode
        if not place.head.fits(self.head(place.head.length)):
            return False
        if self.archive:
            return True  # reading up to the place would be reading it all
        with suppress(OSError):
            return place.tail.fits(_span(self.path, place.offset - place.tail.length, place.tail.length))
        return False

    def file(self) -> KnownFile:
        """Return it as one of which everything is read."""
        return KnownFile(self.inode, fingerprint(self.head()))

    def moved(self) -> bool:
        """Tell whether the name means another file by now, or none."""
        try:
            return self.path.stat().st_ino != self.inode
        except OSError:
            return True

    def is_known(self, known: Iterable[KnownFile]) -> bool:
        """Tell whether it is one of these, or a copy."""
        head = self.head()
        return any(
            file.head.fits(head) if file.head.length else file.inode == self.inode and not self.archive
            for file in known
        )


def siblings(path: Path) -> list[Sibling]:
    """Return the regular files that look like rotated forms of this log, the oldest first."""
    places = {path.parent: path.name}
    with suppress(OSError):
        target = path.resolve()
        places.setdefault(target.parent, target.name)
    found = [sibling for directory, name in places.items() for sibling in _in_directory(directory, name)]
    return sorted(found, key=lambda sibling: sibling.written)[-MOST:]


def names(beside: list[Sibling]) -> set[tuple[Path, int]]:
    """Which name means which file: other than before, if something was renamed."""
    return {(sibling.path, sibling.inode) for sibling in beside}


def find(place: Place, beside: list[Sibling]) -> Sibling | None:
    """Find the file that the place is in: the same inode, then the longest plain one, then an archive."""
    fitting = [sibling for sibling in beside if sibling.holds(place)]
    fitting.sort(key=lambda sibling: (sibling.inode == place.inode, not sibling.archive, sibling.size))
    return fitting[-1] if fitting else None


def itself(path: Path) -> Sibling | None:
    """Return the log as one of the files; None where there is no such file."""
    with suppress(OSError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            return Sibling(path, status.st_ino, status.st_size, status.st_mtime, archive=False, dated=False)
    return None


def next_after(since: float, known: Iterable[KnownFile], beside: list[Sibling]) -> Sibling | None:
    """Find the oldest file that was the log after a time (seconds since 1970) and is not one of those known."""
    known = tuple(known)
    for sibling in beside:
        if sibling.dated and sibling.size and sibling.written >= since - SLACK and not sibling.is_known(known):
            if sibling.archive and not sibling.head():
                continue  # in the making, or broken
            return sibling
    return None


def _in_directory(directory: Path, name: str) -> list[Sibling]:
    stem, dot, extension = name.rpartition(".")
    found = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name == name or not entry.name.startswith(stem if dot else name):
                continue
            dated = _dated(entry.name, name, stem, extension)
            if dated is None:
                continue
            with suppress(OSError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    archive = _ARCHIVE.search(entry.name) is not None
                    place = directory / entry.name
                    found.append(Sibling(place, status.st_ino, status.st_size, status.st_mtime, archive, dated))
    return found


def _dated(entry: str, name: str, stem: str, extension: str) -> bool | None:
    """Tell whether the name is that of a rotated log; None: it has nothing to do with this log."""
    if entry.startswith(name):
        return _DATED.fullmatch(entry, len(name)) is not None
    plain = _ARCHIVE.sub("", entry)
    if stem and plain.endswith(f".{extension}"):  # logrotate's `extension`: the suffix before the file's own
        return _DATED.fullmatch(plain[len(stem) : -len(extension) - 1]) is not None or None
    return None


def _span(path: Path, start: int, length: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.pread(descriptor, length, start)
    finally:
        os.close(descriptor)


def _archive_head(path: Path, length: int) -> bytes:
    head = b""
    blocks = LogFile(str(path)).blocks()
    while len(head) < length and (block := next(blocks, b"")):
        head += block[:length]
    blocks.close()  # type: ignore[attr-defined]
    return head[:length]
