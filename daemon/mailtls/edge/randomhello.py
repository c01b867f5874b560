"""Random hellos, mostly sensible, from a seed: what all the world's old and new mail servers might send, and more.

Key shares are points that exist (the base points of the curves), so that a server that takes them goes on. Chance is
what stands outside here: it is handed in, so that a seed gives the same hellos again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

from mailtls.core.ciphersuite import BY_NUMBER, FALLBACK_SCSV, RENEGOTIATION_SCSV
from mailtls.core.keyshare import POINTS as KEYS
from mailtls.core.octets import extension, numbers, sized
from mailtls.core.serverprofile import SECP256R1, SECP384R1, SECP521R1, X448, X25519
from mailtls.core.tlsversion import SSLV3, TLS10, TLS11, TLS12, TLS13

GREASE = 0x3A3A

POINTS = {group: KEYS[group] for group in (X25519, X448, SECP256R1, SECP384R1)}
GROUPS = (X25519, X448, SECP256R1, SECP384R1, SECP521R1, 0x0100, 0x0101, 0x0009, 0x0015, 0x001A, 0x11EC, GREASE)
SIGNATURES = (
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x0401, 0x0501, 0x0601, 0x0303, 0x0301,
    0x0203, 0x0201, 0x0202, 0x0402, 0x0101, 0xEDED, GREASE,
)  # fmt: skip
SUITES = tuple(BY_NUMBER)
USUAL = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC009, 0xC013, 0x009E, 0x0033, 0x009C, 0x002F, 0x0035, 0x000A, 0x0005)
RANDOM = bytes(range(32))
_VERSIONS = (SSLV3, TLS10, TLS10, TLS11, TLS12, TLS12, TLS12, TLS13, 0x0305, 0x0200)


def random_hello(chance: Random) -> bytes:
    """Make the first flight of one client."""
    if chance.random() < 0.06:
        return _sslv2(chance)
    newest = chance.random() < 0.4
    version = TLS12 if newest else chance.choice(_VERSIONS)
    if newest and chance.random() < 0.03:
        version = SSLV3
    ciphers = _ciphers(chance)
    compressions = chance.choices((b"\0", b"\1\0", b"\1", b"\0\1"), (40, 2, 1, 1))[0]
    session = bytes(32) if chance.random() < 0.3 else b""
    body = struct.pack(">H", version) + RANDOM + sized(session, 1) + sized(numbers(ciphers), 2) + sized(compressions, 1)
    if chance.random() < 0.01:
        body = body.replace(sized(numbers(ciphers), 2), sized(numbers(ciphers) + b"\0", 2))
    if newest or chance.random() < 0.85:
        extensions = _extensions(chance, newest)
        chance.shuffle(extensions)
        body += sized(b"".join(extensions), 2)
    if chance.random() < 0.01:
        body += b"\0"
    return _records(chance, version, b"\x01" + sized(body, 3))


def _records(chance: Random, version: int, message: bytes) -> bytes:
    """Put the message into one record, or cut it into some."""
    pieces = [message]
    if chance.random() < 0.1:
        at = sorted(chance.sample(range(1, len(message)), 2))
        pieces = [message[: at[0]], message[at[0] : at[1]], message[at[1] :]]
    head = struct.pack(">BH", 0x16, max(SSLV3, min(version, TLS10)))
    return b"".join(head + sized(piece, 2) for piece in pieces)


def _ciphers(chance: Random) -> list[int]:
    if chance.random() < 0.01:
        return []
    pool: Sequence[int] = USUAL if chance.random() < 0.5 else SUITES
    ciphers = chance.sample(pool, chance.randint(1, min(len(pool), 24)))
    for extra, share in ((GREASE, 0.1), (0x00FE, 0.1), (RENEGOTIATION_SCSV, 0.3), (FALLBACK_SCSV, 0.05), (0x1302, 0.2)):
        if chance.random() < share:
            ciphers.insert(chance.randint(0, len(ciphers)), extra)
    return ciphers


def _extensions(chance: Random, newest: bool) -> list[bytes]:
    found = []
    groups = chance.sample(GROUPS, chance.randint(1, len(GROUPS)))
    if chance.random() < 0.85:
        found.append(extension(10, sized(numbers(groups), 2)))
    if chance.random() < 0.8:
        found.append(extension(13, sized(numbers(chance.sample(SIGNATURES, chance.randint(1, 12))), 2)))
    if chance.random() < 0.04:
        found.append(extension(50, sized(numbers(chance.sample(SIGNATURES, chance.randint(6, 12))), 2)))
    if newest:
        versions = chance.sample((TLS13, TLS13, TLS12, TLS11, TLS10, SSLV3, GREASE, 0x7F1C), chance.randint(1, 6))
        found.append(extension(43, sized(numbers(versions), 1)))
    if newest or chance.random() < 0.05:
        found += _key_shares(chance, groups)
    if chance.random() < 0.5:
        found.append(extension(11, sized(chance.choices((b"\0", b"\0\1\2", b"\1"), (8, 4, 1))[0], 1)))
    for number, body, share in (
        (0, sized(b"\0" + sized(b"mx.example.test", 2), 2), 0.5), (16, sized(sized(b"smtp", 1), 2), 0.05),
        (22, b"", 0.3), (23, b"", 0.5), (35, b"", 0.5), (GREASE, b"\0", 0.1), (45, sized(b"\1", 1), 0.4),
        (5, b"\1\0\0\0\0", 0.2), (18, b"", 0.1), (65281, b"\0", 0.2), (999, b"x", 0.05),
    ):  # fmt: skip
        if chance.random() < share:
            found.append(extension(number, body))
    return _spoilt(chance, found) if chance.random() < 0.03 else found


def _key_shares(chance: Random, groups: list[int]) -> list[bytes]:
    kind = chance.random()
    if kind < 0.1:
        return []
    chosen = [group for group in groups if group in POINTS and chance.random() < 0.5]
    if kind < 0.15:
        chosen = [X25519]
    shares = b"".join(struct.pack(">H", group) + sized(POINTS[group], 2) for group in chosen)
    return [extension(51, sized(shares, 2))]


def _spoilt(chance: Random, found: list[bytes]) -> list[bytes]:
    """Make a mistake: something twice, empty, or too long."""
    mistakes = found[:1], [extension(10, b"\0\0")], [extension(23, b"x")], [extension(13, b"\0\1x")]
    return [*found, *chance.choice(mistakes)]


def _sslv2(chance: Random) -> bytes:
    version = chance.choice((0x0002, SSLV3, TLS10, TLS10, TLS11, TLS12, 0x0400))
    kinds = [0x0700C0, 0x010080][: chance.randint(0, 2)] + _ciphers(chance)
    specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
    challenge = bytes(chance.choice((16, 32)))
    body = struct.pack(">BHHHH", 1, version, len(specs), 0, len(challenge)) + specs + challenge
    return struct.pack(">H", 0x8000 | len(body)) + body
