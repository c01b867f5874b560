"""First flights as bytes, for what no library sends: scanners' hellos, SSLv2, and what is not TLS at all.

RFC 8446 section 4.1.2 (ClientHello), RFC 6101 appendix E (the version 2.0 format), RFC 5246 section 6.2.1 (records).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from mailtls.core.octets import extension, numbers, sized

SSLV3, TLS10, TLS12, TLS13 = 0x0300, 0x0301, 0x0303, 0x0304

RSA_AES128_SHA, ECDHE_ECDSA_AES128_GCM, TLS_AES128_GCM = 0x002F, 0xC02B, 0x1301
UNHEARD_OF = 0x00FE
X25519, SECP256R1, SECP384R1 = 0x001D, 0x0017, 0x0018

HTTP = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"
GARBAGE = b"\xde\xad\xbe\xef" * 16


def client_hello(version: int, suites: Sequence[int], extensions: bytes = b"") -> bytes:
    """Write a ClientHello in one record; `version` is client_version (TLS 1.3 says so in an extension)."""
    session, compression = b"\0", b"\1\0"
    body = struct.pack(">H", version) + os.urandom(32) + session + sized(numbers(suites), 2) + compression
    if extensions:
        body += sized(extensions, 2)
    return b"\x16" + struct.pack(">H", min(version, TLS10)) + sized(b"\x01" + sized(body, 3), 2)


def sslv2_hello() -> bytes:
    """Write a hello that offers SSL 2.0 only (RFC 6101 E.1): SSL_CK_DES_192_EDE3_CBC_WITH_MD5."""
    specs, challenge = b"\x07\x00\xc0", os.urandom(16)
    body = struct.pack(">BHHHH", 1, 0x0002, len(specs), 0, len(challenge)) + specs + challenge
    return struct.pack(">H", 0x8000 | len(body)) + body


def wrong_key_share() -> bytes:
    """Write a TLS 1.3 hello with a key share for a group that it does not support: a scanner's, RFC 8446 4.2.8."""
    return client_hello(
        TLS12,
        [TLS_AES128_GCM],
        extension(43, sized(numbers([TLS13]), 1))
        + extension(10, sized(numbers([SECP256R1]), 2))
        + extension(13, sized(numbers([0x0403, 0x0804]), 2))
        + extension(51, sized(numbers([X25519]) + sized(os.urandom(32), 2), 2)),
    )


SCAN = (
    sslv2_hello(),
    client_hello(SSLV3, [RSA_AES128_SHA]),
    client_hello(TLS10, [RSA_AES128_SHA]),
    client_hello(TLS12, [UNHEARD_OF]),
    wrong_key_share(),
    HTTP,
    GARBAGE,
)
"""What a scanner tries within seconds, one connection each."""
