"""Key pairs for a private Postfix, made with the openssl command.

Self-signed, for `mx.example.test`, valid for two days: nobody but the tests ever trusts them.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

HOSTNAME = "mx.example.test"


class KeyType(StrEnum):
    """What the key signs with; the word is also the file's name."""

    ECDSA = "ecdsa"
    RSA = "rsa"


NEW_KEY = {
    KeyType.ECDSA: ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    KeyType.RSA: ("-newkey", "rsa:2048"),
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """One key pair: `key` and `certificate` are PEM files, `chain` holds both, the key first.

    Postfix wants that order in smtpd_tls_chain_files (tls/tls_certkey.c: "key not first").
    """

    key_type: KeyType
    key: Path
    certificate: Path
    chain: Path


def make_certificate(directory: Path, key_type: KeyType) -> Certificate:
    """Make a self-signed certificate in `directory`, readable by its owner only."""
    key, certificate, chain = (directory / f"{key_type}.{kind}" for kind in ("key", "crt", "pem"))
    subprocess.run(
        ["openssl", "req", "-x509", *NEW_KEY[key_type], "-nodes", "-days", "2", "-subj", f"/CN={HOSTNAME}",
         "-addext", f"subjectAltName=DNS:{HOSTNAME}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    chain.touch(mode=0o600)
    chain.write_text(key.read_text() + certificate.read_text())
    return Certificate(key_type, key, certificate, chain)
