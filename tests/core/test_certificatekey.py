"""Keys of certificates, read from the bytes that the openssl command made."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.certificatekey import server_key_of
from mailtls.core.serverprofile import SECP256R1, SECP384R1, ServerKey, SigningKey

MADE = {
    ("rsa:1024", "-sha256"): ServerKey(SigningKey.RSA, bits=1024, signed_with=0x0401),
    ("rsa:2048", "-sha384"): ServerKey(SigningKey.RSA, bits=2048, signed_with=0x0501),
    ("rsa:2048", "-sha1"): ServerKey(SigningKey.RSA, bits=2048, signed_with=0x0201),
    ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-sha256"): ServerKey(
        SigningKey.ECDSA, group=SECP256R1, signed_with=0x0403
    ),
    ("ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-sha384"): ServerKey(
        SigningKey.ECDSA, group=SECP384R1, signed_with=0x0503
    ),
    ("ed25519",): ServerKey(SigningKey.ED25519, signed_with=0x0807),
    ("ed448",): ServerKey(SigningKey.ED448, signed_with=0x0808),
}


@cache
def certificate(kind: tuple[str, ...]) -> bytes:
    command = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=mx", "-keyout", "/dev/null",
               "-outform", "DER"]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


@pytest.mark.parametrize("kind", MADE, ids=" ".join)
def test_the_key_and_what_signs_the_certificate_are_read(kind: tuple[str, ...]) -> None:
    assert server_key_of(certificate(kind)) == MADE[kind]


@given(st.data())
def test_a_spoilt_certificate_is_none_or_a_key_and_never_an_error(data: st.DataObject) -> None:
    whole = certificate(("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-sha256"))
    at = data.draw(st.integers(0, len(whole) - 1))
    spoilt = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 4)) :]
    for text in (spoilt, whole[:at], data.draw(st.binary(max_size=60))):
        found = server_key_of(text)
        assert found is None or isinstance(found, ServerKey)
