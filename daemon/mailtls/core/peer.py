"""A peer: the address that connected, with the name that Postfix printed for it.

Postfix prints `name[address]`, with `:port` behind it where smtpd_client_port_logging is on (smtpd/smtpd.h
SMTPD_BUILD_NAMADDRPORT). The name is forward-confirmed or the word `unknown`; the address is bare, without
`IPv6:`, or the word `unknown`. Names are written by strangers' DNS: never trusted, never printed raw.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

_ADDRESSES = 8192  # spellings that are remembered: a busy server hears most of its peers often


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected. `ip` is canonical where it is an address, else the text of the log; name None: not printed."""

    ip: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.name}[{self.ip}]" if self.name else f"[{self.ip}]"


@lru_cache(_ADDRESSES)
def canonical_ip(text: str) -> str:
    """Spell an address as Postfix does in look-up keys; text that is no address comes back as it is.

    IPv4 in IPv6 (`::ffff:192.0.2.1`) becomes plain IPv4, as Postfix presents it.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(_ADDRESSES)
def is_address(text: str) -> bool:
    """Tell whether the text is an IPv4 or IPv6 address (redacted logs hold `x.x.x.x`, Postfix prints `unknown`)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
