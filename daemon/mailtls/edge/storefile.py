"""The database's file with its two connections: one writes, and recalls what the decider needs; one answers questions.

WAL, so that a long answer holds up no writer; `synchronous=NORMAL`, so that a commit waits for no disk: a machine that
loses power loses the last commits, whole ones, and a process that is killed loses none. Whatever is begun here is
finished, even if the task that asked for it is cancelled: nobody must guess whether a commit took place.

The file may be moved away or deleted at any time, for a damaged one that is the cure. SQLite would go on writing into
a file that nobody can find any more; here it is noticed before the next write, said once, and a new one is begun.

SECURITY: the file holds addresses of peers and lines of the log: it is made with mode 0600.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from mailtls.edge.storemigration import migrate
from mailtls.edge.storetrouble import telling
from mailtls.errors import StoreError

BUSY = 0.2  # seconds for which another process's lock is waited for
MODE = 0o600

_EMPTY = ("PRAGMA auto_vacuum = INCREMENTAL",)  # counts before the first table is made; later it would write
_WRITER = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
)
_READER = ("PRAGMA query_only = ON", "PRAGMA temp_store = MEMORY")

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]


class StoreFile:
    """One database. `prepare` is done in the first transaction after each opening, when the tables are right."""

    def __init__(self, path: Path, prepare: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        self.path = path
        self._prepare = prepare
        self._engines: list[AsyncEngine] = []
        self._connections: list[AsyncConnection] = []
        self._writer: AsyncConnection | None = None
        self._reader: AsyncConnection | None = None
        self._identity: tuple[int, int] | None = None
        self._closed = False
        self._driver: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def open(self) -> None:
        """Open the file, made if it is missing, with the tables of this version. Raises StoreError."""
        await to_its_end(self._open_alone())

    async def close(self) -> None:
        """Close both connections; the last one empties the WAL into the database. Raises StoreError."""
        await to_its_end(self._close_alone())

    async def write(self, work: Work[T]) -> T:
        """Do the work in one transaction, which is all or nothing. Raises StoreError."""
        return await to_its_end(self._write(work))

    async def recall(self, work: Work[T]) -> T:
        """Read what was committed, on the connection that writes: a question never delays it. Raises StoreError."""
        return await to_its_end(self._read(work, self._writing, lambda: self._writer))

    async def read(self, work: Work[T]) -> T:
        """Read what was committed, however long that takes; nobody else waits but questions. Raises StoreError."""
        return await to_its_end(self._read(work, self._reading, lambda: self._reader))

    async def give_back(self, pages: int) -> None:
        """Make the file shorter by at most so many free pages. Raises StoreError."""
        await to_its_end(self._give_back(pages))

    # --- each to its end ------------------------------------------------------------------------------------------

    async def _open_alone(self) -> None:
        async with self._writing, self._reading:
            await self._open()

    async def _close_alone(self) -> None:
        async with self._writing, self._reading:
            self._closed = True
            with telling(self.path):
                await self._close()

    async def _write(self, work: Work[T]) -> T:
        async with self._writing:
            if self._moved():
                await self._begin_anew()
            with telling(self.path):
                return await _transaction(_open(self._writer, self.path), work)

    async def _give_back(self, pages: int) -> None:
        async with self._writing:
            _open(self._writer, self.path)
            with telling(self.path):
                if self._driver is not None:  # a script: of any other statement Python takes one step, and frees a page
                    await self._driver.executescript(f"PRAGMA incremental_vacuum({pages})")

    async def _read(self, work: Work[T], turn: asyncio.Lock, which: Callable[[], AsyncConnection | None]) -> T:
        async with turn:
            connection = _open(which(), self.path)
            with telling(self.path):
                async with connection.begin():
                    return await work(connection)

    # --- opening --------------------------------------------------------------------------------------------------

    def _moved(self) -> bool:
        return not self._closed and (self._identity is None or self._identity != _identity(self.path))

    async def _begin_anew(self) -> None:
        lost = self._identity is not None
        async with self._reading:
            with suppress(StoreError), telling(self.path):
                await self._close()
            await self._open()
        if lost:
            raise StoreError(f"{self.path}: the database was moved or deleted while in use; a new one is begun there.")

    async def _open(self) -> None:
        _check_directory(self.path)
        with telling(self.path):
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE))
                empty = self.path.stat().st_size == 0
                self._writer = await self._connect((*_EMPTY, *_WRITER) if empty else _WRITER)
                self._driver = (await self._writer.get_raw_connection()).driver_connection
                await _transaction(self._writer, self._make_right)
                self._reader = await self._connect(_READER)
                self._identity = _identity(self.path)
            finally:
                if self._identity is None:
                    with suppress(StoreError), telling(self.path):
                        await self._close()

    async def _make_right(self, connection: AsyncConnection) -> None:
        await connection.run_sync(migrate, self.path)
        await self._prepare(connection)

    async def _connect(self, pragmas: tuple[str, ...]) -> AsyncConnection:
        url = URL.create("sqlite+aiosqlite", database=str(self.path))
        # isolation_level None: transactions begin where `_transaction` says, not where Python's module guesses.
        engine = create_async_engine(url, poolclass=NullPool, connect_args={"isolation_level": None, "timeout": BUSY})
        self._engines.append(engine)
        connection = await engine.connect()
        self._connections.append(connection)
        for pragma in pragmas:
            await connection.exec_driver_sql(pragma)
        await connection.rollback()
        return connection

    async def _close(self) -> None:
        """Close everything that is open, whatever the disk says to it; raise the last that it said."""
        connections, self._connections = self._connections, []
        engines, self._engines = self._engines, []
        self._writer = self._reader = self._driver = self._identity = None
        said: DBAPIError | None = None
        for connection in reversed(connections):
            try:
                await connection.close()
            except DBAPIError as error:
                said = error
        for engine in engines:
            await engine.dispose()
        if said is not None:
            raise said


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for the work, and if this task is cancelled meanwhile, still for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # it was asked for, so that nobody complains that it was not
        raise


async def _transaction(connection: AsyncConnection, work: Work[T]) -> T:
    """Do the work between BEGIN IMMEDIATE and COMMIT: the lock is waited for once, before anything is done."""
    async with connection.begin():
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        return await work(connection)


def _open(connection: AsyncConnection | None, path: Path) -> AsyncConnection:
    if connection is None:
        raise StoreError(f"{path}: the database is not open; the journal says why: journalctl -u mailtlsd")
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_directory(path: Path) -> None:
    """Say plainly what SQLite would only call CANTOPEN."""
    directory = path.parent
    if not directory.is_dir():
        raise StoreError(
            f"{directory}: this directory is missing; make it: install -d -o mailtls -g mailtls -m 0750 {directory}"
        )
    if path.is_dir():
        raise StoreError(f"{path}: this is a directory, and a database is expected; move it away.")
