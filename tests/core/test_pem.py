"""PEM files are cut into blocks, and the certificates that a server shows are told from their chains."""

from __future__ import annotations

import pytest

from mailtls.core.pem import kind_of, parse_pem, server_certificates
from mailtls.core.suite import KeyType


def block(label: str, content: str = "AAAA") -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"


KEY, LEAF, CHAIN = block("PRIVATE KEY", "S0VZ"), block("CERTIFICATE", "TEVBRg=="), block("CERTIFICATE", "Q0hBSU4=")


SHOWN = [
    (LEAF + CHAIN, [b"LEAF"]),
    (KEY + LEAF + CHAIN, [b"LEAF"]),
    (LEAF + CHAIN + KEY, [b"LEAF"]),
    ("words\n" + KEY + LEAF + CHAIN + block("EC PRIVATE KEY") + CHAIN + LEAF, [b"LEAF", b"CHAIN"]),
    (KEY, []),
    ("", []),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_the_first_certificate_and_each_behind_a_key_is_shown(text: str, shown: list[bytes]) -> None:
    assert [each.content for each in server_certificates(parse_pem(text))] == shown


def test_carriage_returns_headers_and_broken_content_are_borne() -> None:
    (one,) = parse_pem(LEAF.replace("\n", "\r\n"))
    assert one.content == b"LEAF"
    assert parse_pem(block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA")) == ()
    (broken,) = parse_pem(block("PRIVATE KEY", "A=B:"))
    assert (broken.is_key, broken.content) == (True, b"")


def test_kinds_are_told_by_the_identifier_of_the_algorithm() -> None:
    assert kind_of(bytes.fromhex("30820122300d06092a864886f70d0101010500")) is KeyType.RSA
    assert kind_of(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107")) is KeyType.ECDSA
    assert kind_of(bytes.fromhex("302a300506032b6570")) is None


@pytest.mark.parametrize("text", ["-----BEGIN A-----\n" * 20000, "-----BEGIN A-----\n" + "A" * 250000, "-----BEGIN " * 30000])
def test_endless_rubbish_is_no_file(text: str) -> None:
    assert parse_pem(text) == ()
