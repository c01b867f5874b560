"""The first message of a TLS client, written: what `clienthello` reads, the other way round.

Promises: whatever `read_hello` made of a well-formed hello, it makes again of these bytes. Extensions are written in
the order of `extensions`; those whose content a `ClientHello` does not hold get the content that offers the least
(RFC 8446 section 4.2, RFC 6066), and what belongs to an earlier session is left out: `replayable` takes it away first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mailtls.core.clienthello import (
    ALPN,
    CERTIFICATE_SIGNATURES,
    KEY_SHARE,
    POINT_FORMATS,
    PRE_SHARED_KEY,
    SERVER_NAME,
    SIGNATURES,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    ClientHello,
)
from mailtls.core.keyshare import POINTS
from mailtls.core.octets import extension, numbers, sized
from mailtls.core.tlsversion import SSLV3, TLS10

RANDOM_LENGTH = 32
RENEGOTIATION_INFO, _STATUS_REQUEST, _PSK_MODES, _RECORD_SIZE, _COMPRESSED = 65281, 5, 45, 28, 27
_EARLY_DATA, _COOKIE, _HEARTBEAT = 42, 44, 15
_LARGEST_RECORD = 1 << 14
_OF_A_SESSION = frozenset({PRE_SHARED_KEY, _EARLY_DATA, _COOKIE})

_FIXED = {
    RENEGOTIATION_INFO: b"\0",
    _STATUS_REQUEST: b"\1\0\0\0\0",
    _PSK_MODES: b"\1\1",
    _RECORD_SIZE: b"\x40\0",
    _COMPRESSED: b"\2\0\2",
    _HEARTBEAT: b"\2",
}


def write_hello(hello: ClientHello, random: bytes) -> bytes:
    """Write the hello as records; `random`: 32 bytes. ValueError where a key share has no key in `keyshare`."""
    if len(random) != RANDOM_LENGTH:
        raise ValueError(f"a hello has {RANDOM_LENGTH} random bytes, not {len(random)}")
    if hello.sslv2_format:
        return _sslv2(hello, random)
    body = hello.version.to_bytes(2, "big") + random + sized(b"", 1)
    body += sized(numbers(hello.ciphers), 2) + sized(bytes(hello.compressions), 1)
    if hello.extensions:
        body += sized(b"".join(_extension(number, hello) for number in hello.extensions), 2)
    return _records(hello.version, b"\x01" + sized(body, 3))


def replayable(hello: ClientHello) -> ClientHello:
    """Take away what only its own client could send: an earlier session, and keys of groups that are not known here."""
    shares = hello.key_shares
    return replace(
        hello,
        extensions=tuple(number for number in hello.extensions if number not in _OF_A_SESSION),
        key_shares=None if shares is None else tuple(group for group in shares if group in POINTS),
    )


def _records(version: int, message: bytes) -> bytes:
    """Cut the message into records, whose version old servers want to be an old one (RFC 8446 section 5.1)."""
    head = b"\x16" + max(SSLV3, min(version, TLS10)).to_bytes(2, "big")
    pieces = (message[at : at + _LARGEST_RECORD] for at in range(0, len(message), _LARGEST_RECORD))
    return b"".join(head + sized(piece, 2) for piece in pieces)


def _sslv2(hello: ClientHello, random: bytes) -> bytes:
    """Write the format of SSLv2 (RFC 6101 appendix E); its challenge is half of the random bytes."""
    specs = b"".join(kind.to_bytes(3, "big") for kind in (*hello.sslv2_kinds, *hello.ciphers))
    challenge = random[:16]
    lengths = b"".join(len(part).to_bytes(2, "big") for part in (specs, b"", challenge))
    body = b"\x01" + hello.version.to_bytes(2, "big") + lengths + specs + challenge
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def _extension(number: int, hello: ClientHello) -> bytes:
    write = _WRITERS.get(number)
    content = write(hello) if write is not None else _FIXED.get(number, b"")
    return extension(number, content)


def _server_name(hello: ClientHello) -> bytes:
    return sized(b"\0" + sized((hello.server_name or "").encode("utf-8"), 2), 2)


def _protocols(hello: ClientHello) -> bytes:
    return sized(b"".join(sized(name, 1) for name in hello.protocols), 2)


def _key_shares(hello: ClientHello) -> bytes:
    shares = []
    for group in hello.key_shares or ():
        if group not in POINTS:
            raise ValueError(f"no key is known for group 0x{group:04X}")
        shares.append(group.to_bytes(2, "big") + sized(POINTS[group], 2))
    return sized(b"".join(shares), 2)


_WRITERS: dict[int, Callable[[ClientHello], bytes]] = {
    SERVER_NAME: _server_name,
    SUPPORTED_GROUPS: lambda hello: sized(numbers(hello.groups or ()), 2),
    POINT_FORMATS: lambda hello: sized(bytes(hello.point_formats or ()), 1),
    SIGNATURES: lambda hello: sized(numbers(hello.signatures or ()), 2),
    ALPN: _protocols,
    SUPPORTED_VERSIONS: lambda hello: sized(numbers(hello.versions or ()), 1),
    CERTIFICATE_SIGNATURES: lambda hello: sized(numbers(hello.certificate_signatures or ()), 2),
    KEY_SHARE: _key_shares,
}
