"""Names of what stands in a hello as a number: groups and signature schemes (IANA, "TLS Parameters")."""

from __future__ import annotations

_GROUPS = {
    0x0013: "P-192",
    0x0015: "P-224",
    0x0016: "secp256k1",
    0x0017: "P-256",
    0x0018: "P-384",
    0x0019: "P-521",
    0x001A: "brainpoolP256r1",
    0x001B: "brainpoolP384r1",
    0x001C: "brainpoolP512r1",
    0x001D: "X25519",
    0x001E: "X448",
    0x001F: "brainpoolP256r1tls13",
    0x0020: "brainpoolP384r1tls13",
    0x0021: "brainpoolP512r1tls13",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0102: "ffdhe4096",
    0x0103: "ffdhe6144",
    0x0104: "ffdhe8192",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
    0x6399: "X25519Kyber768Draft00",
}
_SIGNATURES = {
    0x0403: "ECDSA-P256-SHA256",
    0x0503: "ECDSA-P384-SHA384",
    0x0603: "ECDSA-P521-SHA512",
    0x0807: "Ed25519",
    0x0808: "Ed448",
    0x0804: "RSA-PSS-SHA256",
    0x0805: "RSA-PSS-SHA384",
    0x0806: "RSA-PSS-SHA512",
    0x0809: "RSA-PSS-PSS-SHA256",
    0x080A: "RSA-PSS-PSS-SHA384",
    0x080B: "RSA-PSS-PSS-SHA512",
}
# Up to TLS 1.2 the two bytes are a hash and a signature (RFC 5246 section 7.4.1.4.1).
_HASHES = {1: "MD5", 2: "SHA1", 3: "SHA224", 4: "SHA256", 5: "SHA384", 6: "SHA512"}
_KEYS = {1: "RSA", 2: "DSA", 3: "ECDSA"}


def group_name(number: int) -> str:
    """Name a group, or write its number."""
    return _GROUPS.get(number, f"0x{number:04X}")


def signature_name(number: int) -> str:
    """Name a signature scheme, or write its number."""
    if number in _SIGNATURES:
        return _SIGNATURES[number]
    key, digest = _KEYS.get(number & 0xFF), _HASHES.get(number >> 8)
    return f"{key}-{digest}" if key and digest else f"0x{number:04X}"
