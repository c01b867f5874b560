"""Ownership: whether a file and everything above it can be changed by root only.

Whoever may write to a directory can swap what is in it, so the check goes through every parent, from the root of this
installation down. Symbolic links on the way are followed, and what they lead to is checked instead.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def ownership_fault(path: Path, root: Path) -> str | None:
    """Say in one sentence who else than root could change `path`, or None; parents are checked below `root`."""
    try:
        real, top = path.resolve(strict=True), root.resolve()
        below = (*reversed(real.parents), real)
        checked = [each for each in below if each != top and top in each.parents]
        return next((fault for each in checked if (fault := _fault(each))), None)
    except OSError as error:
        return f"{error.filename or path}: {(error.strerror or 'it cannot be looked at').lower()}"


def _fault(path: Path) -> str | None:
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to uid {status.st_uid} and not to root, who alone may decide here: chown root {path}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} may be written by others than root, who alone may decide here: chmod go-w {path}"
    return None
