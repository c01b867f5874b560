"""Log files: plain, gzip, bzip2, xz, zstd, or standard input (`-`); read once, as a stream, in bounded memory.

What is readable is used: a truncated archive, a line without end, binary data end in a warning, one sentence each.
What cannot be opened at all is an InputError.

BUGS: a log without years in its stamps gets the year of its last change; `zcat` into standard input has none, there
the present year is taken.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from mailtls.core.printable import printable
from mailtls.core.stamp import Calendar
from mailtls.errors import InputError

BLOCK = 1 << 18
LONGEST_LINE = 1 << 20

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_NOT_LOGS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a picture"),
    (b"LPKSHHRH", "a binary journal: use `journalctl -o short-iso -t postfix/smtpd > FILE`"),
)
_LONGEST_MAGIC = max(len(magic) for magic, _ in _MAGIC + _NOT_LOGS)


@dataclass(slots=True)
class LogFile:
    """One input. `position` counts the bytes read from disk (compressed, where the file is), for a progress bar."""

    path: str
    warnings: list[str] = field(default_factory=list)
    position: int = 0

    @property
    def name(self) -> str:
        """How messages call it."""
        return "standard input" if self.path == "-" else printable(self.path, 200)

    @property
    def size(self) -> int:
        """Bytes on disk; 0 where that is unknown."""
        try:
            return 0 if self.path == "-" else Path(self.path).stat().st_size
        except OSError:
            return 0

    @property
    def is_regular(self) -> bool:
        """Tell whether this is a file on disk, which can be read twice."""
        return self.path != "-" and Path(self.path).is_file()

    def probe(self) -> None:
        """Open and close it, unless it is a pipe: those can be opened only once. Raises InputError."""
        if self.path != "-" and not Path(self.path).is_fifo():
            self._open().close()

    def calendar(self) -> Calendar:
        """Years and zones for stamps without: the file's last change, and this machine's zone."""
        try:
            written = datetime.now() if self.path == "-" else datetime.fromtimestamp(Path(self.path).stat().st_mtime)
        except OSError:
            written = datetime.now()
        written = written.astimezone()
        return Calendar(written, written.tzinfo or UTC)

    def blocks(self) -> Iterator[bytes]:
        """Yield the text of the log in blocks of about `BLOCK` bytes, decompressed."""
        with self._open() as stream:
            first = _first_block(stream)
            self.position += len(first)
            if not first:
                self.warnings.append(f"{self.name} is empty: nothing to report from it.")
                return
            kind = next((name for magic, name in _MAGIC if first.startswith(magic)), "")
            if kind:
                yield from self._compressed(kind, stream, first)
                return
            self._warn_of_other_formats(first)
            while first:
                yield first
                first = stream.read(BLOCK)
                self.position += len(first)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines without their ends; what is longer than `LONGEST_LINE` is cut, and said."""
        carry = b""
        cut = 0
        for block in self.blocks():
            carry += block
            if b"\n" not in block:
                if len(carry) > LONGEST_LINE:
                    cut += 1
                    carry = carry[:LONGEST_LINE]
                continue
            lines = carry.split(b"\n")
            carry = lines.pop()
            for line in lines:
                yield line[:-1] if line.endswith(b"\r") else line
        if carry:
            yield carry[:-1] if carry.endswith(b"\r") else carry
        if cut:
            self.warnings.append(
                f"{self.name} has a line of more than {LONGEST_LINE} bytes: the rest of it was not read."
            )

    def _open(self) -> IO[bytes]:
        if self.path == "-":
            return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        try:
            if Path(self.path).is_dir():
                raise InputError(f"{self.name} is a directory: name the log files in it, e.g. {self.name}/mail.log.")
            return Path(self.path).open("rb", buffering=0)
        except FileNotFoundError:
            raise InputError(f"{self.name} does not exist: check the name (Postfix logs to {_usual_log()}).") from None
        except PermissionError:
            raise InputError(
                f"{self.name} may not be read by this user: try `sudo`, or a user in group adm or systemd-journal."
            ) from None
        except OSError as exc:
            raise InputError(f"{self.name} cannot be opened: {exc.strerror}.") from exc

    def _warn_of_other_formats(self, first: bytes) -> None:
        for magic, what in _NOT_LOGS:
            if first.startswith(magic):
                self.warnings.append(f"{self.name} is {what}, not a log.")
                return
        if first.count(0) > len(first) // 100:
            self.warnings.append(f"{self.name} holds binary data: only the lines of text in it are read.")

    def _compressed(self, kind: str, stream: IO[bytes], first: bytes) -> Iterator[bytes]:
        source = _Rewound(self, stream, first)
        try:
            with _decompressor(kind, source, self) as text:
                # read1 gives what there is: read would lose the last block of a truncated file
                read = getattr(text, "read1", text.read)
                while block := read(BLOCK):
                    yield block
        except EOFError:
            self.warnings.append(f"{self.name} is a truncated {kind} file: what came before its end was read.")
        except (OSError, zlib.error, lzma.LZMAError, ValueError) as exc:
            reason = printable(str(exc), 120)
            self.warnings.append(f"{self.name} is a damaged {kind} file ({reason}): what came before that was read.")


def _first_block(stream: IO[bytes]) -> bytes:
    """Read enough to know the format: a pipe may give it byte by byte."""
    first = stream.read(BLOCK)
    while 0 < len(first) < _LONGEST_MAGIC and (more := stream.read(BLOCK)):
        first += more
    return first


class _Rewound:
    """A stream with its first block put back, for decompressors that only read."""

    def __init__(self, owner: LogFile, stream: IO[bytes], first: bytes) -> None:
        self._owner = owner
        self._stream = stream
        self._first = first

    def read(self, size: int = -1) -> bytes:
        if self._first:
            if size < 0 or size >= len(self._first):
                block, self._first = self._first, b""
            else:
                block, self._first = self._first[:size], self._first[size:]
            return block
        block = self._stream.read(size if size >= 0 else BLOCK)
        self._owner.position += len(block)
        return block

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False


def _decompressor(kind: str, source: _Rewound, owner: LogFile) -> Any:
    """A context manager with `read(size)`; the standard classes want a whole file object where `read` is enough."""
    stream: Any = source
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if kind == "bzip2":
        return bz2.BZ2File(stream, "rb")
    if kind == "xz":
        return lzma.LZMAFile(stream, "rb")
    return _Zstd(owner)


class _Zstd:
    """zstd(1) as a child: Python has no zstd before 3.14."""

    def __init__(self, owner: LogFile) -> None:
        program = shutil.which("zstd")
        if program is None:
            raise InputError(f"{owner.name} is compressed with zstd: install it with `apt install zstd`.")
        if not owner.is_regular:
            raise InputError(f"{owner.name} is compressed with zstd: use `zstd -dc FILE | mailtlsctl report -`.")
        self._owner = owner
        self._child = subprocess.Popen(  # noqa: S603
            [program, "-dcq", "--", owner.path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def read(self, size: int) -> bytes:
        assert self._child.stdout is not None  # noqa: S101
        block = self._child.stdout.read(size)
        if not block and self._child.wait() != 0:
            raise EOFError
        return block

    def __enter__(self) -> _Zstd:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.stdout is not None:
            self._child.stdout.close()
        if self._child.poll() is None:
            self._child.terminate()
        self._child.wait()


def _usual_log() -> str:
    for path in ("/var/log/mail.log", "/var/log/maillog"):
        if Path(path).exists():
            return path
    return "/var/log/mail.log, or the journal: `journalctl -t postfix/smtpd -o short-iso`"
