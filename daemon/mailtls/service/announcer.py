"""The announcer: tells those who watch what happens, as it happens.

Nobody who listens slowly holds up anything: each listener has a queue of `BACKLOG`, the oldest leaves first, and what
was left out is told as a count. While nobody listens, nothing is made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from mailtls.core.controlprotocol import Happening

BACKLOG = 1000


class _Listener:
    __slots__ = ("left_out", "queue", "ready")

    def __init__(self) -> None:
        self.queue: deque[Happening] = deque()
        self.left_out = 0
        self.ready = asyncio.Event()

    def tell(self, happening: Happening) -> None:
        if len(self.queue) >= BACKLOG:
            self.queue.popleft()
            self.left_out += 1
        self.queue.append(happening)
        self.ready.set()


class Announcer:
    """`clock` gives the time of the notice about what was left out."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._listeners: set[_Listener] = set()

    @property
    def heard(self) -> bool:
        """Tell whether anybody listens."""
        return bool(self._listeners)

    def tell(self, make: Callable[[], Happening]) -> None:
        """Tell everybody; `make` is called only where somebody listens."""
        if self._listeners:
            happening = make()
            for listener in self._listeners:
                listener.tell(happening)

    async def listen(self) -> AsyncGenerator[Happening, None]:
        """Yield what happens from now on, until the caller closes it."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                await listener.ready.wait()
                listener.ready.clear()
                while listener.queue:
                    if listener.left_out:  # the oldest of the queue left, so the gap is here
                        count, listener.left_out = listener.left_out, 0
                        what = f"{count} happenings were left out: they came faster than they were read"
                        yield Happening(at=self._clock(), kind="source", what=what)
                    else:
                        yield listener.queue.popleft()
        finally:
            self._listeners.discard(listener)
