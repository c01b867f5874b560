"""A directory where one process leaves notes that another reads: small JSON files, each replaced whole.

SECURITY: the reader may be root and the writer nobody in particular. So a note is read without following links or
waiting (a pipe), and no more than LARGEST of it; one that is no note is told from one that is not there. The directory
itself must not be the reader's to trust more than its writer: nothing is ever written to somebody else's board, but a
note is removed there, which can only remove a name in it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mailtls.errors import StoreError

LARGEST = 256 * 1024  # bytes
OF_APPLY = "/run/mailtls-apply"
"""Where mailtls-apply puts its notes, under the root of the installation."""
Note = TypeVar("Note", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class NoticeBoard:
    """One directory; `readers` is the group that may read what is put there, None: everybody."""

    directory: Path
    readers: int | None = None

    def put(self, name: str, note: BaseModel) -> None:
        """Put a note up, in place of the one with this name. Raises StoreError."""
        path = self.directory / name
        beside = path.with_name(f"{name}.new")
        try:
            self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(note.model_dump_json(indent=1) + "\n")
                if self.readers is not None:
                    os.fchown(file.fileno(), -1, self.readers)
                os.fchmod(file.fileno(), 0o644 if self.readers is None else 0o640)
            beside.rename(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error

    def read(self, name: str, kind: type[Note]) -> Note | None:
        """Read a note; None where there is none. Raises StoreError where it is none, or may not be read."""
        path = self.directory / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise StoreError(f"{path} is no file")
                content = file.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise StoreError(f"{path} is larger than {LARGEST} bytes")
            return kind.model_validate_json(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
        except ValidationError:
            raise StoreError(f"{path} is not what it should be") from None

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """Give what changes with every note of this name; None where there is none."""
        try:
            status = (self.directory / name).lstat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def remove(self, name: str) -> None:
        """Take a note off, if it can be."""
        with suppress(OSError):
            (self.directory / name).unlink()
