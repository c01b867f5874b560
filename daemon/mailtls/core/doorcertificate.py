"""Where a service of Postfix has its certificates, and how a door gets an RSA certificate beside them.

Beside, not instead: a peer that can use the service's own certificate goes on being shown it (decision 14). Which
parameters count: tls/tls_certkey.c:tls_set_my_certificate_key_info; smtpd_tls_chain_files, where it is set, alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CHAIN_FILES = "smtpd_tls_chain_files"
CERTIFICATE, KEY = "smtpd_tls_cert_file", "smtpd_tls_key_file"
EC_CERTIFICATE, EC_KEY = "smtpd_tls_eccert_file", "smtpd_tls_eckey_file"
CERTIFICATE_FILES = (CHAIN_FILES, CERTIFICATE, KEY, EC_CERTIFICATE, EC_KEY)
NO_CERTIFICATE = "none"
"""smtpd_tls_cert_file=none: anonymous ciphers only."""
_SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class DoorCertificate:
    """A certificate with its chain, and its key: PEM files, which may be the same one."""

    certificate: str
    key: str


def chains_of(values: Mapping[str, str]) -> tuple[str, ...]:
    """Name the files that begin with a server certificate, or hold several after their keys."""
    if chains := [path for path in _SEPARATORS.split(values.get(CHAIN_FILES, "")) if path]:
        return tuple(chains)
    named = (values.get(CERTIFICATE, ""), values.get(EC_CERTIFICATE, ""))
    return tuple(path for path in named if path and path.lower() != NO_CERTIFICATE)


def certificate_options(values: Mapping[str, str], extra: DoorCertificate) -> dict[str, str]:
    """Say which `-o` make a service show `extra`, an RSA certificate, beside those that it has, none of them RSA.

    An ECDSA certificate may well stand in smtpd_tls_cert_file, which Postfix does not mind; it moves over then.
    """
    own = values.get(CHAIN_FILES, "").strip()
    if own:
        files = [path for path in _SEPARATORS.split(own) if path]
        return {CHAIN_FILES: ",".join((*files, *dict.fromkeys((extra.key, extra.certificate))))}
    second = (values.get(EC_CERTIFICATE, ""), values.get(EC_KEY, ""))
    first = (values.get(CERTIFICATE, ""), values.get(KEY, ""))
    beside = second if second[0] else first if first[0].lower() != NO_CERTIFICATE else ("", "")
    return {CERTIFICATE: extra.certificate, KEY: extra.key, EC_CERTIFICATE: beside[0], EC_KEY: beside[1]}
