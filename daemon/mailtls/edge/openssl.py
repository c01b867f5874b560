"""openssl(1): what OpenSSL's own program says of ciphers, certificates and keys.

Run without a shell, with an end to its patience, without the system's openssl.cnf (Postfix's services are at security
level 0 and set their own versions, facts 6.1, so nothing of it counts), and never asking for a pass phrase.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime

from mailtls.core.pem import Block, kind_of, parse_pem
from mailtls.core.suite import KeyType
from mailtls.edge.postconf import PATH
from mailtls.errors import PostfixError

PATIENCE_S = 10.0
NAME = re.compile(r"DNS:([^\s,]{1,255})")
ENDS = re.compile(r"^notAfter=(.+)$", re.MULTILINE)
SUBJECT = re.compile(r"^subject=.*?CN\s?=\s?([^\s,/]{1,255})", re.MULTILINE)
NEWEST = (("TLSv1.2", "-tls1_2"), ("TLSv1.1", "-tls1_1"), ("TLSv1", "-tls1"))


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What stands in a certificate: kind of key (None: neither RSA nor ECDSA), DNS names in small letters, and its
    public key, DER.
    """

    kind: KeyType | None
    names: tuple[str, ...]
    expires: datetime
    public_key: bytes


def ciphers(cipher_list: str, versions: tuple[str, ...]) -> tuple[str, ...]:
    """Give the suites up to TLS 1.2 that this OpenSSL makes of a list at security level 0, in its order.

    None for an empty list, and for one that OpenSSL makes nothing of: then no client gets through.
    """
    newest = next((option for version, option in NEWEST if version in versions), None)
    if not cipher_list or newest is None:
        return ()
    said = ask("ciphers", "-s", newest, f"@SECLEVEL=0:{cipher_list}")
    return tuple(said.strip().split(":")) if said and said.strip() else ()


def certificate_facts(certificate: Block) -> CertificateFacts | None:
    """Read a certificate; None where OpenSSL cannot."""
    said = ask("x509", "-noout", "-subject", "-enddate", "-ext", "subjectAltName", "-pubkey", given=certificate.text)
    ends = ENDS.search(said or "")
    keys = [block.content for block in parse_pem(said or "") if block.label == "PUBLIC KEY"]
    if said is None or ends is None or not keys:
        return None
    names = NAME.findall(said) or SUBJECT.findall(said)
    try:
        expires = datetime.strptime(ends.group(1), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    except ValueError:
        return None
    return CertificateFacts(kind_of(keys[0]), tuple(name.lower() for name in names), expires, keys[0])


def public_key_of(key: Block) -> bytes:
    """Give the public half of a private key, DER; nothing where it cannot be read, or only with a pass phrase."""
    said = ask("pkey", "-pubout", "-passin", "pass:", given=key.text)
    keys = [block.content for block in parse_pem(said or "") if block.label == "PUBLIC KEY"]
    return keys[0] if keys else b""


def is_trusted(path: str) -> bool:
    """Tell whether the system's authorities vouch for the first certificate of a file, with the rest as its chain."""
    return ask("verify", "-purpose", "sslserver", "-untrusted", path, path) is not None


def make_self_signed(key: str, certificate: str, names: tuple[str, ...], days: int) -> None:
    """Make an RSA key and a certificate signed by itself. Raises PostfixError with OpenSSL's words."""
    named = ",".join(f"DNS:{name}" for name in names)
    _must(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", str(days), "-subj", f"/CN={names[0][:64]}",
        "-addext", f"subjectAltName={named}", "-keyout", key, "-out", certificate,
    )  # fmt: skip


def ask(*arguments: str, given: str = "") -> str | None:
    """Give what openssl printed; None where it failed. Raises PostfixError."""
    ran = _process(arguments, given)
    return ran.stdout if ran.returncode == 0 else None


def ask_loudly(*arguments: str, given: str = "") -> tuple[int, str]:
    """Give the exit status, and all that openssl said. Raises PostfixError."""
    ran = _process(arguments, given)
    return ran.returncode, ran.stdout + ran.stderr


def _must(*arguments: str) -> None:
    ran = _process(arguments, "")
    if ran.returncode:
        raise PostfixError(f"openssl {arguments[0]} failed: {' '.join(ran.stderr.split())[-300:]}")


def _process(arguments: tuple[str, ...], given: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - our own words, and the operator's paths and names
            ["openssl", *arguments],  # noqa: S607 - found in PATH above
            input=given, capture_output=True, timeout=PATIENCE_S, text=True,
            errors="replace", check=False, env={"PATH": PATH, "LC_ALL": "C", "OPENSSL_CONF": "/dev/null"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PostfixError(f"openssl {arguments[0]} did not end within {PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise PostfixError(f"openssl cannot be run: {error.strerror}; first: apt-get install openssl") from error
