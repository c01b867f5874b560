"""What a service offers follows from its values as Postfix reads them."""

from __future__ import annotations

import pytest

from mailtls.core.offering import (
    ASK_CERTIFICATE,
    CIPHERS,
    EXCLUDED,
    LEVEL,
    MANDATORY_CIPHERS,
    MANDATORY_EXCLUDED,
    MANDATORY_PROTOCOLS,
    PROTOCOLS,
    WRAPPERMODE,
    adds,
    cipher_list_of,
    is_off,
    offering,
    versions_of,
)
from mailtls.core.postfixview import Offering
from mailtls.core.suite import KeyType

MAY = {LEVEL: "may", CIPHERS: "medium", "tls_medium_cipherlist": "HIGH:MEDIUM", "tls_high_cipherlist": "HIGH"}
ALL = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

LISTS = [
    # smtpd_tls_protocols, what is taken (facts 3.2, tls/tls_misc.c:tls_proto_mask_lims)
    ("", ALL),
    (">=TLSv1", ALL),
    (">=tlsv1.2", ALL[2:]),
    (">=0303", ALL[2:]),
    ("<=0x0302", ALL[:2]),
    ("!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", ALL[2:]),
    ("!TLSv1.2", ("TLSv1", "TLSv1.1", "TLSv1.3")),
    ("TLSv1.2:TLSv1.3", ALL[2:]),
    ("!TLSv1, TLSv1.2", ("TLSv1.2",)),
    (">= TLSv1", ("TLSv1",)),
    ("SSLv2", ALL),
    ("SSLv3", ()),
    ("TLSv1.0", ()),
    ("!SSLv2, TLSv9", ()),
    ("all", ()),
    ("<=TLSv1.2 >=TLSv1.3", ()),
]


@pytest.mark.parametrize(("text", "taken"), LISTS)
def test_a_list_of_protocols_is_read_as_postfix_reads_it(text: str, taken: tuple[str, ...]) -> None:
    assert versions_of({**MAY, PROTOCOLS: text}) == taken


def test_a_service_that_insists_looks_at_the_mandatory_parameters() -> None:
    values = {
        **MAY, PROTOCOLS: ">=TLSv1", MANDATORY_PROTOCOLS: ">=TLSv1.3", MANDATORY_CIPHERS: "high", EXCLUDED: "a",
        MANDATORY_EXCLUDED: "b, c",
    }  # fmt: skip
    assert (versions_of(values), cipher_list_of(values)) == (ALL, "HIGH:MEDIUM:!a")
    for how in ({LEVEL: "encrypt"}, {WRAPPERMODE: "yes", LEVEL: "none"}, {LEVEL: "", "smtpd_enforce_tls": "yes"}):
        assert versions_of({**values, **how}) == ("TLSv1.3",)
        assert cipher_list_of({**values, **how}) == "HIGH:!a:!b:!c"


def test_without_tls_nothing_is_taken() -> None:
    assert is_off({**MAY, LEVEL: "none"})
    assert versions_of({**MAY, LEVEL: "none"}) == ()


GRADES = [
    ({}, "HIGH:MEDIUM"),
    ({CIPHERS: "HIGH"}, "HIGH"),
    ({CIPHERS: "low", "tls_low_cipherlist": "LOW"}, "LOW"),
    ({CIPHERS: "export", "tls_export_cipherlist": ""}, "HIGH:MEDIUM"),
    ({CIPHERS: "lowest"}, ""),
    ({EXCLUDED: "aNULL, MD5:RC4"}, "HIGH:MEDIUM:!aNULL:!MD5:!RC4"),
    ({ASK_CERTIFICATE: "yes"}, "HIGH:MEDIUM:!aNULL"),
]


@pytest.mark.parametrize(("values", "wanted"), GRADES)
def test_the_list_of_ciphers_is_put_together_as_postfix_does(values: dict[str, str], wanted: str) -> None:
    assert cipher_list_of({**MAY, **values}) == wanted


def test_a_list_with_a_security_level_takes_the_old_versions_away() -> None:
    assert versions_of({**MAY, PROTOCOLS: "", "tls_medium_cipherlist": "HIGH:@SECLEVEL=2"}) == ALL[2:]
    assert versions_of({**MAY, PROTOCOLS: "", "tls_medium_cipherlist": "HIGH:@SECLEVEL=0"}) == ALL


SUITES = ("ADH-AES256-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-SHA", "DHE-DSS-AES128-SHA")


def test_only_suites_with_a_certificate_for_them_are_offered() -> None:
    ecdsa = offering(ALL, [KeyType.ECDSA], SUITES)
    both = offering(ALL, [KeyType.ECDSA, KeyType.RSA, KeyType.RSA], SUITES)
    assert ecdsa.ciphers == ("ADH-AES256-SHA", "ECDHE-ECDSA-AES256-SHA")
    assert (both.certificates, both.ciphers) == ((KeyType.RSA, KeyType.ECDSA), SUITES[:-1])
    assert offering(("TLSv1.3",), [KeyType.RSA], SUITES).ciphers == ()
    assert offering(ALL, [], SUITES) == offering((), [KeyType.RSA], SUITES) == Offering()


def test_what_a_door_adds_is_said_and_anonymous_suites_add_nothing() -> None:
    strict = offering(ALL[2:], [KeyType.ECDSA], SUITES[1:])
    assert adds(strict, strict) == ()
    assert adds(strict, offering(ALL[2:], [KeyType.ECDSA], SUITES)) == ()
    assert adds(strict, offering(ALL, [KeyType.ECDSA, KeyType.RSA], SUITES)) == (
        "the versions TLSv1, TLSv1.1", "an RSA certificate", "2 more ciphers, such as AES128-SHA",
    )  # fmt: skip
