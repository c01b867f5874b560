"""The checkpoint of a transaction: what the files were and what they shall be, on the disk before anything is changed.

One at a time, in a directory of its own, under a lock. Its `step` says how far it came; from `swapping` on a process
that finds it takes everything back, from `verified` on nothing but the clearing away is left. A checkpoint that cannot
be read was never complete, so nothing was changed after it.

SECURITY: the directory is root's alone: main.cf may hold passwords.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel, ConfigDict, ValidationError

from mailtls.edge.ledger import sync_directory
from mailtls.edge.swapfile import digest
from mailtls.errors import RefusedError

LOOKS_S = 0.05


class Step(StrEnum):
    """How far a transaction came."""

    PREPARED = "prepared"
    SWAPPING = "swapping"
    VERIFIED = "verified"


class FileIntent(BaseModel):
    """One file: content before and after, in base64; None where it is not there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    before: str | None
    after: str | None

    @property
    def old(self) -> bytes | None:
        """Give the content before."""
        return None if self.before is None else base64.b64decode(self.before)

    @property
    def new(self) -> bytes | None:
        """Give the content after."""
        return None if self.after is None else base64.b64decode(self.after)


class Intent(BaseModel):
    """The whole checkpoint; `what` is the command, `sums` the digests of the contents before, in the files' order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    configuration: str
    step: Step
    files: tuple[FileIntent, ...]
    sums: tuple[str, ...]


def intend(path: Path, old: bytes | None, new: bytes | None) -> FileIntent:
    """Write down one file."""
    return FileIntent(path=str(path), before=_encoded(old), after=_encoded(new))


def _encoded(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


class Workplace:
    """The directory of transactions: the lock, the checkpoint, the staged copy and the last good files.

    As a context it holds the lock. Raises RefusedError where somebody else does, or where nothing can be written.
    With `patience_s` it waits so long for the other one, and says so before.
    """

    def __init__(self, directory: Path, patience_s: float = 0, say: Callable[[str], None] = lambda _: None) -> None:
        self.directory = directory
        self._patience_s = patience_s
        self._say = say
        self._checkpoint = directory / "checkpoint.json"
        self._lock = -1

    @property
    def stage(self) -> Path:
        """Where the staged copy is made."""
        return self.directory / "stage"

    @property
    def words(self) -> Path:
        """Where the log of a service that is tried arrives."""
        return self.directory / "words"

    def __enter__(self) -> Workplace:
        """Make the directory and take the lock."""
        try:
            self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            self.directory.chmod(0o711)  # Postfix's user goes through it to the staged copy, and lists nothing
            self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_turn()
        except BlockingIOError:
            os.close(self._lock)
            raise RefusedError("another mailtls-apply is at work; wait until it has ended, and try again") from None
        except OSError as error:
            raise _unwritable(self.directory, error) from error
        return self

    def _take_turn(self) -> None:
        deadline = time.monotonic() + self._patience_s
        said = False
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                if not said:
                    self._say("another mailtls-apply is at work; waiting until it has ended")
                said = True
                time.sleep(LOOKS_S)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        os.close(self._lock)

    def checkpoint(self) -> Intent | None:
        """Give what a predecessor left, or None."""
        try:
            intent = Intent.model_validate_json(self._checkpoint.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError):
            raise RefusedError(
                f"{self._checkpoint} cannot be read, so nothing is known of the transaction that it belongs to; "
                "compare main.cf and master.cf with your backup, and remove the file"
            ) from None
        except OSError as error:
            raise _unwritable(self._checkpoint, error) from error
        if tuple(digest(file.old) for file in intent.files) != intent.sums:
            raise RefusedError(f"{self._checkpoint} is damaged; compare main.cf and master.cf with your backup")
        return intent

    def mark(self, intent: Intent) -> None:
        """Put the checkpoint on the disk."""
        self.put(self._checkpoint, intent.model_dump_json().encode())

    def clear(self) -> None:
        """Forget the checkpoint and the staged copy."""
        shutil.rmtree(self.stage, ignore_errors=True)
        with suppress(FileNotFoundError):
            self._checkpoint.unlink()
        sync_directory(self.directory)

    def put(self, path: Path, content: bytes) -> None:
        """Write a file of the workplace whole, for root alone."""
        beside = path.with_name(f"{path.name}.new")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> RefusedError:
    why = (error.strerror or str(error)).lower()
    return RefusedError(f"{error.filename or path}: {why}; nothing was changed; run this as root")
