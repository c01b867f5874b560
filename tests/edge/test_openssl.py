"""openssl(1) is asked in a way that needs no person, and what it says is read."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailtls.core.pem import Block, parse_pem, server_certificates
from mailtls.core.suite import KeyType
from mailtls.edge.openssl import certificate_facts, ciphers, is_trusted, make_self_signed, public_key_of
from mailtls.errors import PostfixError

NOW = datetime.now(UTC)


def made(directory: Path, *names: str) -> tuple[Block, Block]:
    make_self_signed(str(directory / "k.pem"), str(directory / "c.pem"), names or ("mx.example.test",), 10)
    (key,) = parse_pem((directory / "k.pem").read_text())
    (certificate,) = server_certificates(parse_pem((directory / "c.pem").read_text()))
    return key, certificate


def test_a_certificate_tells_kind_names_end_and_key(tmp_path: Path) -> None:
    key, certificate = made(tmp_path, "mx.example.test", "MX2.example.test")
    facts = certificate_facts(certificate)
    assert facts is not None
    assert (facts.kind, facts.names) == (KeyType.RSA, ("mx.example.test", "mx2.example.test"))
    assert timedelta(days=9) < facts.expires - NOW < timedelta(days=11)
    assert facts.public_key == public_key_of(key) != b""
    assert facts.public_key in certificate.content
    assert not is_trusted(str(tmp_path / "c.pem"))
    assert certificate_facts(Block("CERTIFICATE", "rubbish", b"")) is None


def test_a_key_with_a_pass_phrase_is_never_asked_for(tmp_path: Path) -> None:
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:x", "-out", tmp_path / "k"]
    subprocess.run(command, check=True, capture_output=True)
    (key,) = parse_pem((tmp_path / "k").read_text())
    assert public_key_of(key) == b""


def test_ciphers_are_those_of_the_newest_version_up_to_1_2_at_security_level_0() -> None:
    old, new = ciphers("HIGH", ("TLSv1",)), ciphers("HIGH", ("TLSv1", "TLSv1.2", "TLSv1.3"))
    assert {"AES128-SHA", "ECDHE-ECDSA-AES256-SHA"} <= set(old) < set(new)
    assert "ECDHE-RSA-AES128-GCM-SHA256" in new
    assert not [name for name in new if name.startswith("TLS_")]
    assert ciphers("HIGH", ("TLSv1.3",)) == ciphers("", ("TLSv1.2",)) == ciphers("NOSUCH", ("TLSv1.2",)) == ()


def test_what_openssl_cannot_make_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(PostfixError, match="openssl req failed"):
        make_self_signed(str(tmp_path / "no/k"), str(tmp_path / "c"), ("a.test",), 1)
