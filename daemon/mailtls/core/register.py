"""The keeper's list: what stands, what a person ended, and who has asked what already.

It is nothing but its events, applied one after the other: the same events always make the same list, so a keeper that
was killed has the list again when it has read its ledger. Time is told, never asked. Every question that a request
asks is answered without looking through the whole list, networks aside, which are few.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile

from mailtls.core.keeperprotocol import Event, LiveWaiver, Step
from mailtls.core.level import Level
from mailtls.core.rule import Network
from mailtls.core.waiver import Origin

KEPT_EVENTS = 10_000
"""Events that can still be asked for; older ones are forgotten."""

KEPT_REVOCATIONS = 10_000
"""Addresses and networks that a person ended, the latest; mailtlsd may not waive them again."""

DAY = timedelta(hours=24)
MAILTLSD = "mailtlsd"
CLOCK = "clock"
KNOWN_LEGACY = "known-legacy.toml"
_NO_PERSON = frozenset({MAILTLSD, CLOCK, KNOWN_LEGACY})


class Register:
    """The list. `standing` by id; `revoked`: when, by what a person ended, oldest first; `last`: the last number."""

    def __init__(self) -> None:
        self.standing: dict[str, LiveWaiver] = {}
        self.revoked: dict[str, datetime] = {}
        self.granted: deque[datetime] = deque()
        self.events: deque[Event] = deque()
        self.last = 0
        self._known: dict[str, LiveWaiver] = {}
        self._peers: dict[str, dict[str, LiveWaiver]] = {}
        self._networks: dict[str, Network] = {}
        self._levels: dict[Level, dict[str, LiveWaiver]] = {level: {} for level in Level}
        self._ended: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._automatic: set[str] = set()
        self._ends: list[tuple[datetime, str]] = []

    # --- what happens ------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Let one thing happen."""
        waiver = event.waiver
        self.remember(event)
        if event.step in (Step.GRANTED, Step.RENEWED):
            self.put(waiver)
            self._allowed(event)
        else:
            self._drop(waiver)
        if event.step is Step.GRANTED and is_automatic(waiver):
            self.granted.append(event.at)
        if event.step is Step.WITHDRAWN and event.by not in _NO_PERSON:
            self.revoke(waiver.network, event.at)

    def put(self, waiver: LiveWaiver) -> None:
        """Take a waiver in as it stands."""
        before = self.standing.get(waiver.id)
        if before is not None and before.level is not waiver.level:  # an entry of the file may have got another one
            del self._levels[before.level][waiver.id]
        self.standing[waiver.id] = self._levels[waiver.level][waiver.id] = waiver
        self._peers.setdefault(waiver.network, {})[waiver.id] = waiver
        if "/" in waiver.network:
            self._networks[waiver.network] = ipaddress.ip_network(waiver.network)
        (self._automatic.add if is_automatic(waiver) else self._automatic.discard)(waiver.id)
        heapq.heappush(self._ends, (waiver.until, waiver.id))

    def _drop(self, waiver: LiveWaiver) -> None:
        self.standing.pop(waiver.id, None)
        self._levels[waiver.level].pop(waiver.id, None)
        self._automatic.discard(waiver.id)
        same = self._peers.get(waiver.network, {})
        same.pop(waiver.id, None)
        if not same:
            self._peers.pop(waiver.network, None)
            self._networks.pop(waiver.network, None)

    def remember(self, event: Event) -> None:
        """Keep an event without letting it happen: the list was read as it was after it."""
        self.last = max(self.last, event.number)
        self.events.append(event)
        if event.step in (Step.WITHDRAWN, Step.EXPIRED):
            self._ended.append(event)
        self._known[event.waiver.id] = event.waiver
        while len(self.events) > KEPT_EVENTS:
            gone = self.events.popleft().waiver
            if self._known.get(gone.id) is gone:
                del self._known[gone.id]

    def revoke(self, network: str, at: datetime) -> None:
        """Remember that a person ended this, so that no policy gives it again."""
        self.revoked.pop(network, None)
        self.revoked[network] = at
        while len(self.revoked) > KEPT_REVOCATIONS:
            del self.revoked[next(iter(self.revoked))]

    def _allowed(self, event: Event) -> None:
        """A person's word, or a line in the file, ends the revocation of the same peer and of what lies in it."""
        if not self.revoked or event.by in (MAILTLSD, CLOCK):
            return
        self.revoked.pop(event.waiver.network, None)
        if "/" in event.waiver.network:
            outer = ipaddress.ip_network(event.waiver.network)
            for network in [each for each in self.revoked if _within(each, outer)]:
                del self.revoked[network]

    # --- what is asked -----------------------------------------------------------------------------------------

    def ever(self, name: str) -> LiveWaiver | None:
        """Give the waiver that had this id, as it was last, if that is still known."""
        return self.standing.get(name) or self._known.get(name)

    def of(self, network: str) -> tuple[LiveWaiver, ...]:
        """Give the waivers for exactly this address or network."""
        return tuple(self._peers.get(network, {}).values())

    def peers(self, now: datetime, level: Level) -> tuple[str, ...]:
        """Give every address and network that is waived at this level now, each once.

        What is over may still be on the list.
        """
        return tuple(dict.fromkeys([waiver.network for waiver in self._levels[level].values() if waiver.until > now]))

    def at(self, level: Level) -> Iterable[LiveWaiver]:
        """Give the waivers of this level."""
        return self._levels[level].values()

    def ended_since(self, since: datetime, level: Level) -> tuple[str, ...]:
        """Give the addresses and networks of which a waiver of this level ended after this time, the latest first."""
        lately = takewhile(lambda event: event.at > since, reversed(self._ended))
        return tuple(dict.fromkeys(each.waiver.network for each in lately if each.waiver.level is level))

    def covering(self, ip: str) -> LiveWaiver | None:
        """Give a waiver whose address or network holds this address."""
        if ip in self._peers:
            return self.of(ip)[0]
        found = (text for text, network in self._networks.items() if _within(ip, network))
        return next((self.of(text)[0] for text in found), None)

    def about(self, peer: str) -> tuple[LiveWaiver, ...]:
        """Give the waivers that hold this address or network, itself included, and those within it."""
        asked = ipaddress.ip_network(peer)
        around = [text for text, network in self._networks.items() if text != peer and network.overlaps(asked)]
        single = asked.prefixlen == asked.max_prefixlen  # nothing lies within it, so that nothing is looked through
        within = () if single else (text for text in self._peers if "/" not in text and _within(text, asked))
        return tuple(waiver for text in (peer, *around, *within) for waiver in self.of(text))

    def revoked_by_person(self, ip: str) -> str | None:
        """Give the revoked address or network that holds this address."""
        if ip in self.revoked:
            return ip
        found = (text for text in self.revoked if "/" in text and _within(ip, ipaddress.ip_network(text)))
        return next(found, None)

    def over(self, now: datetime) -> tuple[LiveWaiver, ...]:
        """Give the waivers whose time is over, the earliest end first."""
        ended = [waiver for waiver in self.standing.values() if waiver.until <= now] if self._is_over(now) else []
        return tuple(sorted(ended, key=lambda waiver: (waiver.until, waiver.id)))

    def _is_over(self, now: datetime) -> bool:
        end = self.next_end()
        return end is not None and end <= now

    def next_end(self) -> datetime | None:
        """Say when the next waiver ends; None while none stands."""
        while self._ends:
            until, name = self._ends[0]
            waiver = self.standing.get(name)
            if waiver is not None and waiver.until == until:
                return until
            heapq.heappop(self._ends)
        return None

    def automatic(self) -> int:
        """Count the waivers that stand without a person's word for this very address."""
        return len(self._automatic)

    def granted_in_a_day(self, now: datetime) -> int:
        """Count the automatic waivers granted in the last 24 hours, those that ended since too.

        Grants that claim to be later than `now` count: the clock was set back, and the quota is not.
        """
        while self.granted and self.granted[0] <= now - DAY:
            self.granted.popleft()
        return len(self.granted)

    def since(self, number: int, limit: int) -> tuple[Event, ...]:
        """Give the events after this number, the oldest first, at most `limit`."""
        later = list(takewhile(lambda event: event.number > number, reversed(self.events)))
        return tuple(later[::-1][:limit])


def is_automatic(waiver: LiveWaiver) -> bool:
    """Tell whether it was given without a person's word for this very address, and counts in the quota."""
    return waiver.origin is Origin.POLICY or (waiver.origin is Origin.KNOWN_LEGACY and waiver.granted is not None)


def is_from_file(waiver: LiveWaiver) -> bool:
    """Tell whether it is an entry of known-legacy.toml with an address."""
    return waiver.origin is Origin.KNOWN_LEGACY and waiver.granted is None


def _within(text: str, outer: Network) -> bool:
    inner = ipaddress.ip_network(text)
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.overlaps(outer)
