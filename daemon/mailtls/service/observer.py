"""The observer: packets that the kernel let pass in, records out to mailtlsd.

It understands as little as it can: whose hello it is, and where it ends. What mailtlsd does not take waits, at most
`WAITING` records, the oldest are dropped; and no more than `A_SECOND` are told in one second, so that a flood costs a
bounded share of a processor here and there. Everything is counted, and the count is told every `TALLY_S` seconds.

DIAGNOSTICS: that mailtlsd does not take records is said once, and once when it does again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from mailtls.core.helloframe import read_frame
from mailtls.core.hellorecord import Sighting, Tally, write_record

LOG = logging.getLogger("mailtls.observer")
WAITING = 1000  # records; at most 8 MB
A_SECOND = 2000
AT_ONCE = 64  # packets, before anything else gets its turn
TALLY_S = 5.0
RETRY_S = 0.005


class Packets(Protocol):
    """Where packets come from."""

    def fileno(self) -> int:
        """Give the descriptor to wait for."""

    def receive(self) -> bytes | None:
        """Give a packet that is there."""

    def lost(self) -> int:
        """Count what there was no room for."""


class Sender(Protocol):
    """Where records go to."""

    @property
    def trouble(self) -> str:
        """Why nothing goes; empty where it does."""

    def send(self, datagram: bytes) -> bool:
        """Send one, now or not."""


class Observer:
    """`clock`: seconds since 1970; `alive` is called at every tally, for the watchdog."""

    def __init__(
        self, packets: Sequence[Packets], sender: Sender, clock: Callable[[], float], alive: Callable[[], object]
    ) -> None:
        self._packets = packets
        self._sender = sender
        self._clock = clock
        self._alive = alive
        self._waiting: deque[bytes] = deque()
        self._second, self._in_second = 0, 0
        self._passed = self._told = self._dropped = 0
        self._retry: asyncio.TimerHandle | None = None
        self._said = ""

    async def run(self) -> None:
        """Observe until cancelled."""
        loop = asyncio.get_running_loop()
        for packets in self._packets:
            loop.add_reader(packets.fileno(), self._take, packets)
        try:
            while True:
                self.tell_tally()
                self._alive()
                await asyncio.sleep(TALLY_S)
        finally:
            for packets in self._packets:
                loop.remove_reader(packets.fileno())
            if self._retry is not None:
                self._retry.cancel()

    def tally(self) -> Tally:
        """Count what was seen and what became of it."""
        lost = sum(packets.lost() for packets in self._packets)
        return Tally(self._passed, lost, self._told, self._dropped)

    def tell_tally(self) -> None:
        """Tell mailtlsd how it fares, and the log whether mailtlsd listens."""
        if self._sender.send(write_record(self.tally())):
            self.flush()
        if self._sender.trouble != self._said:
            self._said = self._sender.trouble
            LOG.warning("mailtlsd takes no records: %s", self._said) if self._said else LOG.info("mailtlsd listens")

    def _take(self, packets: Packets) -> None:
        for _ in range(AT_ONCE):
            packet = packets.receive()
            if packet is None:
                break
            self.take(packet)
        self.flush()

    def take(self, packet: bytes) -> None:
        """Take in one packet that the filter let pass."""
        self._passed += 1
        now = self._clock()
        sighting = read_frame(packet, now)
        if sighting is not None and self._may_tell(now):
            self._keep(sighting)

    def _may_tell(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        self._in_second += 1
        self._dropped += self._in_second > A_SECOND
        return self._in_second <= A_SECOND

    def _keep(self, sighting: Sighting) -> None:
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(write_record(sighting))

    def flush(self) -> None:
        """Send what waits, as far as it is taken; the rest soon."""
        while self._waiting and self._sender.send(self._waiting[0]):
            self._waiting.popleft()
            self._told += 1
        if self._waiting and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._again)

    def _again(self) -> None:
        self._retry = None
        self.flush()
