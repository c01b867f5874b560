"""Cipher suites: which kind of certificate a suite proves that the server has, and how the key was agreed on.

Up to TLS 1.2 the name of a suite holds its authentication (OpenSSL: `ECDHE-ECDSA-AES128-GCM-SHA256`,
`ECDHE-RSA-...`, and nothing for RSA key exchange: `AES128-SHA`; ciphers(1)). Those of TLS 1.3 name none (RFC 8446 B.4).
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache


class KeyType(StrEnum):
    """The kind of key in the server's certificate."""

    RSA = "RSA"
    ECDSA = "ECDSA"


_NO_CERTIFICATE = ("ADH-", "AECDH-", "DSS", "PSK", "SRP-", "KRB5-", "GOST", "TLS_DH_ANON", "ANULL")
# OpenSSL leaves RSA out of the names of RFC 6209's suites: ECDHE-ARIA128-GCM-SHA256 is TLS_ECDHE_RSA_WITH_ARIA_...
_UNNAMED_RSA = "ECDHE-ARIA"
# RSA key exchange: the name begins with the cipher.
_PLAIN_RSA = ("AES", "CAMELLIA", "SEED", "IDEA", "RC4", "RC2", "DES-", "ARIA", "EXP-", "NULL-")


@lru_cache(maxsize=1024)
def key_type_of(cipher: str | None) -> KeyType | None:
    """Say which certificate served this suite; None where its name does not tell."""
    name = (cipher or "").upper()
    if any(word in name for word in _NO_CERTIFICATE):
        return None
    if "ECDSA" in name:
        return KeyType.ECDSA
    if "RSA" in name or name.startswith((_UNNAMED_RSA, *_PLAIN_RSA)):
        return KeyType.RSA
    return None


class KeyExchange(StrEnum):
    """How the session's key was agreed on."""

    ECDHE = "ECDHE"
    DHE = "DHE"
    RSA = "RSA"
    """With the key of the certificate: whoever gets that key reads everything that was recorded."""
    ANONYMOUS = "anonymous"


_EXCHANGES = (
    (("ADH-", "AECDH-", "TLS_DH_ANON", "TLS_ECDH_ANON"), KeyExchange.ANONYMOUS),
    (("ECDHE-", "TLS_ECDHE_"), KeyExchange.ECDHE),
    (("DHE-", "EDH-", "TLS_DHE_"), KeyExchange.DHE),
    ((*_PLAIN_RSA, "TLS_RSA_"), KeyExchange.RSA),
)


@lru_cache(maxsize=1024)
def key_exchange_of(cipher: str | None) -> KeyExchange | None:
    """Say how the key was agreed on, by OpenSSL's name of the suite or IANA's.

    Those of TLS 1.3 do not tell; without a session that is resumed it is (EC)DHE always (RFC 8446 2.2).
    """
    name = (cipher or "").upper()
    return next((exchange for beginnings, exchange in _EXCHANGES if name.startswith(beginnings)), None)
