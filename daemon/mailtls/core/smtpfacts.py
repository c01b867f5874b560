"""What Postfix tells of one moment of an SMTP session, whichever way it tells: policy protocol or milter macros.

The fields are named as the attributes of the policy protocol (SMTPD_POLICY_README), and stand in the order in which
Postfix sends them (core/glance.py goes by it). What Postfix did not say, because its version does not know the
attribute or because there is nothing to say, is an empty text or 0.

SECURITY: HELO, sender, recipient and the names in certificates are strangers' texts, as long as Postfix lets them be,
with whatever signs they hold: compare them, but show them to nobody without `printable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.cause import Door
from mailtls.core.peer import Peer, canonical_ip
from mailtls.core.tlsversion import SSLV3, number_of

CLEARTEXT = 0
"""Stands where a version's number would: no TLS."""

CONTEXT = "mailtls-"
"""What a door's policy_context begins with; the door's name is the rest."""

LONGEST_ADDRESS = 64
"""Characters of an address that are looked at: 45, and a scope."""

_DOORS = frozenset(Door)


class Stage(StrEnum):
    """Where the SMTP dialogue stands; BDAT is told as DATA (smtpd_check.c check_policy_service)."""

    CONNECT = "CONNECT"
    HELO = "HELO"
    EHLO = "EHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END_OF_MESSAGE = "END-OF-MESSAGE"
    VRFY = "VRFY"
    ETRN = "ETRN"
    OTHER = ""
    """A stage that no version up to 3.12 names."""


# Not frozen, and never changed: one is made for every message, and freezing thirty fields takes four times as long.
@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class SmtpFacts:
    """One question of Postfix. Ports are numbers or `unknown`; sizes are bytes; `encryption_keysize` is bits.

    `recipient` is empty at DATA and later when there are several. `recipient_count` is 0 before DATA. `size` is what
    the client announced (0: nothing), and at END-OF-MESSAGE what came. `ccert_subject`, `ccert_issuer`: decoded, and
    empty unless Postfix trusts the certificate.
    """

    protocol_state: Stage = Stage.OTHER
    protocol_name: str = ""
    client_address: str = ""
    client_name: str = ""
    client_port: str = ""
    reverse_client_name: str = ""
    server_address: str = ""
    server_port: str = ""
    helo_name: str = ""
    sender: str = ""
    recipient: str = ""
    recipient_count: int = 0
    queue_id: str = ""
    instance: str = ""
    size: int = 0
    etrn_domain: str = ""
    stress: str = ""
    sasl_method: str = ""
    sasl_username: str = ""
    sasl_sender: str = ""
    ccert_subject: str = ""
    ccert_issuer: str = ""
    ccert_fingerprint: str = ""
    ccert_pubkey_fingerprint: str = ""
    encryption_protocol: str = ""
    encryption_cipher: str = ""
    encryption_keysize: int = 0
    tls_sni: str = ""
    policy_context: str = ""
    compatibility_level: str = ""
    mail_version: str = ""

    @property
    def ip(self) -> str:
        """Give the client's address, spelled as in tables."""
        return canonical_ip(self.client_address[:LONGEST_ADDRESS])

    @property
    def peer(self) -> Peer:
        """Say who the client is."""
        return Peer(self.ip, self.client_name or None)

    @property
    def authenticated(self) -> bool:
        """Tell whether the client has logged in: a user of this site, no peer."""
        return bool(self.sasl_method or self.sasl_username)

    @property
    def encrypted(self) -> bool:
        """Tell whether Postfix itself speaks TLS with the client; behind the gateway it does not."""
        return bool(self.encryption_protocol)

    @property
    def version(self) -> int | None:
        """Give the number of the TLS version; None for cleartext, and for a name that nobody knows yet."""
        name = self.encryption_protocol.partition("/")[0]  # `TLSv1/SSLv3` was OpenSSL's name of TLS 1.0 to 1.2 (< 1.1)
        return number_of("TLSv1" if name == "TLSv1.0" else name)

    def door(self, ports: Mapping[str, Door]) -> Door:
        """Tell which door the session came through: by `policy_context`, else by the port, else the strict one.

        The door's entry in master.cf may say `policy_context=mailtls-legacy` (Postfix 3.1). The gateway's entry must:
        its PROXY header makes `server_port` the port that the client had called.
        """
        if self.policy_context.startswith(CONTEXT):
            name = self.policy_context.removeprefix(CONTEXT)
            if name in _DOORS:
                return Door(name)
        return ports.get(self.server_port, Door.STRICT)

    def protection(self, door: Door) -> int | None:
        """Give the number of the version that protects the session on the wire: 0 for none, None if it is not known.

        At the gateway's door it is SSLv3 at the least: who goes on in cleartext there cannot be told from it.
        """
        if self.encrypted:
            return self.version
        return SSLV3 if door is Door.SSLV3 else CLEARTEXT
