"""A waiver: one entry of the per-peer exception list.

Level, owner, reason and end are fields of the type, not checks by habit: a waiver is a downgrade that somebody may
have asked for, so there is none without an owner and none without an end. `latest` is the end that no renewal can
move: a person's waiver has it where it ends, so that `--for` is final.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mailtls.core.cause import Cause
from mailtls.core.level import Level


class Origin(StrEnum):
    """Who made a waiver."""

    PERSON = "person"
    POLICY = "policy"
    KNOWN_LEGACY = "known-legacy"


@dataclass(frozen=True, slots=True)
class WaiverLimits:
    """What a waiver is good for; what is empty or None limits nothing.

    `senders`: domains, `.example.net` for it and all below it. `recipients`: addresses, or domains as for senders.
    `size`: the largest message, in bytes.
    """

    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    size: int | None = None

    def __bool__(self) -> bool:
        """Tell whether anything is limited."""
        return self != UNLIMITED


UNLIMITED = WaiverLimits()


@dataclass(frozen=True, slots=True)
class Waiver:
    """One peer's relaxation. `network`: an address or a network, canonical; times with their offset from UTC.

    `granted`: when; None for an entry of a file that carries no such date. `until`: when it ends by itself.
    `latest`: what renewals can at most reach. `cause`: what it was given for, None where a person did not say.
    """

    network: str
    level: Level
    owner: str
    reason: str
    granted: datetime | None
    until: datetime
    latest: datetime
    origin: Origin
    cause: Cause | None = None
    limits: WaiverLimits = UNLIMITED

    def __post_init__(self) -> None:
        """Refuse a waiver that nobody owns, or that never ends, or ends before it begins."""
        if not self.owner.strip():
            raise ValueError("a waiver needs an owner")
        if self.until > self.latest or (self.granted is not None and self.until <= self.granted):
            raise ValueError("a waiver ends after it was granted, and not later than its latest end")
        ipaddress.ip_network(self.network)

    def covers(self, ip: str) -> bool:
        """Tell whether the address is this waiver's peer; text that is no address is nobody's."""
        if ip == self.network:
            return True
        try:
            return ipaddress.ip_address(ip) in ipaddress.ip_network(self.network)
        except ValueError:
            return False

    def stands(self, at: datetime) -> bool:
        """Tell whether the waiver is in force at this time."""
        return (self.granted is None or self.granted <= at) and at < self.until

    @property
    def renewable(self) -> bool:
        """Tell whether use may still move its end: never a person's, never one that reached its latest."""
        return self.until < self.latest

    @property
    def automatic(self) -> bool:
        """Tell whether it was given without a person's word for this very address, and counts in the quota."""
        return self.origin is Origin.POLICY or (self.origin is Origin.KNOWN_LEGACY and self.granted is not None)

    def renewed(self, at: datetime, lifetime: timedelta) -> Waiver:
        """Move the end to `lifetime` after `at`, but never beyond `latest` and never nearer than it is."""
        return replace(self, until=max(self.until, min(at + lifetime, self.latest)))
