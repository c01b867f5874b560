"""A file of our own that others read, renamed over whole: a reader has the old content or the new one, never a part.

Not synced to the disk: it is made anew when its writer starts. It gets its group from the directory (set-group-id).
"""

from __future__ import annotations

import os
from pathlib import Path

from mailtls.errors import StoreError


def replace_whole(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Put this content in place of the file's. Raises StoreError."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
        beside.rename(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
