"""What a pair of tables that Postfix reads says: one of addresses, and beside it a `cidr:` table of networks.

Postfix asks the first, then the second, with the printed address; the first hit is the answer. Keys are spelled as
smtpd prints addresses (facts 1.2): canonical, without brackets or prefix.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from mailtls.core.rule import Network


@dataclass(frozen=True, slots=True)
class TablePair:
    """The content of both. `hosts`: answers by address; `networks`: with theirs, in the order of the `cidr:` table."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[tuple[str, str], ...] = ()

    def __contains__(self, peer: object) -> bool:
        """Tell whether there is an entry for exactly this address or network."""
        return peer in self.hosts or any(network == peer for network, _ in self.networks)

    def answer_for(self, ip: str) -> str | None:
        """Give what a look-up through both answers for this address; None: nothing."""
        found = self.hosts.get(ip)
        if found is not None or not self.networks:
            return found
        address = ipaddress.ip_address(ip)
        return next((words for network, words in self.networks if address in _parsed(network)), None)

    def host_text(self) -> str:
        """Spell the host table as postmap(1) reads it."""
        return "".join(f"{ip} {words}\n" for ip, words in self.hosts.items())

    def network_text(self) -> str:
        """Spell the `cidr:` table (cidr_table(5))."""
        return "".join(f"{network} {words}\n" for network, words in self.networks)


EMPTY = TablePair()


def apart(waived: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell waived addresses from waived networks."""
    waived = tuple(waived)
    networks = tuple([each for each in waived if "/" in each])
    return (tuple([each for each in waived if "/" not in each]) if networks else waived), networks


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Network:
    return ipaddress.ip_network(text)
