"""A service's ciphers, examined: the grade, and what this OpenSSL really builds of the list.

The list is put together as Postfix does it (`core/offering.py`); `SmtpdService.ciphers` is what OpenSSL makes of it up
to TLS 1.2, at the security level 0 that Postfix sets (facts 6.1). Anonymous ciphers are in Postfix's own default list,
and are no fault: a client that wants no certificate may have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.doctorservice import Role, SmtpdService
from mailtls.core.offering import (
    CIPHERS,
    EXCLUDED,
    GRADES,
    MANDATORY_CIPHERS,
    MANDATORY_EXCLUDED,
    OLD,
    PROTOCOLS,
    cipher_list_of,
    is_anonymous,
    versions_of,
)
from mailtls.core.printable import printable
from mailtls.core.suite import KeyType, key_type_of

_WEAK = re.compile(r"(?:^|-)(?:NULL|EXP|RC4|RC2|DES)(?:-|$)|^DES-|NULL$")
_SECURITY_LEVEL = re.compile(r"@SECLEVEL=[1-9]")
_LOW_GRADES = frozenset({"low", "export", "null"})
NAMED = 6


def cipher_findings(service: SmtpdService) -> Iterator[DoctorFinding]:
    """Examine the ciphers of one service."""
    if service.is_off:
        return
    parameter = MANDATORY_CIPHERS if service.is_enforced else CIPHERS
    grade = service.values.get(parameter, "").lower()
    if grade not in GRADES:
        said = f"{parameter} = {printable(grade, 100)}: Postfix knows {', '.join(GRADES)}."
        yield _finding("ciphers_grade_invalid", service, parameter, "medium", said)
        return
    if grade in _LOW_GRADES and service.role is Role.MX:
        said = f"{parameter} = {grade}: every client of {service.key} may have them."
        yield _finding("weakened_for_all", service, parameter, "medium", said)
    yield from _built(service, parameter, GRADES[grade])


def _built(service: SmtpdService, parameter: str, source: str) -> Iterator[DoctorFinding]:
    versions = versions_of(service.values)
    if not versions:
        return  # that is a finding of its own
    written = printable(cipher_list_of(service.values), 300)
    if versions != ("TLSv1.3",) and not _served(service):
        said = f"`{written}` leaves {_what_is_left(service)}"
        yield _finding("ciphers_none", service, *_cure(service, parameter, source), seen=said)
        return
    if weak := [each for each in service.ciphers if is_weak(each) and service.matters]:
        said = f"{service.key} offers {_listed(weak)}."
        yield _finding("ciphers_weak", service, *_cure(service, parameter, source), seen=said)
    if service.role is Role.MX and "TLSv1.2" in versions and not _usual(service):
        said = f"{service.key} offers up to TLS 1.2 only {_listed(_served(service))}."
        yield _finding("ciphers_too_few", service, *_cure(service, parameter, source), seen=said)
    wanted = [each for each in OLD if each in versions_of({**service.values, source: "HIGH"})]
    if wanted and _SECURITY_LEVEL.search(written):
        said = f"`{written}` has a security level: {' and '.join(wanted)} fail although {PROTOCOLS} allows them."
        yield _finding("ciphers_security_level", service, *_cure(service, parameter, source), seen=said)


def is_weak(name: str) -> bool:
    """Tell whether a cipher hides nothing from anybody who wants to know."""
    return _WEAK.search(name) is not None


def _served(service: SmtpdService) -> list[str]:
    """Give the ciphers that a certificate of the service can serve; where none could be read, all of them count."""
    real = [each for each in service.ciphers if not is_anonymous(each)]
    if not service.certificates:
        return real
    return [each for each in real if key_type_of(each) in service.certificates]


def _usual(service: SmtpdService) -> bool:
    return any(each.startswith("ECDHE-") and "AES" in each and "GCM" in each for each in _served(service))


def _what_is_left(service: SmtpdService) -> str:
    if not service.ciphers:
        return "nothing that this OpenSSL has (`no cipher match`)."
    kinds = " and ".join(kind.value for kind in KeyType if kind in service.certificates)
    return f"{_listed(list(service.ciphers))}, none of which an {kinds or 'existing'} certificate can serve."


def _cure(service: SmtpdService, parameter: str, source: str) -> tuple[str, str]:
    """Choose what to take out: exclusions, a list of the site's own, or the grade."""
    excluded = (MANDATORY_EXCLUDED, EXCLUDED) if service.is_enforced else (EXCLUDED,)
    written = next((each for each in excluded if service.values.get(each)), None)
    without = {**service.values, **dict.fromkeys(excluded, "")}
    if written and cipher_list_of(without) != cipher_list_of(service.values) and _is_stock(service, source):
        return written, ""
    if not _is_stock(service, source):
        return source, _STOCK.get(source, "")
    return parameter, "medium"


_STOCK = {
    "tls_high_cipherlist": "aNULL:-aNULL:HIGH:@STRENGTH",
    "tls_medium_cipherlist": "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
}


def _is_stock(service: SmtpdService, source: str) -> bool:
    return service.values.get(source, "").startswith("aNULL:-aNULL:HIGH")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "nothing") + more


def _finding(name: str, service: SmtpdService, parameter: str, value: str, seen: str) -> DoctorFinding:
    return DoctorFinding(
        name, (service.place(parameter),), seen, service.line(parameter, value), service.command(parameter)
    )
