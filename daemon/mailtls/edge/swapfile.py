"""Replacing a file whole: written beside, on the disk, renamed over, never over an edit that somebody made meanwhile.

The file beside is `NAME.tmp`, locked: that is how `postconf -e` does it (global/edit_file.c, 3.7), so the two never
overwrite each other. Owner, mode and extended attributes (ACLs among them) stay, a symbolic link goes on leading to the
file. Its time is set three seconds back, since Postfix waits for main.cf to be two seconds old (facts 2.5).

BUGS: a file with several hard links is separated from the others. An editor that was opened before and saves after the
swap overwrites it; nothing in the world can see that coming.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from mailtls.edge.ledger import sync_directory
from mailtls.errors import RefusedError

BACK_S = 3
TRIES = 200
PAUSE_S = 0.05


def digest(content: bytes | None) -> str:
    """Give the SHA-256 of a content; a file that is not there has none."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def content_of(path: Path) -> bytes | None:
    """Read a file; None where there is none. Raises RefusedError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error


def swap(path: Path, new: bytes | None, expected: str) -> None:
    """Put `new` in place of a file whose content has the digest `expected`; None removes it.

    Raises RefusedError where the content is another by now, or nothing can be written there; nothing is changed then.
    """
    real = path.resolve()
    try:
        beside = real.with_name(f"{real.name}.tmp")
        handle = _locked(beside)
        try:
            if digest(content_of(real)) != expected:
                beside.unlink()
                raise RefusedError(f"{path} was changed by somebody else in this moment; it was left as it is")
            _exchange(handle, beside, real, new)
        finally:
            os.close(handle)
        sync_directory(real.parent)
    except OSError as error:
        where, why = error.filename or path, (error.strerror or "it cannot be written").lower()
        raise RefusedError(f"{where}: {why}; it was left as it is") from error


def _locked(beside: Path) -> int:
    """Open the file beside and lock it; it must still have its name when the lock is ours."""
    for _ in range(TRIES):
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return handle
        os.close(handle)
        time.sleep(PAUSE_S)
    raise RefusedError(f"{beside} is locked: somebody edits this file, for example with postconf -e; try again later")


def _exchange(handle: int, beside: Path, real: Path, new: bytes | None) -> None:
    if new is None:
        real.unlink(missing_ok=True)
        beside.unlink()
        return
    os.ftruncate(handle, 0)
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(new)
    _dress(handle, real)
    os.utime(handle, (time.time() - BACK_S,) * 2)
    os.fsync(handle)
    beside.rename(real)


def _dress(handle: int, real: Path) -> None:
    """Give the new file owner, mode and attributes of the old; a file that is new belongs to root and is for all."""
    if not real.exists():
        os.fchmod(handle, 0o644)
        return
    status = real.stat()
    os.fchown(handle, status.st_uid, status.st_gid)
    os.fchmod(handle, status.st_mode & 0o7777)
    for name in os.listxattr(real):
        with suppress(OSError):  # some are the kernel's own business
            os.setxattr(handle, name, os.getxattr(real, name))


def drop_left_over(path: Path) -> None:
    """Remove the file beside that a killed swap left, unless somebody holds it."""
    beside = path.resolve().with_name(f"{path.resolve().name}.tmp")
    with suppress(OSError):
        handle = os.open(beside, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            beside.unlink()
        finally:
            os.close(handle)
