"""mailtlsd's ear for the observer: its datagrams become sightings, and wait in the book for their sessions.

The socket is there as long as its directory is (tmpfiles.d makes it); without it, or without an observer, everything
else is as ever.

SECURITY: only the observer's group may write to the socket. What is no record is counted and thrown away; at most
`AT_ONCE` datagrams are taken before the rest of mailtlsd gets its turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from mailtls.core.controlprotocol import ObserverStatus
from mailtls.core.hellobook import HeardHello, HelloBook
from mailtls.core.hellorecord import Tally, read_record
from mailtls.core.session import Session
from mailtls.edge.hellosocket import HelloReceiver
from mailtls.errors import ConfigError

LOG = logging.getLogger("mailtls.hellolistener")
AT_ONCE = 500
ALIVE = timedelta(seconds=20)
"""So long after its last word the observer is taken to run; it says something every five seconds."""


class Received(Protocol):
    """Where datagrams come from."""

    def fileno(self) -> int:
        """Give the descriptor to wait for."""

    def receive(self) -> bytes | None:
        """Give a datagram that is there."""

    def close(self) -> None:
        """Receive no more."""


class HelloListener:
    """Keeps the book. `clock`: aware; `opener`: makes the socket at a path, or raises ConfigError."""

    def __init__(
        self, path: Path, clock: Callable[[], datetime], opener: Callable[[Path], Received] = HelloReceiver
    ) -> None:
        self._path = path
        self._clock = clock
        self._opener = opener
        self._socket: Received | None = None
        self._last: datetime | None = None
        self._tally = Tally()
        self._with_port = False
        self.book = HelloBook()
        self.garbage = 0

    def open(self) -> None:
        """Make the socket, where its directory is there; what hinders that is said, and hinders nothing else."""
        if not self._path.parent.is_dir():
            return
        try:
            self._socket = self._opener(self._path)
        except ConfigError as error:
            LOG.warning("%s Without the observer's hellos the log alone decides.", error)

    async def run(self) -> None:
        """Listen until cancelled."""
        if self._socket is None:
            await asyncio.Event().wait()
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self.take)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def take(self) -> None:
        """Take in what is there."""
        for _ in range(AT_ONCE):
            datagram = self._socket.receive() if self._socket is not None else None
            if datagram is None:
                return
            self._take(datagram)

    def _take(self, datagram: bytes) -> None:
        record = read_record(datagram)
        if record is None:
            self.garbage += 1
            if self.garbage & (self.garbage - 1) == 0:  # 1, 2, 4, 8, ...: nobody fills the log
                LOG.warning("%d datagrams at %s were no records of the observer", self.garbage, self._path)
            return
        self._last = self._clock()
        if isinstance(record, Tally):
            self._tally = record
        else:
            self.book.put(record)

    def match(self, session: Session) -> HeardHello | None:
        """Give the hello of a session that has ended, where it is known."""
        self._with_port = self._with_port or session.port is not None
        return self.book.match(session)

    def late(self) -> list[tuple[Session, HeardHello]]:
        """Give the sessions whose hellos came after them."""
        return self.book.take_late()

    def status(self) -> ObserverStatus:
        """How observing fares."""
        running = self._last is not None and self._clock() - self._last <= ALIVE
        return ObserverStatus(
            running=running,
            passed=self._tally.passed,
            hellos=self.book.heard,
            matched=self.book.matched,
            lost=self._tally.lost + self._tally.dropped,
            garbage=self.garbage,
            ports_logged=self._with_port,
        )
