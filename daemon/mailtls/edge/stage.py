"""A staged copy of Postfix's configuration directory: everything as it is, some files as they shall be.

What is not changed is a symbolic link to the original, so that tables under $config_directory are found; what is
changed is a file with the original's owner and mode, old enough to be read at once (facts 2.5).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from mailtls.errors import PostfixError

AGED_S = 60


def lay_out(stage: Path, original: Path, contents: Mapping[str, bytes]) -> Path:
    """Make the copy anew at `stage`, with these files (by name) in place of the original's. Raises PostfixError."""
    try:
        clear(stage)
        stage.mkdir(mode=0o755, parents=True)
        stage.chmod(0o755)
        for entry in sorted(original.iterdir()):
            if entry.name not in contents:
                (stage / entry.name).symlink_to(entry.absolute())
        for name, content in contents.items():
            _write(stage / name, original / name, content)
    except OSError as error:
        where, why = error.filename or stage, (error.strerror or "it cannot be written").lower()
        raise PostfixError(f"{where}: {why}; nothing was changed") from error
    return stage


def clear(stage: Path) -> None:
    """Remove the copy; links are removed, not what they lead to."""
    if stage.is_dir():
        shutil.rmtree(stage)


def _write(path: Path, original: Path, content: bytes) -> None:
    path.write_bytes(content)
    if original.exists():
        status = original.stat()
        os.chown(path, status.st_uid, status.st_gid)
        path.chmod(status.st_mode & 0o7777)
    os.utime(path, (time.time() - AGED_S,) * 2)
