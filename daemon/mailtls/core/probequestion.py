"""What a probe asks a server: hellos that offer exactly what is to be learned, and full handshakes where it takes one.

A hello is answered with what the server chose, so that one question at a time tells all: what was chosen is left out of
the next. In TLS 1.3 no key is sent along: a server then names suite and group in a HelloRetryRequest, and neither
side computes anything. Old servers get no extensions with SSLv3, which has none (RFC 6101).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailtls.core.ciphersuite import BY_NUMBER, Authentication, KeyExchange
from mailtls.core.clienthello import (
    EXTENDED_MASTER_SECRET,
    KEY_SHARE,
    POINT_FORMATS,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNATURES,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    ClientHello,
)
from mailtls.core.hellowriter import RENEGOTIATION_INFO
from mailtls.core.keyshare import POINTS
from mailtls.core.serverprofile import SECP256R1, X25519
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS12, TLS13

SSLV2_KINDS = {
    0x010080: "RC4-MD5",
    0x020080: "EXP-RC4-MD5",
    0x030080: "RC2-CBC-MD5",
    0x040080: "EXP-RC2-CBC-MD5",
    0x050080: "IDEA-CBC-MD5",
    0x060040: "DES-CBC-MD5",
    0x0700C0: "DES-CBC3-MD5",
}
"""The suites of SSL 2.0, by OpenSSL's names (ssl/s2_lib.c, until 1.0.2)."""

CURVES = (
    X25519, SECP256R1, 0x0018, 0x0019, 0x001E, 0x001A, 0x001B, 0x001C, 0x0016, 0x0015, 0x0013,
)  # fmt: skip
"""Elliptic curves up to TLS 1.2, the usual ones first."""
GROUPS = (
    0x11EC, 0x11EB, 0x11ED, X25519, SECP256R1, 0x0018, 0x0019, 0x001E, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104, 0x001F,
    0x0020, 0x0021,
)  # fmt: skip
"""Groups of TLS 1.3."""

RSA_SIGNATURES = (0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601, 0x0301, 0x0201)
ECDSA_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0303, 0x0203)
ALL_SIGNATURES = (*ECDSA_SIGNATURES, *RSA_SIGNATURES, 0x0402, 0x0302, 0x0202)
UNHEARD_OF = "nobody.invalid"
"""A name that no server has (RFC 2606)."""

_EARLY = frozenset({0x1301, 0x1302, 0x1303, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0x009C, 0x009D, 0x002F, 0x0035, 0x000A})
# What needs a secret or a certificate that no mail server has: PSK, SRP, DH in the certificate.
_IN_REACH = tuple(suite for suite in BY_NUMBER.values() if suite.key_exchange is not KeyExchange.OTHER)


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this hello and read the answer. `step`: what is being learned, for whoever waits."""

    step: str
    hello: ClientHello


@dataclass(frozen=True, slots=True)
class Shake:
    """Complete a handshake with this machine's TLS library. `version`: the only one, or None: any.

    `server_name`: to ask for, or None; `injects`: send a command behind STARTTLS, before the handshake, to a server
    with which a handshake without that succeeds.
    """

    step: str
    version: int | None = None
    server_name: str | None = None
    injects: bool = False


@dataclass(frozen=True, slots=True)
class Shaken:
    """What came of a full handshake. `fault`: a clause why it was not completed, or what went wrong later.

    `certificate`: DER; `ticket`: whether the server gave one for resumption. `obeyed`: it answered inside TLS to a
    command that had been sent before; None where that was not to be learned.
    """

    version: str = ""
    cipher: str = ""
    certificate: bytes = b""
    ticket: bool | None = None
    obeyed: bool | None = None
    fault: str = ""


def suites_of(version: int) -> tuple[int, ...]:
    """List what to offer in a version, the usual suites first: some servers read no more than so many."""
    serving = [suite.number for suite in _IN_REACH if suite.serves(version)]
    return tuple(sorted(serving, key=lambda number: number not in _EARLY))


def few_suites_of(version: int) -> tuple[int, ...]:
    """List those of the suites that servers of its time have, for one that chokes on a long hello."""
    return tuple(number for number in suites_of(version) if number in _EARLY)


def authenticated(numbers: Iterable[int], by: Authentication) -> tuple[int, ...]:
    """Leave those suites that show this kind of certificate."""
    return tuple(number for number in numbers if number in BY_NUMBER and BY_NUMBER[number].authentication is by)


def exchanged(numbers: Iterable[int], by: KeyExchange) -> tuple[int, ...]:
    """Leave those suites that agree on keys in this way."""
    return tuple(number for number in numbers if number in BY_NUMBER and BY_NUMBER[number].key_exchange is by)


def sslv2_hello() -> ClientHello:
    """Offer SSL 2.0 and nothing else."""
    return ClientHello(SSLV2, sslv2_format=True, sslv2_kinds=tuple(SSLV2_KINDS))


def hello_of(
    version: int,
    suites: tuple[int, ...],
    server_name: str | None = None,
    *,
    groups: tuple[int, ...] | None = None,
    signatures: tuple[int, ...] = ALL_SIGNATURES,
    with_key: bool = False,
) -> ClientHello:
    """Offer one version with these suites.

    `with_key`: send keys along, of the usual groups, else of the first one, so that TLS 1.3 goes on at once.
    """
    if version == SSLV3:
        return ClientHello(SSLV3, suites)
    newest = version == TLS13
    groups = groups if groups is not None else GROUPS if newest else CURVES
    extensions = [SERVER_NAME] if server_name is not None else []
    extensions += [SUPPORTED_GROUPS, POINT_FORMATS, SESSION_TICKET, EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO]
    extensions += [SIGNATURES] if version >= TLS12 else []
    extensions += [SUPPORTED_VERSIONS, KEY_SHARE] if newest else []
    keys = [group for group in (X25519, SECP256R1) if group in groups] or [g for g in groups[:1] if g in POINTS]
    return ClientHello(
        min(version, TLS12),
        suites,
        extensions=tuple(extensions),
        versions=(TLS13,) if newest else None,
        groups=groups,
        key_shares=tuple(keys if with_key else ()) if newest else None,
        signatures=signatures if version >= TLS12 else None,
        point_formats=(0,),
        server_name=server_name,
    )
