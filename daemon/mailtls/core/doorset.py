"""Which addresses are sent to which door: the elements of the nftables sets, from the waivers that stand.

Four sets a door: hosts and networks, IPv4 and IPv6. Hosts are asked first. Networks must not overlap in one set (facts
7.4), and two doors' networks must not overlap either, since the order of rules would decide then: so they are cut into
pieces, each of which belongs to the narrowest waiver that covers it. What is inside the site's own networks goes to no
door, whoever waived it: a door takes relaying from it.

An element ends with its waiver, and after a day at the latest; the keeper arms it anew long before (`Difference`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from mailtls.core.level import Level
from mailtls.core.rule import Network

DOOR_LEVELS = (Level.LEGACY_RSA, Level.LEGACY, Level.SSLV3)
"""Levels whose peers are led to a port of their own, narrowest first."""

LONGEST = timedelta(hours=24)
"""An element's longest timeout: with the keeper dead, all doors are closed after a day."""
LEAST = timedelta(hours=12)
"""What a long waiver's element must have left; below that it is armed anew."""
TOLERANCE = timedelta(seconds=5)
"""By how much an element's end may differ from its waiver's: nft counts whole seconds."""

HOSTS, NETWORKS = "host", "net"
Sets = Mapping[str, Mapping[str, datetime]]
"""By the set's name: the end of each element, addresses and prefixes spelled as nft lists them."""


class Waived(NamedTuple):
    """One waiver, as far as doors are concerned. `network`: an address or network, canonical."""

    network: str
    level: Level
    until: datetime


def networks_of(spelled: Iterable[str]) -> tuple[Network, ...]:
    """Read the site's own networks, as mynetworks spells them (`[::1]/128`); what is none is left out."""
    found = []
    for text in spelled:
        with suppress(ValueError):
            found.append(ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False))
    return tuple(found)


def set_names(level: Level) -> tuple[str, ...]:
    """Name a door's four sets."""
    door = level.replace("-", "_")
    return tuple(f"{door}_{kind}{version}" for kind in (HOSTS, NETWORKS) for version in (4, 6))


def set_of(level: Level, kind: str, spelled: str) -> str:
    """Name the set of this kind for an address or prefix."""
    return f"{level.replace('-', '_')}_{kind}{6 if ':' in spelled else 4}"


def door_sets(
    waived: Iterable[Waived], own: Iterable[Network], doors: Iterable[Level]
) -> dict[str, dict[str, datetime]]:
    """Make the sets of these doors. `own`: the site's own networks; waivers for other doors open none."""
    own = tuple(own)
    sets: dict[str, dict[str, datetime]] = {name: {} for level in doors for name in set_names(level)}
    hosts: dict[str, Waived] = {}
    networks: list[Waived] = []
    for waiver in waived:
        if "/" in waiver.network:
            networks.append(waiver)
        elif (other := hosts.get(waiver.network)) is None or _rank(waiver) > _rank(other):
            hosts[waiver.network] = waiver
    names = {(level, six): set_of(level, HOSTS, ":" if six else ".") for level in DOOR_LEVELS for six in (False, True)}
    is_own = _membership(own)
    for network, level, until in hosts.values():
        elements = sets.get(names.get((level, ":" in network), ""))
        if elements is not None and not is_own(network):
            elements[network] = until
    for network, level, until in _pieces(networks, own):
        if (elements := sets.get(set_of(level, NETWORKS, network))) is not None:
            elements[network] = until
    return sets


def _rank(waiver: Waived) -> tuple[int, datetime]:
    """Of two waivers for the very same peer the deeper one holds; of two at one level, the longer."""
    return waiver.level.depth, waiver.until


@lru_cache(maxsize=4)
def _membership(own: tuple[Network, ...]) -> Callable[[str], bool]:
    """Give a function that tells whether an address is in one of these networks, and remembers what it told."""

    @lru_cache(maxsize=65_536)
    def is_own(ip: str) -> bool:
        address = ipaddress.ip_address(ip)
        return any(address in each for each in own)

    return is_own


def _pieces(networks: Iterable[Waived], own: tuple[Network, ...]) -> Iterator[Waived]:
    """Cut networks into pieces that do not overlap: widest first, and each narrower one cuts its piece out."""
    pieces: dict[Network, Waived | None] = {}
    for network, waiver in _widest_first(networks, own):
        around = _around(network, pieces)
        if around is None:
            pieces[network] = waiver
            continue
        outer = pieces[around]
        if outer is None or (waiver is not None and _covers(outer, waiver)):
            continue
        del pieces[around]
        pieces.update(dict.fromkeys(around.address_exclude(network), outer))  # type: ignore[arg-type]
        pieces[network] = waiver
    for piece, of in pieces.items():
        if of is not None:
            yield Waived(spelled_prefix(piece), of.level, of.until)


def _widest_first(networks: Iterable[Waived], own: tuple[Network, ...]) -> list[tuple[Network, Waived | None]]:
    """Sort; of equal networks the site's own come first, then the deepest and longest waiver: the first one holds."""
    waived = [(_network(waiver.network), waiver) for waiver in networks]
    ours = [each for each in own if any(each.version == of.version and each.overlaps(of) for of, _ in waived)]
    waived.sort(key=lambda pair: _rank(pair[1]), reverse=True)
    first: dict[Network, Waived | None] = dict.fromkeys(ours)
    for network, waiver in waived:
        first.setdefault(network, waiver)
    return sorted(first.items(), key=lambda pair: pair[0].prefixlen)


def _around(network: Network, pieces: Mapping[Network, Waived | None]) -> Network | None:
    """Find the piece that holds this network, which is no wider than any piece."""
    if network in pieces:
        return network
    wider = (network.supernet(new_prefix=length) for length in range(network.prefixlen))
    return next((each for each in wider if each in pieces), None)


def _covers(outer: Waived, inner: Waived) -> bool:
    """Tell whether the inner one changes nothing: the same door, and not for longer."""
    return outer.level is inner.level and outer.until >= inner.until


@lru_cache(maxsize=4096)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


def spelled_prefix(network: Network) -> str:
    """Spell a prefix as nft lists it: a single address without its length."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


# --- from one state to the next ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to change, by the set's name: both mappings have the same keys, those of the sets that change.

    `fresh`: elements to arm, with the end of each; `gone`: those to take out.
    """

    fresh: dict[str, dict[str, datetime]] = field(default_factory=dict)
    gone: dict[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether anything has to change."""
        return bool(self.fresh)


def armed(wanted: Sets, now: datetime) -> dict[str, dict[str, datetime]]:
    """Give each element the end that it is armed with now."""
    latest = now + LONGEST
    return {name: {each: min(end, latest) for each, end in of.items() if end > now} for name, of in wanted.items()}


def difference(present: Sets, wanted: Sets, now: datetime) -> Difference:
    """Compare what the kernel holds, with the end of each element, to what is wanted.

    A set of networks in which anything changes is armed as a whole: elements that overlap cannot be exchanged singly.
    """
    fresh: dict[str, dict[str, datetime]] = {}
    gone: dict[str, frozenset[str]] = {}
    for name, arming in armed(wanted, now).items():
        held, elements = present.get(name, {}), wanted[name]
        due = {each: end for each, end in arming.items() if _is_due(held.get(each), elements[each], now)}
        left = held.keys() - elements.keys()
        if due or left:
            fresh[name] = arming if NETWORKS in name else due
            gone[name] = frozenset(left)
    return Difference(fresh, gone)


def shrinking(present: Sets, wanted: Sets, now: datetime) -> Difference:
    """Compare, but open no door: take out whom nobody waives, and shorten what stands for longer than its waiver.

    Networks are cut anew where one of them ended, unless their set is empty, which is how a dead door is closed.
    """
    found = difference(present, wanted, now)
    fresh = {name: _shorter(name, elements, present.get(name, {})) for name, elements in found.fresh.items()}
    changing = {name for name, elements in fresh.items() if elements or found.gone[name]}
    return Difference({name: fresh[name] for name in changing}, {name: found.gone[name] for name in changing})


def _shorter(name: str, fresh: Mapping[str, datetime], held: Mapping[str, datetime]) -> dict[str, datetime]:
    if NETWORKS in name and held:
        return dict(fresh)
    return {each: end for each, end in fresh.items() if each in held and end < held[each]}


def after(present: Sets, change: Difference) -> dict[str, dict[str, datetime]]:
    """Say what the kernel holds when a change was made."""
    held = {name: dict(elements) for name, elements in present.items()}
    for name, arming in change.fresh.items():
        for each in change.gone[name]:
            held.get(name, {}).pop(each, None)
        held.setdefault(name, {}).update(arming)
    return held


def _is_due(end: datetime | None, until: datetime, now: datetime) -> bool:
    """Tell whether an element has to be armed (anew): it is missing, lasts too long, or not long enough."""
    return end is None or end > until + TOLERANCE or end < min(until - TOLERANCE, now + LEAST)
