"""JA4: a short name for a kind of TLS client, made from its hello, the same at every tool that makes them.

After FoxIO's description (technical_details/JA4.md of FoxIO-LLC/ja4, BSD licence; the other methods of "JA4+" have
another licence and are not here): `t12i0304h2_<ciphers>_<extensions and signatures>`, hashes of sorted lists, GREASE
left out. Which software a fingerprint belongs to is for databases to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from mailtls.core.ciphersuite import is_grease
from mailtls.core.clienthello import ALPN, SERVER_NAME, ClientHello

_VERSIONS = {0x0002: "s2", 0x0300: "s3", 0x0301: "10", 0x0302: "11", 0x0303: "12", 0x0304: "13"}
_NOTHING = "000000000000"


def fingerprint(hello: ClientHello) -> str:
    """Make the JA4 of a hello over TCP; of a truncated one it is that of what is there."""
    ciphers = _sensible(hello.ciphers)
    extensions = _sensible(hello.extensions)
    versions = [number for number in hello.versions or () if not is_grease(number)]
    version = _VERSIONS.get(max(versions, default=hello.version), "00")
    named = "d" if SERVER_NAME in extensions else "i"
    counts = f"{min(len(ciphers), 99):02d}{min(len(extensions), 99):02d}"
    listed = ",".join(_hexadecimal(number for number in sorted(extensions) if number not in (SERVER_NAME, ALPN)))
    signatures = ",".join(_hexadecimal(_sensible(hello.signatures or ())))
    if signatures:
        listed = f"{listed}_{signatures}"
    head = f"t{version}{named}{counts}{_protocol(hello.protocols)}"
    return f"{head}_{_hash(','.join(_hexadecimal(sorted(ciphers))))}_{_hash(listed if extensions else '')}"


def _protocol(protocols: tuple[bytes, ...]) -> str:
    """Give the first and last character of the first protocol; of its hexadecimal form where these are no ASCII."""
    if not protocols or not protocols[0]:
        return "00"
    ends = protocols[0][:1] + protocols[0][-1:]
    if ends.isalnum() and ends.isascii():
        return ends.decode("ascii")
    written = protocols[0].hex()
    return written[0] + written[-1]


def _sensible(numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if not is_grease(number)]


def _hexadecimal(numbers: Iterable[int]) -> list[str]:
    return [f"{number:04x}" for number in numbers]


def _hash(text: str) -> str:
    return sha256(text.encode("ascii")).hexdigest()[:12] if text else _NOTHING
