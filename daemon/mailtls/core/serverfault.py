"""Ours or theirs? Notices that the server is at fault, so that no peer is touched meanwhile.

Two signs begin a fault: Postfix's own statement (`disabling TLS support`, a certificate or library error before any
`connect`), and several peers that used to succeed failing for the first time within minutes. It lasts until an hour
has passed without a further sign, or until the peers that turned bad succeed again. Failures meanwhile are not
counted against anybody.

SECURITY: a few strangers who first succeed and then fail can feign a fault. It costs an alarm, and that nobody is let
down for an hour, never that somebody is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

PEERS = 3
WITHIN = timedelta(minutes=10)
LASTS = timedelta(hours=1)
REMEMBERED = 64  # peers that turned bad


@dataclass(slots=True)
class ServerFault:
    """The state of the server as its peers and its own words show it."""

    turned: dict[str, datetime] = field(default_factory=dict)
    told_until: datetime | None = None
    turned_until: datetime | None = None
    began: datetime | None = None
    """When the fault that stands, or stood last, began."""

    def told(self, at: datetime) -> bool:
        """Take a statement of the server about itself; True if a fault begins with it."""
        begins = self._begins(at)
        self.told_until = max(self.told_until or at, at + LASTS)
        return begins

    def turned_bad(self, ip: str, at: datetime) -> bool:
        """Take a peer that used to succeed and now fails for the first time; True if a fault begins with it."""
        window = LASTS if self.stands(at) else WITHIN
        self.turned = {peer: since for peer, since in self.turned.items() if abs(at - since) <= window}
        if len(self.turned) < REMEMBERED:
            self.turned[ip] = at
        if len(self.turned) < PEERS:
            return False
        begins = self._begins(at)
        self.turned_until = max(self.turned_until or at, at + LASTS)
        return begins

    def _begins(self, at: datetime) -> bool:
        begins = not self.stands(at)
        if begins:
            self.began = at
        return begins

    def turned_since(self, change: datetime, now: datetime) -> tuple[str, ...]:
        """Name the peers that turned bad after a change of ours, if they are enough to charge it with that.

        Nobody where the fault stood before the change: it may be what was to end it.
        """
        if self.began is None or self.began < change or not self.stands(now):
            return ()
        peers = tuple(ip for ip, since in self.turned.items() if since >= change)
        return peers if len(peers) >= PEERS else ()

    def succeeded(self, ip: str) -> None:
        """Take a success of a peer: if too few stay failing, it was not the server."""
        if self.turned.pop(ip, None) is not None and len(self.turned) < PEERS:
            self.turned_until = None

    def stands(self, at: datetime) -> bool:
        """Tell whether the server is at fault at this time."""
        return any(until is not None and at < until for until in (self.told_until, self.turned_until))
