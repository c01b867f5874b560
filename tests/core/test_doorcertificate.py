"""An RSA certificate comes beside what a service has, wherever that stands."""

from __future__ import annotations

import pytest

from mailtls.core.doorcertificate import (
    CERTIFICATE,
    CHAIN_FILES,
    EC_CERTIFICATE,
    EC_KEY,
    KEY,
    DoorCertificate,
    certificate_options,
    chains_of,
)

RSA, ONE_FILE = DoorCertificate("/r.crt", "/r.key"), DoorCertificate("/r.pem", "/r.pem")
OWN = {CERTIFICATE: "/e.crt", KEY: "/e.key", EC_CERTIFICATE: "", EC_KEY: ""}

BESIDE = [
    ({CHAIN_FILES: "/e.pem, /f.pem"}, RSA, {CHAIN_FILES: "/e.pem,/f.pem,/r.key,/r.crt"}),
    ({CHAIN_FILES: "/e.pem"}, ONE_FILE, {CHAIN_FILES: "/e.pem,/r.pem"}),
    (OWN, RSA, {CERTIFICATE: "/r.crt", KEY: "/r.key", EC_CERTIFICATE: "/e.crt", EC_KEY: "/e.key"}),
    (
        {**OWN, EC_CERTIFICATE: "/f.crt", EC_KEY: "/f.key"},
        RSA,
        {CERTIFICATE: "/r.crt", KEY: "/r.key", EC_CERTIFICATE: "/f.crt", EC_KEY: "/f.key"},
    ),
    (
        {CERTIFICATE: "none", KEY: "none"},
        RSA,
        {CERTIFICATE: "/r.crt", KEY: "/r.key", EC_CERTIFICATE: "", EC_KEY: ""},
    ),
]


@pytest.mark.parametrize(("values", "extra", "options"), BESIDE)
def test_it_stands_beside(values: dict[str, str], extra: DoorCertificate, options: dict[str, str]) -> None:
    assert certificate_options(values, extra) == options


CHAINS = [
    ({CHAIN_FILES: "/e.pem, /f.pem", CERTIFICATE: "/ignored"}, ("/e.pem", "/f.pem")),
    ({**OWN, EC_CERTIFICATE: "/f.crt"}, ("/e.crt", "/f.crt")),
    ({CERTIFICATE: "none"}, ()),
    ({}, ()),
]


@pytest.mark.parametrize(("values", "chains"), CHAINS)
def test_the_files_that_count_are_named(values: dict[str, str], chains: tuple[str, ...]) -> None:
    assert chains_of(values) == chains
