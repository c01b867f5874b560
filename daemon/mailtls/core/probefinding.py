"""What is weak in a server that was probed: a closed list, for which `mailtlsctl probe` ends with status 1.

Old versions and ciphers that mail still needs here and there (TLS 1.0, RC4, 3DES) are told, and are no findings. Nor
are suites without a certificate on port 25: who delivers mail there takes any certificate anyhow, and Postfix offers
them on purpose (TLS_README, "smtpd_tls_security_level"). Everywhere else a client relies on the certificate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.ciphersuite import BY_NUMBER, Authentication, name_of
from mailtls.core.probed import Probed
from mailtls.core.probequestion import SSLV2_KINDS
from mailtls.core.probetarget import Service
from mailtls.core.tlsversion import SSLV2, SSLV3

SMALL_PRIME = 1024
_LISTED = 4


class Weakness(StrEnum):
    """The findings, worst first."""

    INJECTION = "starttls-injection"
    NO_STARTTLS = "no-starttls"
    SSLV2 = "sslv2"
    SSLV3 = "sslv3"
    NULL = "null-cipher"
    ANONYMOUS = "anonymous-cipher"
    EXPORT = "export-cipher"
    DES = "des-cipher"
    SMALL_PRIME = "small-dh-prime"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: what was seen, and why it matters."""

    weakness: Weakness
    seen: str
    matters: str


def weak_points(probed: Probed, service: Service) -> tuple[Found, ...]:
    """List what is weak, worst first."""
    return tuple(_each(probed, service))


def _each(probed: Probed, service: Service) -> Iterator[Found]:
    if probed.obeyed:
        yield Found(
            Weakness.INJECTION,
            "a command that was sent behind STARTTLS in clear was obeyed inside TLS",
            "whoever sits on the path can put commands into a client's secured session (CVE-2011-0411)",
        )
    if probed.no_starttls:
        yield Found(Weakness.NO_STARTTLS, probed.no_starttls, "every session stays in clear")
    for version, weakness in ((SSLV2, Weakness.SSLV2), (SSLV3, Weakness.SSLV3)):
        if version in probed.offered:
            yield Found(weakness, *_OLD[weakness])
    yield from _suites(probed, service)
    if probed.prime_bits is not None and probed.prime_bits < SMALL_PRIME:
        yield Found(
            Weakness.SMALL_PRIME, f"a Diffie-Hellman prime of {probed.prime_bits} bits",
            "it can be broken with moderate means (Logjam)",
        )  # fmt: skip


_OLD = {
    Weakness.SSLV2: (
        "SSL 2.0 is offered",
        "it protects nothing, and betrays TLS sessions of every service with the same RSA key (DROWN, RFC 6176)",
    ),
    Weakness.SSLV3: ("SSL 3.0 is offered", "its padding can be made to leak (POODLE, RFC 7568)"),
}


def _suites(probed: Probed, service: Service) -> Iterator[Found]:
    numbers = {number for version, found in probed.versions.items() if version != SSLV2 for number in found.suites}
    named = [*sorted(map(name_of, numbers)), *(SSLV2_KINDS.get(kind, "") for kind in probed.found(SSLV2).suites)]
    anonymous = {name_of(n) for n in numbers if n in BY_NUMBER and BY_NUMBER[n].authentication is Authentication.NONE}
    export = [name for name in named if name.startswith("EXP")]
    kinds = (
        (Weakness.NULL, [name for name in named if "NULL" in name], "nothing is encrypted"),
        (Weakness.ANONYMOUS, [] if service is Service.SMTP else sorted(anonymous),
         "the server proves nothing: clients cannot tell it from anybody else"),
        (Weakness.EXPORT, export, "keys of 40 or 56 bits are broken within hours (FREAK)"),
        (Weakness.DES, [name for name in named if "DES-CBC-" in name and name not in export],
         "keys of 56 bits are broken within days"),
    )  # fmt: skip
    for weakness, names, matters in kinds:
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            yield Found(weakness, f"{', '.join(names[:_LISTED])}{more}", matters)
