"""The waivers that stand: who is covered, how many are automatic, which end next.

Time is told, never asked: `expire(now)` gives what has ended by then, and `next_expiry()` says when to ask again. A
waiver for one address is found at once; those for networks are few and looked through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from mailtls.core.waiver import Waiver

DAY = timedelta(hours=24)


class WaiverList:
    """The list; at most one waiver for the same address or network, the later one replacing the earlier."""

    def __init__(self, standing: Iterable[Waiver] = ()) -> None:
        self._addresses: dict[str, Waiver] = {}
        self._networks: dict[str, Waiver] = {}
        self._automatic: set[str] = set()
        self._granted: deque[datetime] = deque()
        self._next: datetime | None = None
        for waiver in standing:
            self.put(waiver)

    def __iter__(self) -> Iterator[Waiver]:
        return iter((*self._addresses.values(), *self._networks.values()))

    def put(self, waiver: Waiver) -> None:
        """Take a waiver in, or replace the one for the same peer."""
        room = self._networks if "/" in waiver.network else self._addresses
        room[waiver.network] = waiver
        (self._automatic.add if waiver.automatic else self._automatic.discard)(waiver.network)
        self._next = waiver.until if self._next is None else min(self._next, waiver.until)

    def grant(self, waiver: Waiver, at: datetime) -> None:
        """Take in a waiver that is given automatically now; it counts towards the day's quota."""
        self.put(waiver)
        self._granted.append(at)

    def withdraw(self, waiver: Waiver) -> None:
        """Take a waiver off the list."""
        self._addresses.pop(waiver.network, None)
        self._networks.pop(waiver.network, None)
        self._automatic.discard(waiver.network)

    def covering(self, ip: str, at: datetime | None) -> Waiver | None:
        """Give the waiver that covers this address and stands at this time, the narrowest first."""
        if at is None:
            return None
        waiver = self._addresses.get(ip)
        if waiver is not None and waiver.stands(at):
            return waiver
        found = (waiver for waiver in self._networks.values() if waiver.covers(ip) and waiver.stands(at))
        return max(found, key=lambda waiver: int(waiver.network.partition("/")[2]), default=None)

    def automatic(self) -> int:
        """Count the waivers that were given without a person's word."""
        return len(self._automatic)

    def granted_since(self, at: datetime) -> int:
        """Count the automatic waivers granted in the 24 hours before `at`."""
        while self._granted and self._granted[0] <= at - DAY:
            self._granted.popleft()
        return len(self._granted)

    def next_expiry(self) -> datetime | None:
        """Say when the next waiver ends; None while none stands."""
        return self._next

    def expire(self, now: datetime) -> list[Waiver]:
        """Take off the list what has ended by now, and give it, the earliest end first."""
        if self._next is None or now < self._next:
            return []
        ended = [waiver for waiver in self if waiver.until <= now]
        for waiver in ended:
            self.withdraw(waiver)
        self._next = min((waiver.until for waiver in self), default=None)
        return sorted(ended, key=lambda waiver: (waiver.until, waiver.network))
