"""What kind of key a certificate has, read from its bytes (X.509 in DER, RFC 5280 section 4.1).

Only what a handshake asks for: the kind of key, the size of RSA, the curve of ECDSA, and the scheme that the
certificate itself is signed with. No signature is checked, no name is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.serverprofile import SECP256R1, SECP384R1, SECP521R1, ServerKey, SigningKey

_SEQUENCE, _VERSION, _BITS, _OBJECT = 0x30, 0xA0, 0x03, 0x06

# Object identifiers in DER, without their heads: RFC 3279 2.3, RFC 5480 2.1.1, RFC 8410 3.
_RSA = bytes.fromhex("2a864886f70d010101")
_KINDS = {
    _RSA: SigningKey.RSA,
    bytes.fromhex("2a864886f70d01010a"): SigningKey.RSA,  # for RSASSA-PSS only
    bytes.fromhex("2a8648ce3d0201"): SigningKey.ECDSA,
    bytes.fromhex("2b6570"): SigningKey.ED25519,
    bytes.fromhex("2b6571"): SigningKey.ED448,
}
_CURVES = {
    bytes.fromhex("2a8648ce3d030107"): SECP256R1,
    bytes.fromhex("2b81040022"): SECP384R1,
    bytes.fromhex("2b81040023"): SECP521R1,
}
# RFC 8017 appendix A.2, RFC 5758 3.2, RFC 8410 3: what signs a certificate, as TLS numbers it.
_SCHEMES = {
    bytes.fromhex("2a864886f70d010105"): 0x0201,
    bytes.fromhex("2a864886f70d01010b"): 0x0401,
    bytes.fromhex("2a864886f70d01010c"): 0x0501,
    bytes.fromhex("2a864886f70d01010d"): 0x0601,
    bytes.fromhex("2a8648ce3d0401"): 0x0203,
    bytes.fromhex("2a8648ce3d040302"): 0x0403,
    bytes.fromhex("2a8648ce3d040303"): 0x0503,
    bytes.fromhex("2a8648ce3d040304"): 0x0603,
    bytes.fromhex("2b6570"): 0x0807,
    bytes.fromhex("2b6571"): 0x0808,
}

_Item = tuple[int, bytes]


def server_key_of(certificate: bytes) -> ServerKey | None:
    """Read the key of a certificate; None where this is none, or its key is of a kind that no mail server has."""
    try:
        return _server_key(certificate)
    except (ValueError, StopIteration, IndexError):
        return None


def _server_key(certificate: bytes) -> ServerKey | None:
    signed, signature, *_ = _items(next(_items(certificate))[1])
    fields = [item for item in _items(signed[1]) if item[0] != _VERSION]
    algorithm, key, *_ = _items(fields[5][1])  # serial, signature, issuer, validity, subject, the key
    identifier, *parameters = _items(algorithm[1])
    kind = _KINDS.get(identifier[1])
    if kind is None or key[0] != _BITS:
        return None
    scheme = _SCHEMES.get(next(_items(signature[1]))[1])
    if kind is SigningKey.RSA:
        modulus = next(_items(next(_items(key[1][1:]))[1]))[1]
        return ServerKey(kind, bits=int.from_bytes(modulus, "big").bit_length(), signed_with=scheme)
    if kind is SigningKey.ECDSA:
        curve = _CURVES.get(parameters[0][1]) if parameters and parameters[0][0] == _OBJECT else None
        return ServerKey(kind, group=curve or 0, signed_with=scheme)
    return ServerKey(kind, signed_with=scheme)


def _items(data: bytes) -> Iterator[_Item]:
    """Take apart what stands one after the other: tag and content. Raises ValueError where it is cut."""
    place = 0
    while place < len(data):
        tag, size, place = data[place], data[place + 1], place + 2
        if size & 0x80:
            octets = size & 0x7F
            if not 1 <= octets <= 3 or place + octets > len(data):
                raise ValueError("no DER")
            size, place = int.from_bytes(data[place : place + octets], "big"), place + octets
        if place + size > len(data):
            raise ValueError("cut off")
        yield tag, data[place : place + size]
        place += size
