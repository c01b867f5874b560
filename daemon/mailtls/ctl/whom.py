"""Whom an operator means: one address, a network, a name, or all names below a domain.

Accepted as pasted from a log, too: `mx.example.com[192.0.2.7]` and `[192.0.2.7]:52612` mean the address. Names are
compared without case; a dot in front means every name below, as in Postfix's tables (`.example.com`). The word
`unknown`, which Postfix prints where it found no name, is no name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from mailtls.core.peer import canonical_ip, is_address
from mailtls.core.printable import printable
from mailtls.errors import ConfigError

LONGEST_NAME = 254  # characters, with a dot in front


@dataclass(frozen=True, slots=True)
class Whom:
    """Who is meant: `covers(ip, name)` tells whether a peer is; `spelled` is how messages call it.

    `network`: the address or network, as the keeper's list spells it; None for a name. `asked`: what mailtlsd is
    asked for.
    """

    spelled: str
    covers: Callable[[str, str | None], bool]
    asked: str
    network: str | None = None


def read_whom(given: str) -> Whom:
    """Read what was given as PEER; ConfigError (one sentence) where it can be no peer."""
    words = _address_in_brackets(given.strip())
    shown = printable(words, longest=100)
    if is_address(words):
        ip = canonical_ip(words)
        return Whom(ip, lambda peer_ip, _: canonical_ip(peer_ip) == ip, ip, ip)
    if "/" in words:
        return _network(words, shown)
    if not words.strip(".") or not words.isprintable() or " " in words:
        raise ConfigError(f"'{shown}' is no peer; write an address, a network, a name, or .domain")
    if len(words) > LONGEST_NAME:
        raise ConfigError(f"'{shown}' is no peer: names have at most {LONGEST_NAME - 1} characters (RFC 1035, 2.3.4)")
    if words.lower() == "unknown":
        raise ConfigError("'unknown' is what Postfix prints for every peer without a name; give the peer's address")
    name = words.lower()
    if name.startswith("."):
        return Whom(shown, lambda _, peer_name: peer_name is not None and peer_name.lower().endswith(name), words)
    return Whom(shown, lambda _, peer_name: peer_name is not None and peer_name.lower() == name, words)


def _address_in_brackets(words: str) -> str:
    _, bracket, rest = words.partition("[")
    inside, closed, _ = rest.partition("]")
    return inside if bracket and closed and is_address(inside) else words


def _network(words: str, shown: str) -> Whom:
    try:
        network = ipaddress.ip_network(words)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(words, strict=False)
        except ValueError:
            raise ConfigError(f"'{shown}' is no network; write for example 192.0.2.0/24 or 2001:db8::/32") from error
        raise ConfigError(f"'{shown}' has bits set behind its prefix; write {meant}, or the address alone") from error

    def covers(peer_ip: str, _: str | None) -> bool:
        return is_address(peer_ip) and ipaddress.ip_address(peer_ip) in network

    listed = str(network.network_address) if network.num_addresses == 1 else str(network)
    return Whom(str(network), covers, listed, canonical_ip(listed))
