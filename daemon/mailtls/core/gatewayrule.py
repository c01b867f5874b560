"""What the gateway lets each peer have: the section [gateway] of mailtls.toml.

By default everything that the sslv3 door is there for: SSLv3 and later, every suite. A peer that is known to do better
is held to it: one that lacks only AES has no need of SSLv3, and with TLS 1.0 POODLE is closed for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from mailtls.core.rule import Table

Cipher = Literal["AES256-SHA", "AES128-SHA", "DES-CBC3-SHA", "RC4-SHA", "RC4-MD5"]
CIPHERS: tuple[Cipher, ...] = ("AES256-SHA", "AES128-SHA", "DES-CBC3-SHA", "RC4-SHA", "RC4-MD5")
"""What can be served, by OpenSSL's names; all with RSA key exchange."""

Lowest = Literal["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"]
VERSIONS: tuple[Lowest, ...] = get_args(Lowest)
"""Oldest first."""
Number = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Network = Annotated[str, AfterValidator(lambda text: str(ipaddress.ip_network(text)))]


class Terms(Table):
    """What a handshake may come to."""

    lowest: Lowest = "SSLv3"
    ciphers: Annotated[tuple[Cipher, ...], Field(min_length=1)] = CIPHERS


class PeerTerms(Terms):
    """The terms of one address or network."""

    network: Network


class GatewaySettings(Table):
    """The whole section."""

    listen: tuple[str, ...] = ()
    """`address:port` to listen on where systemd passes no sockets."""
    backend: str = "/run/mailtls-gateway/backend.sock"
    """Where Postfix's own smtpd for this door is reached."""
    demand_tls: Annotated[bool, Field(strict=True)] = False
    """Refuse mail in clear from these peers (530)."""
    sessions: Number = 90
    """At one time. Fewer than Postfix has processes for them (default_process_limit, 100): who comes when there is no
    smtpd left waits for a greeting, and so does the keeper, which then shuts the door."""
    per_address: Number = 20
    """At one time, of one address."""
    terms: Terms = Terms()
    peers: tuple[PeerTerms, ...] = ()
    """Own terms of single peers; the narrowest network counts."""

    def terms_of(self, ip: str, called: str = "", waived: Iterable[PeerTerms] = ()) -> Terms:
        """Give the terms of an address that called this one; `waived`: what waivers say of single peers.

        This machine itself has all of them: the keeper visits the door with what OpenSSL has, wherever it is narrowed.
        """
        if ip == called:
            return Terms()
        if (own := _narrowest(ip, self.peers)) is not None:
            return own
        known = _narrowest(ip, waived)
        if known is None:
            return self.terms
        return Terms(lowest=max(self.terms.lowest, known.lowest, key=VERSIONS.index), ciphers=self.terms.ciphers)


def _narrowest(ip: str, peers: Iterable[PeerTerms]) -> PeerTerms | None:
    address = ipaddress.ip_address(ip)
    own = [(network.prefixlen, peer) for peer in peers if address in (network := ipaddress.ip_network(peer.network))]
    return max(own, key=lambda pair: pair[0])[1] if own else None
