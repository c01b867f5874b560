"""Listen to a follower in the background, and wait for what it says instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from mailtls.edge.follow import Batch, Follower
from mailtls.edge.journal import JournalFollower

PATIENCE = 30.0  # seconds; a test that needs them has failed


class Listening:
    """`async with Listening(follower) as heard:`, then `await heard.until(...)`."""

    def __init__(self, follower: Follower | JournalFollower) -> None:
        self.follower = follower
        self.batches: list[Batch] = []
        self.words: list[str] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def lines(self) -> list[bytes]:
        return [line for batch in self.batches for line in batch.lines]

    @property
    def position(self) -> str:
        return self.batches[-1].position

    async def __aenter__(self) -> Listening:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._task is not None
        await self.follower.close()
        await asyncio.wait_for(self._task, PATIENCE)

    async def _listen(self) -> None:
        async for batch in self.follower.batches():
            self.batches.append(batch)
            self.words.append(self.follower.state.word)
            self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is asked after each batch."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.follower.state}, lines {self.lines[-5:]}") from None

    async def until_lines(self, *lines: bytes) -> None:
        """Wait for exactly these lines in all."""
        await self.until(lambda: len(self.lines) >= len(lines))
        assert self.lines == list(lines)

    async def until_word(self, word: str) -> None:
        await self.until(lambda: self.words[-1:] == [word])
