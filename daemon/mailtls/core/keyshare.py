"""Public keys to offer in a hello whose handshake is never completed: no secret belongs to them.

A server checks that a key is well-formed before it answers, so each is a point that exists: the base point of its
curve, the generator 2 of a finite-field group (RFC 7919), a key of zeros for ML-KEM (FIPS 203 section 7.2 asks only
that coefficients are small).

SECURITY: never for a handshake that is to be completed: the other side's secret would be known to everybody.
"""

from __future__ import annotations

from mailtls.core.serverprofile import SECP256R1, SECP384R1, SECP521R1, X448, X25519

_P256 = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_P384 = bytes.fromhex(
    "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
)
_P521 = bytes.fromhex(
    "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1"
    "856a429bf97e7e31c2e5bd66011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c5"
    "50b9013fad0761353c7086a272c24088be94769fd16650"
)
_MLKEM768, _MLKEM1024 = bytes(1184), bytes(1568)

POINTS: dict[int, bytes] = {
    X25519: b"\x09" + bytes(31),
    X448: b"\x05" + bytes(55),
    SECP256R1: _P256,
    SECP384R1: _P384,
    SECP521R1: _P521,
    **{group: (2).to_bytes(bits // 8, "big") for group, bits in
       ((0x0100, 2048), (0x0101, 3072), (0x0102, 4096), (0x0103, 6144), (0x0104, 8192))},
    0x11EB: _P256 + _MLKEM768,
    0x11EC: _MLKEM768 + b"\x09" + bytes(31),
    0x11ED: _P384 + _MLKEM1024,
}  # fmt: skip
"""By group (IANA): SEC 2 sections 2.4.2, 2.5.1, 2.6.1; RFC 7748; RFC 7919; draft-ietf-tls-ecdhe-mlkem."""
