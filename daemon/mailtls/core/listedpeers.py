"""The known-legacy entries that are waivers by themselves: what they change on the keeper's list.

An entry with an address or a network is a waiver while it stands in the file and its day has not come. Its id follows
from the network, so that the same entry is the same waiver after every reading.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime

from mailtls.core.keeperprotocol import LiveWaiver, Step
from mailtls.core.knownlegacy import KnownPeers
from mailtls.core.level import Level
from mailtls.core.objection import Bounds
from mailtls.core.printable import printable
from mailtls.core.register import Register, is_from_file
from mailtls.core.waiver import Waiver
from mailtls.core.waiverlimit import limited


def listed_changes(
    known: KnownPeers, register: Register, bounds: Bounds, now: datetime
) -> list[tuple[Step, LiveWaiver]]:
    """Say what has to happen so that the list holds the entries that stand, and no others."""
    wanted = {waiver.id: waiver for waiver in _listed(known, bounds, now)}
    held = {waiver.id: waiver for waiver in register.standing.values() if is_from_file(waiver)}
    changes = [(Step.WITHDRAWN, held[name]) for name in held.keys() - wanted.keys()]
    for name, waiver in wanted.items():
        there = held.get(name)
        if there is None:
            changes.append((Step.GRANTED, waiver))
        elif there.model_copy(update={"generation": 1}) != waiver:
            changes.append((Step.RENEWED, waiver.model_copy(update={"generation": there.generation + 1})))
    return changes


def _listed(known: KnownPeers, bounds: Bounds, now: datetime) -> Iterator[LiveWaiver]:
    for waiver in known.waivers():
        if now < waiver.until and _is_served(waiver, bounds):
            yield LiveWaiver(
                id=f"known-legacy:{waiver.network.replace('/', '-')}", network=waiver.network, level=waiver.level,
                owner=printable(waiver.owner, 500), reason=printable(waiver.reason, 500), granted=None,
                until=waiver.until, latest=waiver.latest, origin=waiver.origin, limits=limited(waiver.limits),
            )  # fmt: skip


def _is_served(waiver: Waiver, bounds: Bounds) -> bool:
    if waiver.level not in bounds.served or (waiver.level is Level.CLEARTEXT and bounds.encrypt):
        return False
    return bounds.own_network(ipaddress.ip_network(waiver.network), waiver.level) is None


def not_served(known: KnownPeers, bounds: Bounds, now: datetime) -> str | None:
    """Name the entries that cannot be waivers here, in one sentence, or None."""
    waivers = [waiver for waiver in known.waivers() if now < waiver.until and not _is_served(waiver, bounds)]
    if not waivers:
        return None
    which = ", ".join(f"{waiver.network} ({waiver.level})" for waiver in waivers[:5])
    which += f" and {len(waivers) - 5} more" if len(waivers) > 5 else ""
    return f"known-legacy.toml: not waived, because this level is not served here (or not to mynetworks): {which}."
