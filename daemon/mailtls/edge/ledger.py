"""The keeper's ledger: an append-only journal of what happened to the list, one event a line.

A line is the CRC-32 of what follows, in eight hex digits, a space, and one JSON object. A change is done when its
lines are on the disk (fsync), not before. Read from its beginning the ledger gives the list again (core/register.py):

- A last line without its end was being written when the keeper was killed: it is dropped, nobody was told of it.
- A damaged line elsewhere is skipped, and said in `damage`. Event numbers never repeat, so each damaged line takes one.

It is compacted by writing it anew beside itself and renaming: the list as it is, the revocations, the times of the
day's grants, and the last events. Whoever changes it holds the lock, so that the keeper and `--expire-once` do not
lose each other's changes: a keeper that finds the file changed by another process reads it again.

SECURITY: the directory belongs to root and nobody else may enter it; the lock cannot be held by a stranger.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mailtls.core.keeperprotocol import Event, LiveWaiver
from mailtls.core.register import KEPT_EVENTS, Register
from mailtls.errors import StoreError

NAME = "ledger"
LOCK = "ledger.lock"
SLACK = 2 * KEPT_EVENTS
"""Lines beyond what a compacted ledger has, at which it is worth compacting again."""


class Line(BaseModel):
    """One line: one of its fields. `event` happens; `past` happened before the list below it was written down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: Event | None = None
    past: Event | None = None
    waiver: LiveWaiver | None = None
    revoked: tuple[Annotated[str, Field(max_length=64)], AwareDatetime] | None = None
    granted: AwareDatetime | None = None
    last: int | None = None

    def tell(self, register: Register) -> None:
        """Let the register know."""
        if self.event is not None:
            register.apply(self.event)
        if self.past is not None:
            register.remember(self.past)
        if self.waiver is not None:
            register.put(self.waiver)
        if self.revoked is not None:
            register.revoke(*self.revoked)
        if self.granted is not None:
            register.granted.append(self.granted)
        if self.last is not None:
            register.last = max(register.last, self.last)


class Ledger:
    """The ledger in one directory. `register`: the list as it was last read or changed; `damage`: sentences."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self.register = Register()
        self.damage: tuple[str, ...] = ()
        self._lock: int | None = None
        self._seen: tuple[int, int] | None = None
        self._lines = 0

    # --- the lock ----------------------------------------------------------------------------------------------

    def try_hold(self) -> bool:
        """Take the lock if it is free, and read what another process has changed. Raises StoreError."""
        try:
            if self._lock is None:
                self._lock = os.open(self.path.with_name(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreError(f"{self.path.with_name(LOCK)}: {_why(error)}; is the directory there?") from error
        try:
            if self._on_disk() != self._seen:
                self._read()
        except StoreError:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the lock back for good."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def stale(self) -> bool:
        """Tell whether another process has changed the ledger since it was read."""
        try:
            return self._on_disk() != self._seen
        except StoreError:
            return True

    def _on_disk(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path}: {_why(error)}") from error
        return status.st_ino, status.st_size

    # --- reading -----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read the whole ledger; the lock is held."""
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise StoreError(f"{self.path}: {_why(error)}; the waivers are not known until it can be read") from error
        whole = content[: content.rfind(b"\n") + 1]
        register, damaged = Register(), []
        lines = whole.split(b"\n")[:-1]
        for number, raw in enumerate(lines, 1):
            line = decode(raw)
            if line is None:
                damaged.append(number)
                register.last += 1
            else:
                line.tell(register)
        if len(whole) < len(content):
            self._cut(len(whole))
        self.register, self._lines, self._seen = register, len(lines), self._on_disk()
        self.damage = _damage(self.path, damaged)

    def _cut(self, length: int) -> None:
        """Remove a torn last line, or one that could not be written whole."""
        try:
            os.truncate(self.path, length)
        except OSError as error:
            raise StoreError(f"{self.path}: its torn last line cannot be removed: {_why(error)}") from error

    # --- writing -----------------------------------------------------------------------------------------------

    def append(self, events: Iterable[Event]) -> None:
        """Write events that the register has applied already, and wait until they are on the disk; the lock is held.

        Raises StoreError; then nothing was written, and the register is read again from the disk.
        """
        lines = [encode(Line(event=event)) for event in events]
        end = self._seen[1] if self._seen is not None else 0
        try:
            _append(self.path, b"".join(lines), new=self._seen is None)
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, end)
            with suppress(StoreError):
                self._read()
            raise StoreError(f"{self.path}: {_why(error)}; nothing was changed, free some space there") from error
        self._lines += len(lines)
        self._seen = self._on_disk()

    def worth_compacting(self) -> bool:
        """Tell whether much of the ledger is about what no longer stands."""
        return self._lines > len(self.register.standing) + len(self.register.events) + SLACK

    def compact(self) -> None:
        """Write the ledger anew, without what is over and done; the lock is held. Raises StoreError."""
        beside = self.path.with_name(f"{NAME}.new")
        lines = [encode(line) for line in _summary(self.register)]
        try:
            beside.unlink(missing_ok=True)
            _append(beside, b"".join(lines), new=True)
            beside.rename(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise StoreError(f"{beside}: {_why(error)}; the ledger stays as it is, and grows") from error
        self._lines, self._seen, self.damage = len(lines), self._on_disk(), ()


def _summary(register: Register) -> Iterator[Line]:
    yield Line(last=register.last)
    yield from (Line(revoked=pair) for pair in register.revoked.items())
    yield from (Line(granted=at) for at in register.granted)
    yield from (Line(past=event) for event in register.events)
    yield from (Line(waiver=waiver) for waiver in register.standing.values())


def encode(line: Line) -> bytes:
    """Write one line."""
    text = line.model_dump_json(exclude_defaults=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(raw: bytes) -> Line | None:
    """Read one line; None where it is damaged."""
    crc, _, text = raw.partition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    try:
        return Line.model_validate_json(text)
    except ValidationError:
        return None


def _damage(path: Path, numbers: list[int]) -> tuple[str, ...]:
    if not numbers:
        return ()
    which = ", ".join(str(number) for number in numbers[:5]) + (", ..." if len(numbers) > 5 else "")
    what = "line is" if len(numbers) == 1 else "lines are"
    return (
        f"{path}: {len(numbers)} {what} damaged and skipped (line {which}): compare mailtlsctl waivers with what you "
        "expect; was the disk full, or is it failing?",
    )


def _append(path: Path, content: bytes, *, new: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Wait until a directory's names are on the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(error: OSError) -> str:
    return (error.strerror or "it cannot be used").lower()
