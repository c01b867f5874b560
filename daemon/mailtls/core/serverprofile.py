"""What one service offers in a handshake, in the numbers of the protocol: the other half of `handshake.predict`.

Postfix sets OpenSSL's security level to 0 (tls/tls_server.c), so that nothing is left out beyond what these settings
say. Its groups are those of tls_eecdh_auto_curves. With the security level `may` and no client certificates
wanted, Postfix also offers suites without any certificate (ADH, AECDH), where its list of ciphers has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.ciphersuite import BY_NUMBER, CipherSuite, KeyExchange, named
from mailtls.core.postfixview import Offering
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV3, TLS10, TLS11, TLS12, TLS13, numbers_of

X25519, X448, SECP256R1, SECP384R1, SECP521R1 = 0x001D, 0x001E, 0x0017, 0x0018, 0x0019
POSTFIX_GROUPS = (X25519, X448, SECP256R1, SECP521R1, SECP384R1)
"""Postfix's tls_eecdh_auto_curves, since 3.2, in its order."""

FFDHE_GROUPS = (0x0100, 0x0101)
"""Postfix's tls_ffdhe_auto_groups, since 3.8, which it adds to these."""

OPENSSL_VERSIONS = frozenset({TLS10, TLS11, TLS12, TLS13})
"""What Debian's OpenSSL is built with; SSLv3 is not."""

TLS13_SUITES = (0x1302, 0x1303, 0x1301)
"""OpenSSL's own suites of TLS 1.3, which no cipher list of Postfix touches (SSL_CTX_set_ciphersuites)."""


class SigningKey(StrEnum):
    """The kinds of keys that a certificate may have."""

    RSA = "RSA"
    ECDSA = "ECDSA"
    ED25519 = "Ed25519"
    ED448 = "Ed448"


@dataclass(frozen=True, slots=True)
class ServerKey:
    """One key with its certificate.

    `bits`: of RSA. `group`: the curve of ECDSA. `signed_with`: the signature scheme (IANA) on the certificate
    itself, None where that is not known: it matters only to the few clients that say which they take.
    """

    kind: SigningKey
    bits: int = 2048
    group: int = SECP256R1
    signed_with: int | None = None


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """What a service offers.

    `ciphers`: in its order, those of TLS 1.3 included. `preempt`: tls_preempt_cipherlist. `built_with`: versions that
    its library knows; `openssl`: of which version that is.
    """

    versions: frozenset[int]
    ciphers: tuple[CipherSuite, ...]
    keys: tuple[ServerKey, ...] = ()
    groups: tuple[int, ...] = POSTFIX_GROUPS
    preempt: bool = False
    built_with: frozenset[int] = OPENSSL_VERSIONS
    openssl: tuple[int, int] = (3, 0)

    @property
    def highest(self) -> int:
        """Give the highest version; 0 where TLS is off."""
        return max(self.versions, default=0)

    def has(self, kind: SigningKey) -> bool:
        """Tell whether it has a certificate of this kind."""
        return any(key.kind is kind for key in self.keys)


_KINDS = {KeyType.RSA: ServerKey(SigningKey.RSA), KeyType.ECDSA: ServerKey(SigningKey.ECDSA)}


def profile_of(offering: Offering) -> ServerProfile:
    """Make the profile of what `setup` wrote down: keys are taken to be RSA of 2048 bits and ECDSA on P-256."""
    versions = numbers_of(offering.versions) & OPENSSL_VERSIONS
    ciphers = named(offering.ciphers)
    if not any(suite.key_exchange is KeyExchange.ANY for suite in ciphers):
        ciphers = (*(BY_NUMBER[number] for number in TLS13_SUITES), *ciphers)
    return ServerProfile(versions, ciphers, tuple(_KINDS[kind] for kind in dict.fromkeys(offering.certificates)))


GATEWAY = ServerProfile(
    frozenset({SSLV3, TLS10, TLS11, TLS12}),
    named(("AES256-SHA", "AES128-SHA", "DES-CBC3-SHA", "RC4-SHA", "RC4-MD5")),
    (ServerKey(SigningKey.RSA),),
    groups=(),
    built_with=frozenset({SSLV3, TLS10, TLS11, TLS12}),
)
"""The `sslv3` door: Debian's NSS with an RSA key of its own, and nothing that needs any other."""
