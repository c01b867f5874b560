"""What SQLite and the disk report, as sentences for an operator: what was seen, and the command that comes next.

Source: sqlite.org/rescode.html; Python gives the code as `sqlite_errorcode` (3.11). The memory is no authority: it can
be moved away at any time, waivers are the keeper's and stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from mailtls.errors import StoreError

MOVE_AWAY = "move it away (mv {path} {path}.damaged): a new one is begun within seconds, and no waiver is lost."

SENTENCES = {
    sqlite3.SQLITE_BUSY: "another process holds this database locked, and mailtlsd must be the only one that "
    "writes it; see which: fuser -v {path}",
    sqlite3.SQLITE_CORRUPT: f"this database is damaged; {MOVE_AWAY}",
    sqlite3.SQLITE_NOTADB: f"this is no SQLite database, or its beginning is damaged; {MOVE_AWAY}",
    sqlite3.SQLITE_FULL: "the disk is full, or a quota is used up; make room: df -h {directory}",
    sqlite3.SQLITE_IOERR: "the disk did not take or give the data ({name}); see dmesg, and df -h {directory}",
    sqlite3.SQLITE_READONLY: "the database cannot be written: file, directory or disk is read-only for this user; "
    "see: ls -ld {directory} {path}",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened; this user must be able to read and write the file and "
    "its directory; see: ls -ld {directory} {path}",
    sqlite3.SQLITE_PERM: "this user may not use the database; see: ls -ld {directory} {path}",
    sqlite3.SQLITE_NOMEM: "there is not enough memory to use the database; see: free -m",
}
SENTENCES[sqlite3.SQLITE_LOCKED] = SENTENCES[sqlite3.SQLITE_BUSY]


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn what SQLite or the disk reports inside into a StoreError of one sentence."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(sentence(path, error.orig)) from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(sentence(path, error)) from error


def sentence(path: Path, error: BaseException | None) -> str:
    """Say what happened to the database at `path`."""
    if isinstance(error, OSError):
        return f"{path}: {(error.strerror or 'it cannot be used').lower()}; see: ls -ld {path.parent} {path}"
    code = getattr(error, "sqlite_errorcode", None)
    said = SENTENCES.get(code & 0xFF) if code is not None else None
    if said is None:
        return f"{path}: SQLite says '{error}'; this should not happen: please report it."
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    return f"{path}: " + said.format(path=path, directory=path.parent, name=name)
