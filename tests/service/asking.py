"""Whoever speaks to a socket of mailtlsd: plain sockets in the test's own loop, so that nothing is hidden."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 20.0


class Asker:
    """One connection; `ask` sends a line and gives the answer as JSON."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def hear(self) -> dict[str, Any]:
        """The next answer. Fails the test at the end of the connection."""
        line = await asyncio.wait_for(self.reader.readline(), PATIENCE_S)
        assert line.endswith(b"\n"), f"no answer: {line!r}"
        return dict(json.loads(line))

    async def ask(self, question: dict[str, Any] | bytes) -> dict[str, Any]:
        await self.say(question if isinstance(question, bytes) else json.dumps(question).encode() + b"\n")
        return await self.hear()

    async def ended(self) -> bytes:
        """What comes until the other side closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S)
        except ConnectionResetError:
            return b""

    def leave(self) -> None:
        self.writer.transport.abort()


async def call(path: Path, limit: int = 1 << 26) -> Asker:
    return Asker(*await asyncio.open_unix_connection(str(path), limit=limit))


@asynccontextmanager
async def running(part: Callable[[], Awaitable[None]], ready: Callable[[], bool]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a service until the block ends; it has begun when `ready` says so."""
    task = asyncio.ensure_future(part())
    try:
        await until(lambda: ready() or task.done())
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what must become true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (what is waited for sets no event)
            await asyncio.sleep(0.001)
