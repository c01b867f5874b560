"""Brings a database to the tables of this version: makes them in an empty file, or takes the steps from an older one.

The version stands in the file's header (`PRAGMA user_version`), so that it can be read whatever the tables are, and
changes in the transaction that changes them: a step that is killed was never taken. There are no steps back: a database
of a newer mailtls is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Connection

from mailtls.edge.arrivalschema import ARRIVAL_TABLES
from mailtls.edge.helloschema import HELLOS
from mailtls.edge.storeschema import APPLICATION, METADATA, VERSION
from mailtls.errors import StoreError

Step = Callable[[Connection], None]


def _add_arrivals(connection: Connection) -> None:
    METADATA.create_all(connection, ARRIVAL_TABLES)


def _add_hellos(connection: Connection) -> None:
    METADATA.create_all(connection, [HELLOS])


STEPS: Mapping[int, Step] = {1: _add_arrivals, 2: _add_hellos}
"""From which version, and what brings it to the next."""


def migrate(connection: Connection, path: Path, target: int = VERSION, steps: Mapping[int, Step] = STEPS) -> None:
    """Bring the database to `target` within the transaction that has begun. Raises StoreError for one of others."""
    version = _pragma(connection, "user_version")
    if _is_empty(connection):
        METADATA.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
    elif _pragma(connection, "application_id") != APPLICATION:
        raise StoreError(
            f"{path}: this database is not mailtlsd's (no mark of it in the header); "
            f"move it away, or check which file this is: sqlite3 {path} .tables"
        )
    elif version > target:
        raise StoreError(
            f"{path}: a newer mailtls wrote this database (format {version}, this one knows up to {target}); "
            f"install that version again, or move the file away: mv {path} {path}.newer"
        )
    else:
        for number in range(version, target):
            steps[number](connection)
    if version != target:
        connection.exec_driver_sql(f"PRAGMA user_version = {target}")


def _is_empty(connection: Connection) -> bool:
    return int(connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()) == 0


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
