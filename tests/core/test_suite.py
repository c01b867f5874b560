"""Cipher suites and the certificate that each proves."""

from __future__ import annotations

import pytest

from mailtls.core.suite import KeyExchange, KeyType, key_exchange_of, key_type_of


@pytest.mark.parametrize(("cipher", "key"), [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", KeyType.ECDSA),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", KeyType.ECDSA),
    ("ECDHE-RSA-CHACHA20-POLY1305", KeyType.RSA),
    ("DHE-RSA-AES128-SHA", KeyType.RSA),
    ("EDH-RSA-DES-CBC3-SHA", KeyType.RSA),
    ("ECDHE-ARIA128-GCM-SHA256", KeyType.RSA),
    ("ECDHE-ECDSA-ARIA128-GCM-SHA256", KeyType.ECDSA),
    ("AES128-GCM-SHA256", KeyType.RSA),
    ("DES-CBC3-SHA", KeyType.RSA),
    ("RC4-MD5", KeyType.RSA),
    ("CAMELLIA256-SHA", KeyType.RSA),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", KeyType.RSA),
    ("TLS_AES_256_GCM_SHA384", None),
    ("TLS_CHACHA20_POLY1305_SHA256", None),
    ("ADH-AES256-SHA", None),
    ("AECDH-AES256-SHA", None),
    ("DHE-DSS-AES256-SHA", None),
    ("RSA-PSK-AES256-CBC-SHA384", None),
    ("", None),
    (None, None),
])  # fmt: skip
def test_a_suite_proves_its_certificate_or_nothing(cipher: str | None, key: KeyType | None) -> None:
    assert key_type_of(cipher) is key


@pytest.mark.parametrize(("cipher", "exchange"), [
    ("ECDHE-RSA-AES128-GCM-SHA256", KeyExchange.ECDHE),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", KeyExchange.ECDHE),
    ("DHE-RSA-AES128-SHA", KeyExchange.DHE),
    ("EDH-RSA-DES-CBC3-SHA", KeyExchange.DHE),
    ("AES128-SHA", KeyExchange.RSA),
    ("DES-CBC3-SHA", KeyExchange.RSA),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", KeyExchange.RSA),
    ("ADH-AES256-SHA", KeyExchange.ANONYMOUS),
    ("AECDH-AES256-SHA", KeyExchange.ANONYMOUS),
    ("TLS_AES_256_GCM_SHA384", None),
    ("nonsense", None),
    (None, None),
])  # fmt: skip
def test_a_suite_tells_how_its_key_was_agreed_on_or_nothing(cipher: str | None, exchange: KeyExchange | None) -> None:
    assert key_exchange_of(cipher) is exchange
