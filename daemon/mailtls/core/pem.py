"""PEM files as Postfix reads them: keys and certificates one after the other, and of what kind a public key is.

Block borders as RFC 7468 has them; anything between the blocks is a comment. A key that is encrypted the old way, with
headers inside (RFC 1421), is none: Postfix cannot read it without somebody to type.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from dataclasses import dataclass

from mailtls.core.suite import KeyType

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\s,:]{1,100000})-----END \1-----")
LARGEST = 256 * 1024
"""Characters of a file that are looked at; no chain is larger."""
# AlgorithmIdentifier's object identifiers in DER (RFC 3279 2.3.1, 2.3.5): rsaEncryption and id-ecPublicKey.
_KINDS = {
    bytes.fromhex("06092a864886f70d010101"): KeyType.RSA,
    bytes.fromhex("06072a8648ce3d0201"): KeyType.ECDSA,
}
_IDENTIFIER_WITHIN = 32


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its label, such as CERTIFICATE, its text, and the bytes within, empty where they are encrypted."""

    label: str
    text: str
    content: bytes

    @property
    def is_key(self) -> bool:
        """Tell whether it is a private key."""
        return self.label.endswith("PRIVATE KEY")

    @property
    def is_certificate(self) -> bool:
        """Tell whether it is a certificate."""
        return self.label in ("CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE")


def parse_pem(text: str) -> tuple[Block, ...]:
    """Find the blocks of a file, in their order."""
    return tuple(Block(m.group(1), m.group(0), _decoded(m.group(2))) for m in BLOCK.finditer(text[:LARGEST]))


def _decoded(inside: str) -> bytes:
    try:
        return b64decode("".join(inside.split()), validate=True)
    except (Error, ValueError):
        return b""


def server_certificates(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Choose the certificates that a server shows first: the one at the top, and every one right behind a key.

    Those behind it are its chain (tls/tls_certkey.c:load_pem_bio).
    """
    found, fresh = [], True
    for block in blocks:
        if block.is_key:
            fresh = True
        elif block.is_certificate and fresh:
            found.append(block)
            fresh = False
    return tuple(found)


def kind_of(public_key: bytes) -> KeyType | None:
    """Say of what kind a public key is (SubjectPublicKeyInfo, DER); None: neither RSA nor ECDSA."""
    head = public_key[:_IDENTIFIER_WITHIN]
    return next((kind for identifier, kind in _KINDS.items() if identifier in head), None)
