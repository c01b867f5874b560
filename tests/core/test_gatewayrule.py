"""The section [gateway]: terms of a peer, the narrowest network first."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mailtls.core.gatewayrule import CIPHERS, GatewaySettings, Terms
from mailtls.core.nssreason import library_line
from mailtls.core.postfixlog import read_tlsproxy
from mailtls.edge.nss import SUITES


def test_the_narrowest_network_counts() -> None:
    settings = GatewaySettings.model_validate(
        {
            "terms": {"lowest": "SSLv3"},
            "peers": [
                {"network": "192.0.2.0/24", "lowest": "TLSv1"},
                {"network": "192.0.2.7", "ciphers": ["RC4-SHA"]},
                {"network": "2001:db8::/32", "lowest": "TLSv1.1"},
            ],
        }
    )
    assert settings.terms_of("192.0.2.7").ciphers == ("RC4-SHA",)
    assert settings.terms_of("192.0.2.8").lowest == "TLSv1"
    assert settings.terms_of("198.51.100.1").lowest == "SSLv3"
    assert settings.terms_of("2001:db8::1").lowest == "TLSv1.1"
    assert settings.terms_of("192.0.2.7", "192.0.2.25").ciphers == ("RC4-SHA",)
    assert settings.terms_of("192.0.2.7", "192.0.2.7") == Terms(), "the keeper's visit"


@pytest.mark.parametrize(
    "section",
    [
        {"terms": {"lowest": "SSLv2"}},
        {"terms": {"ciphers": ["EXP-RC4-MD5"]}},
        {"terms": {"ciphers": []}},
        {"peers": [{"network": "192.0.2.1/24"}]},
        {"peers": [{"lowest": "TLSv1"}]},
        {"sessions": 0},
    ],
)
def test_what_no_gateway_can_do_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(section)


def test_every_cipher_that_may_be_named_can_be_served() -> None:
    assert set(CIPHERS) == set(SUITES)


def test_the_watcher_reads_what_the_gateway_says_of_a_failure() -> None:
    line = library_line("SSL_ERROR_NO_CYPHER_OVERLAP")
    assert line is not None
    assert "error:0A0000C1:SSL routines::no shared cipher:" in line
    evidence = read_tlsproxy(line.encode())
    assert evidence is not None


def test_a_peer_that_went_away_has_no_line() -> None:
    assert library_line("PR_END_OF_FILE_ERROR") is None
