"""What a waiver may be limited to, as a person writes it: sender domains, recipients, a size.

Limits are held by the policy service and the milter (core/verdict.py), at DATA and at the doors at RCPT: not by the
tables and nftables. Recipients can only be limited at a door: at the strict service they are not asked one by one, and
at DATA Postfix names none where there are several.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mailtls.core.contradiction import name_fault
from mailtls.core.level import Level
from mailtls.core.operatorfile import shown
from mailtls.core.printable import printable
from mailtls.core.waiver import WaiverLimits

MOST = 50  # of one kind
LARGEST = 1 << 40  # bytes
_SIZE = re.compile(r"([0-9]{1,12})([kMG]?)")
_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_Word = Annotated[str, Field(max_length=320)]


class Limited(BaseModel):
    """The limits of a waiver on the keeper's list and in its protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    senders: Annotated[tuple[_Word, ...], Field(max_length=MOST)] = ()
    recipients: Annotated[tuple[_Word, ...], Field(max_length=MOST)] = ()
    size: Annotated[int | None, Field(ge=1, le=LARGEST)] = None

    def limits(self) -> WaiverLimits:
        """Give them as a value of the core."""
        return WaiverLimits(self.senders, self.recipients, self.size)


def limited(limits: WaiverLimits) -> Limited | None:
    """Write limits for the protocol; None where nothing is limited."""
    return Limited(senders=limits.senders, recipients=limits.recipients, size=limits.size) if limits else None


def parse_size(value: object) -> int:
    """Read `10M`, `500k` or bytes; anything else is a ValueError whose text says what to write."""
    match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    size = int(match[1]) * _UNITS[match[2]] if match is not None else 0
    if not 0 < size <= LARGEST:
        raise ValueError(f'{shown(value)} is no size; write bytes, or a number with k, M or G behind it, such as "10M"')
    return size


def limit_fault(limits: WaiverLimits, level: Level) -> str | None:
    """Say what cannot be meant, or None."""
    for sender in limits.senders:
        if fault := name_fault(sender):
            return fault
    for recipient in limits.recipients:
        local, at, domain = recipient.rpartition("@")
        if (at and not local) or printable(recipient, 320) != recipient or (fault := name_fault(domain)):
            return f"{shown(recipient)} is no recipient; write an address, or a domain such as example.com"
    if max(len(limits.senders), len(limits.recipients)) > MOST:
        return f"a waiver is limited to {MOST} domains or recipients at most; use domains, or several waivers"
    if limits.recipients and level is Level.CLEARTEXT:
        return (
            "recipients can be limited at a door only; at level cleartext the peer stays at the strict service, where "
            "they are not asked one by one: limit senders or size"
        )
    return None


def said(limits: WaiverLimits) -> str:
    """Say in a clause what the waiver is good for; empty where nothing is limited."""
    parts = [f"from {', '.join(limits.senders)}"] if limits.senders else []
    parts += [f"to {', '.join(limits.recipients)}"] if limits.recipients else []
    parts += [f"up to {limits.size:,} bytes"] if limits.size is not None else []
    return printable(f"only mail {' '.join(parts)}", 1000) if parts else ""
