"""What Postfix tells of a session: which door it came through, and what protects it."""

from __future__ import annotations

import pytest

from mailtls.core.cause import Door
from mailtls.core.smtpfacts import CLEARTEXT, SmtpFacts
from mailtls.core.tlsversion import SSLV3, TLS10, TLS12, TLS13

PORTS = {"10125": Door.LEGACY_RSA, "10225": Door.LEGACY}


@pytest.mark.parametrize(
    ("context", "port", "door"),
    [
        ("", "25", Door.STRICT),
        ("", "", Door.STRICT),
        ("", "10125", Door.LEGACY_RSA),
        ("", "10225", Door.LEGACY),
        ("mailtls-legacy", "25", Door.LEGACY),
        ("mailtls-sslv3", "25", Door.SSLV3),
        ("mailtls-strict", "10225", Door.STRICT),
        ("mailtls-other", "10225", Door.LEGACY),
        ("legacy", "25", Door.STRICT),
    ],
)
def test_the_door_is_told_by_its_context_or_else_by_its_port(context: str, port: str, door: Door) -> None:
    assert SmtpFacts(policy_context=context, server_port=port).door(PORTS) is door


@pytest.mark.parametrize(
    ("protocol", "door", "number"),
    [
        ("", Door.STRICT, CLEARTEXT),
        ("", Door.LEGACY, CLEARTEXT),
        ("", Door.SSLV3, SSLV3),
        ("TLSv1", Door.LEGACY, TLS10),
        ("TLSv1.0", Door.LEGACY, TLS10),
        ("TLSv1/SSLv3", Door.LEGACY, TLS10),
        ("TLSv1.2", Door.STRICT, TLS12),
        ("TLSv1.3", Door.STRICT, TLS13),
        ("TLSv1.4", Door.STRICT, None),
    ],
)
def test_what_protects_a_session(protocol: str, door: Door, number: int | None) -> None:
    assert SmtpFacts(encryption_protocol=protocol).protection(door) == number


def test_whoever_has_logged_in_is_a_user() -> None:
    assert SmtpFacts(sasl_method="plain").authenticated
    assert SmtpFacts(sasl_username="a").authenticated
    assert not SmtpFacts().authenticated


def test_a_peer_is_spelled_as_in_tables() -> None:
    peer = SmtpFacts(client_address="::ffff:192.0.2.1", client_name="mx.example").peer
    assert (peer.ip, peer.name) == ("192.0.2.1", "mx.example")
    assert SmtpFacts(client_address="2001:DB8:0::1").peer.ip == "2001:db8::1"
    assert SmtpFacts().peer.name is None


def test_of_an_address_that_is_none_only_the_beginning_is_kept() -> None:
    assert len(SmtpFacts(client_address="9" * 60_000).peer.ip) == 64
