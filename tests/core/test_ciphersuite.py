"""Suites: what follows from their names. tests/postfix/test_handshakes.py compares them with the openssl command."""

from __future__ import annotations

import pytest

from mailtls.core.ciphersuite import (
    BY_NUMBER,
    Authentication,
    CipherSuite,
    KeyExchange,
    is_grease,
    name_of,
    named,
    read_listing,
)

KX, AU = KeyExchange, Authentication


@pytest.mark.parametrize(
    ("number", "name", "exchange", "authentication", "oldest"),
    [
        (0x1301, "TLS_AES_128_GCM_SHA256", KX.ANY, AU.ANY, 0x0304),
        (0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256", KX.ECDHE, AU.ECDSA, 0x0303),
        (0xC013, "ECDHE-RSA-AES128-SHA", KX.ECDHE, AU.RSA, 0x0301),
        (0x002F, "AES128-SHA", KX.RSA, AU.RSA, 0x0300),
        (0x0004, "RC4-MD5", KX.RSA, AU.RSA, 0x0300),
        (0x0015, "EDH-RSA-DES-CBC-SHA", KX.DHE, AU.RSA, 0x0300),
        (0x0018, "ADH-RC4-MD5", KX.DHE, AU.NONE, 0x0300),
        (0xC018, "AECDH-AES128-SHA", KX.ECDHE, AU.NONE, 0x0301),
        (0xC00E, "ECDH-RSA-AES128-SHA", KX.OTHER, AU.OTHER, 0x0301),
        (0x0032, "DHE-DSS-AES128-SHA", KX.DHE, AU.OTHER, 0x0300),
        (0x0003, "EXP-RC4-MD5", KX.RSA, AU.RSA, 0x0300),
        (0x00AE, "PSK-AES128-CBC-SHA256", KX.OTHER, AU.OTHER, 0x0301),
    ],
)
def test_the_name_tells_the_rest(
    number: int, name: str, exchange: KeyExchange, authentication: Authentication, oldest: int
) -> None:
    assert BY_NUMBER[number] == CipherSuite(number, name, exchange, authentication, oldest)


def test_no_name_and_no_number_stands_twice() -> None:
    assert len({suite.name for suite in BY_NUMBER.values()}) == len(BY_NUMBER) > 200


def test_suites_of_tls_13_serve_no_other_version_and_no_other_serves_it() -> None:
    for suite in BY_NUMBER.values():
        assert suite.serves(0x0304) == suite.name.startswith("TLS_")
        assert suite.serves(0x0303) != suite.serves(0x0304)


def test_what_openssl_lists_is_read_in_its_order_and_other_lines_are_left_out() -> None:
    listing = (
        "          0xC0,0x2C - ECDHE-ECDSA-AES256-GCM-SHA384  TLSv1.2 Kx=ECDH     Au=ECDSA Enc=AESGCM(256) Mac=AEAD\n"
        "          0x00,0x2F - AES128-SHA                     SSLv3 Kx=RSA      Au=RSA  Enc=AES(128)  Mac=SHA1\n"
        "Error in cipher list\n0xZZ,0x01 - X SSLv3 Kx=RSA Au=RSA\n0x00,0x01 - X SSLv9 Kx=RSA Au=RSA\n"
    )
    assert read_listing(listing) == (BY_NUMBER[0xC02C], BY_NUMBER[0x002F])


def test_names_that_nobody_knows_are_left_out_and_numbers_are_shown() -> None:
    assert named(["AES256-SHA", "ROT13", "AES128-SHA"]) == (BY_NUMBER[0x0035], BY_NUMBER[0x002F])
    assert [name_of(0x0035), name_of(0xBEEF)] == ["AES256-SHA", "0xBEEF"]


def test_grease_is_known_by_its_form() -> None:
    assert is_grease(0x0A0A)
    assert is_grease(0xFAFA)
    assert not is_grease(0x0A1A)
    assert not is_grease(0x1301)
