"""The list of known legacy peers: `known-legacy.toml`, the declarative exception list.

Each `[[peer]]` has a `network` (an address or a network) or a `name`, a `level`, a `reason`, an `owner`, and the day
`until` which it stands (that day included, in UTC, unless a time is given).

- An entry with a network *is* a waiver while it stands.
- An entry with a name *authorises*: addresses that Postfix printed with that name (forward-confirmed) are waived, up
  to that level, once evidence shows the need. It is the only automatic way to `sslv3`.

The policy bounds the list: no network wider than `limits.widest`, none that the never-lists cover.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated

from pydantic import Field, PlainValidator

from mailtls.core.contradiction import name_fault, network_fault, wider_than
from mailtls.core.level import Level
from mailtls.core.operatorfile import Fault, parse_operator_file, refusal, shown
from mailtls.core.policy import Policy
from mailtls.core.rule import Network, Table, name_is_under
from mailtls.core.waiver import Origin, Waiver, WaiverLimits
from mailtls.core.waiverlimit import limit_fault, parse_size
from mailtls.errors import ConfigError


def _parse_until(value: object) -> date:
    """Take a TOML date, or a date and time; a text would leave it open which day a `06/07/27` is."""
    if not isinstance(value, date):
        raise ValueError(f"{shown(value)} is no date; write year, month and day without quotes, such as 2027-06-30")  # noqa: TRY004 - pydantic turns a ValueError into a refusal
    return value


def _parse_max_size(value: object) -> int | None:
    return parse_size(value)


class KnownPeer(Table):
    """One entry of the list."""

    network: str | None = None
    name: str | None = None
    level: Level
    reason: str
    owner: str
    until: Annotated[date, PlainValidator(_parse_until)]
    only_from: tuple[str, ...] = ()
    """Good for mail of these sender domains only; empty: of all."""
    only_to: tuple[str, ...] = ()
    """Good for mail to these recipients or domains only."""
    max_size: Annotated[int | None, PlainValidator(_parse_max_size)] = None
    """Good for messages up to this size only, in bytes."""

    @cached_property
    def parsed(self) -> Network | None:
        """The network as a value; None for an entry with a name."""
        return ipaddress.ip_network(self.network) if self.network is not None else None

    @property
    def limits(self) -> WaiverLimits:
        """What its waivers are good for."""
        return WaiverLimits(self.only_from, self.only_to, self.max_size)

    @property
    def ends(self) -> datetime:
        """The first moment at which the entry no longer stands, with its offset from UTC."""
        if isinstance(self.until, datetime):
            return self.until if self.until.tzinfo else self.until.replace(tzinfo=UTC)
        try:
            return datetime.combine(self.until, time(), UTC) + timedelta(days=1)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    def waiver(self) -> Waiver:
        """Make the waiver that an entry with a network is."""
        if self.parsed is None:
            raise ValueError("an entry with a name is no waiver by itself")
        end = self.ends
        spelled = str(self.parsed.network_address) if self.parsed.num_addresses == 1 else str(self.parsed)
        return Waiver(spelled, self.level, self.owner, self.reason, None, end, end, Origin.KNOWN_LEGACY,
                      limits=self.limits)  # fmt: skip


class KnownPeers(Table):
    """The whole list."""

    peer: tuple[KnownPeer, ...] = Field(default=())

    def waivers(self) -> tuple[Waiver, ...]:
        """Give the waivers that entries with a network are, whether they still stand or not."""
        return tuple(entry.waiver() for entry in self.peer if entry.network is not None)

    def by_name(self, name: str | None, at: datetime | None) -> KnownPeer | None:
        """Give the entry with the longest name that covers the printed one and stands at this time."""
        found = [entry for entry in self.peer if entry.name is not None and name_is_under(name, entry.name)]
        found = [entry for entry in found if _stands(entry, at)]
        return max(found, key=lambda entry: len(entry.name or ""), default=None)


NOBODY = KnownPeers()


def _stands(entry: KnownPeer, at: datetime | None) -> bool:
    """Without a time on the log's lines nothing tells whether the entry stood then: it did not."""
    return at is not None and at < entry.ends


def parse_known_peers(text: str, source: str, policy: Policy) -> KnownPeers:
    """Read the list from its text, within the bounds of the policy. Raises ConfigError with one sentence."""
    known = parse_operator_file(KnownPeers, text, source)
    faults = list(_twice(known))
    for index, entry in enumerate(known.peer):
        faults += [Fault(("peer", index, *path), what) for path, what in _wrong(entry, policy)]
    if faults:
        raise ConfigError(refusal(faults, text, source))
    return known


def _wrong(entry: KnownPeer, policy: Policy) -> Iterator[Fault]:
    if (entry.network is None) == (entry.name is None):
        seen = "neither network nor name" if entry.name is None else "both network and name"
        yield Fault((), f"this peer has {seen}; write one of them")
    for key, value in (("reason", entry.reason), ("owner", entry.owner)):
        if not value.strip():
            yield Fault((key,), f"{key} is empty; write who answers for this peer, and why it needs this")
    parts = {"only_from": WaiverLimits(entry.only_from), "only_to": WaiverLimits((), entry.only_to)}
    for key, limits in parts.items():
        if fault := limit_fault(limits, entry.level):
            yield Fault((key,), fault)
    if entry.network is not None:
        yield from _wrong_network(entry.network, policy)
    if entry.name is not None:
        yield from _wrong_name(entry.name, policy)


def _wrong_network(text: str, policy: Policy) -> Iterator[Fault]:
    if wrong := network_fault(text):
        yield Fault(("network",), wrong)
        return
    network = ipaddress.ip_network(text)
    widest = wider_than(network, policy)
    if widest is not None:
        limit = f"limits.widest.ipv{network.version}"
        what = f"{text} is wider than /{widest}, the policy's {limit}; write narrower networks"
        yield Fault(("network",), what)
    for never in policy.never.parsed:
        if never.version == network.version and network.overlaps(never):
            yield Fault(("network",), f"{text} overlaps {never} of the policy's never.networks; remove one of the two")


def _wrong_name(text: str, policy: Policy) -> Iterator[Fault]:
    if wrong := name_fault(text):
        yield Fault(("name",), wrong)
        return
    never = policy.never.covers_name(text.removeprefix("."))
    if never is not None:
        yield Fault(("name",), f"{text} is covered by {never} of the policy's never.names; remove one of the two")


def _twice(known: KnownPeers) -> Iterator[Fault]:
    seen: set[object] = set()
    for index, entry in enumerate(known.peer):
        try:
            peer: object = entry.parsed or (entry.name or "").lower()
        except ValueError:
            continue  # said by _wrong_network
        if peer and peer in seen:
            key = "network" if entry.network is not None else "name"
            what = f"{shown(str(peer))} stands in the list twice; remove one of the two entries"
            yield Fault(("peer", index, key), what)
        seen.add(peer)
