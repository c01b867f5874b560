"""Databases of other versions: older ones are brought forward step by step, newer ones and strangers' are refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine
from tests.edge.remembering import change, in_loop, opened, rows, session

from mailtls.edge.storemigration import STEPS, Step, migrate
from mailtls.edge.storeschema import APPLICATION, VERSION
from mailtls.errors import StoreError

SCHEMAS = sorted(Path(__file__).parent.glob("storeschema-*.sql"))


def bring(path: Path, target: int = VERSION, steps: dict[int, Step] | None = None) -> None:
    """Migrate in one transaction, as the store does when it opens the file."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        migrate(connection, path, target, STEPS if steps is None else steps)
    engine.dispose()


def version_of(path: Path) -> int:
    return int(rows(path, "PRAGMA user_version")[0][0])


def shape_of(path: Path) -> dict[str, object]:
    """Tables with their columns, indexes with theirs; not the spelling of the statements."""
    shape: dict[str, object] = {}
    for (table,) in rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
        shape[table] = rows(path, f"PRAGMA table_info({table})")
        for _, index, unique, _, partial in rows(path, f"PRAGMA index_list({table})"):
            columns = [column for _, _, column in rows(path, f"PRAGMA index_info({index})")]
            shape[f"{table}: {columns}"] = (unique, partial)
    return shape


def new_table(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE doors (door TEXT)")
    connection.exec_driver_sql("INSERT INTO doors SELECT DISTINCT door FROM kinds")


def new_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE doors ADD COLUMN up INTEGER")


def broken(connection: Connection) -> None:
    new_table(connection)
    connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")


NEXT: dict[int, Step] = {VERSION: new_table, VERSION + 1: new_column}


@in_loop
async def test_a_new_file_has_this_version_and_our_mark(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    await (await opened(path)).close()
    assert version_of(path) == VERSION
    assert rows(path, "PRAGMA application_id") == [(APPLICATION,)]
    assert path.stat().st_mode & 0o777 == 0o600, "it holds addresses of peers"


@in_loop
async def test_an_older_database_takes_every_step_and_keeps_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    store = await opened(path)
    await store.commit(change(session()))
    await store.close()
    bring(path, VERSION + 2, NEXT)
    assert version_of(path) == VERSION + 2
    assert rows(path, "SELECT door, up FROM doors") == [("strict", None)]
    assert rows(path, "SELECT count(*) FROM peers") == [(1,)]


@in_loop
async def test_a_step_that_fails_was_never_taken(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    await (await opened(path)).close()
    with pytest.raises(Exception, match="nowhere"):
        bring(path, VERSION + 1, {VERSION: broken})
    assert version_of(path) == VERSION
    assert "doors" not in shape_of(path)


@in_loop
async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    await (await opened(path)).close()
    bring(path, VERSION + 2, NEXT)
    before = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        await opened(path)
    said = str(refused.value)
    assert f"format {VERSION + 2}" in said
    assert f"mv {path}" in said
    assert path.read_bytes() == before


@in_loop
async def test_a_database_of_others_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.db"
    rows(path, "CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="not mailtlsd's"):
        await opened(path)
    assert rows(path, "SELECT name FROM sqlite_schema") == [("theirs",)]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_a_database_of_any_version_becomes_what_a_new_one_is(schema: Path, tmp_path: Path) -> None:
    """Tables that are changed without a new VERSION and a step to it end here: real databases would not follow."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(schema.read_text("utf-8"))
    bring(old)
    bring(new)
    assert shape_of(old) == shape_of(new)
    assert version_of(old) == version_of(new) == VERSION


def test_there_is_a_schema_of_every_version() -> None:
    assert [path.stem for path in SCHEMAS] == [f"storeschema-{number}" for number in range(1, VERSION + 1)]
