"""What `setup` wrote down becomes what a handshake is judged by."""

from __future__ import annotations

from mailtls.core.postfixview import Offering
from mailtls.core.serverprofile import GATEWAY, SigningKey, profile_of
from mailtls.core.suite import KeyType

STRICT = Offering(
    versions=("TLSv1.2", "TLSv1.3"), certificates=(KeyType.ECDSA,), ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256", "ROT13")
)


def test_an_offering_becomes_a_profile_with_the_suites_of_tls_13_that_it_does_not_name() -> None:
    profile = profile_of(STRICT)
    assert profile.versions == {0x0303, 0x0304}
    assert profile.highest == 0x0304
    assert [suite.number for suite in profile.ciphers] == [0x1302, 0x1303, 0x1301, 0xC02B]
    assert profile.has(SigningKey.ECDSA)
    assert not profile.has(SigningKey.RSA)


def test_suites_of_tls_13_that_it_names_are_taken_as_they_are() -> None:
    named = STRICT.model_copy(update={"ciphers": ("TLS_AES_128_GCM_SHA256", "AES128-SHA")})
    assert [suite.number for suite in profile_of(named).ciphers] == [0x1301, 0x002F]


def test_sslv3_in_postfixs_list_means_nothing_to_an_openssl_without_it() -> None:
    assert profile_of(STRICT.model_copy(update={"versions": ("SSLv3", "TLSv1")})).versions == {0x0301}


def test_a_service_without_tls_has_no_highest_version() -> None:
    assert profile_of(Offering()).highest == 0


def test_the_gateway_speaks_what_no_openssl_of_debian_does() -> None:
    assert GATEWAY.versions == {0x0300, 0x0301, 0x0302, 0x0303}
    assert {"RC4-SHA", "DES-CBC3-SHA", "AES128-SHA"} <= {suite.name for suite in GATEWAY.ciphers}
