"""Which groups a service of Postfix offers, from the values of its parameters.

tls/tls_dh.c:tls_auto_groups: names that OpenSSL does not know are left out; where none is left Postfix's own defaults
count, and where both parameters are empty those of OpenSSL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailtls.core.serverprofile import FFDHE_GROUPS, POSTFIX_GROUPS

CURVES, FINITE_FIELDS = "tls_eecdh_auto_curves", "tls_ffdhe_auto_groups"
ASKED = (CURVES, FINITE_FIELDS)
HYBRIDS_SINCE = (3, 5)
"""The OpenSSL that first had groups of post-quantum keys."""

_SEPARATORS = re.compile(r"[\s,:]+")
_NAMES = {
    "x25519": 0x001D, "x448": 0x001E,
    "prime256v1": 0x0017, "secp256r1": 0x0017, "p-256": 0x0017,
    "secp384r1": 0x0018, "p-384": 0x0018, "secp521r1": 0x0019, "p-521": 0x0019,
    "secp256k1": 0x0016, "secp224r1": 0x0015, "p-224": 0x0015, "prime192v1": 0x0013, "secp192r1": 0x0013,
    "brainpoolp256r1": 0x001A, "brainpoolp384r1": 0x001B, "brainpoolp512r1": 0x001C,
    "ffdhe2048": 0x0100, "ffdhe3072": 0x0101, "ffdhe4096": 0x0102, "ffdhe6144": 0x0103, "ffdhe8192": 0x0104,
    "secp256r1mlkem768": 0x11EB, "x25519mlkem768": 0x11EC, "secp384r1mlkem1024": 0x11ED,
}  # fmt: skip
_HYBRIDS = frozenset({0x11EB, 0x11EC, 0x11ED})
# ssl/t1_lib.c supported_groups_default (3.0), TLS_DEFAULT_GROUP_LIST (3.5)
_OPENSSL = (0x001D, 0x0017, 0x001E, 0x0019, 0x0018, *range(0x0100, 0x0105))
_OPENSSL_3_5 = (0x11EC, 0x001D, 0x0017, 0x001E, 0x0018, 0x0019, 0x0100, 0x0101)


def groups_of(values: Mapping[str, str], openssl: tuple[int, int]) -> tuple[int, ...]:
    """Number the groups, in their order; `openssl`: its version on this machine."""
    words = [word for name in ASKED for word in _SEPARATORS.split(values.get(name, "").lower()) if word]
    if not words:
        return _OPENSSL_3_5 if openssl >= HYBRIDS_SINCE else _OPENSSL
    known = [_NAMES[word] for word in words if word in _NAMES]
    found = tuple(dict.fromkeys(n for n in known if openssl >= HYBRIDS_SINCE or n not in _HYBRIDS))
    return found or (*POSTFIX_GROUPS, *(FFDHE_GROUPS if FINITE_FIELDS in values else ()))
