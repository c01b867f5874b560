"""Cipher suites: which kind of certificate a suite proves that the server has.

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
