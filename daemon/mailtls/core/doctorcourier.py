"""Courier's TLS_PROTOCOL, examined: /etc/courier/imapd-ssl, pop3d-ssl and esmtpd-ssl (imapd-ssl(8)).

The values are those of a Courier built with OpenSSL. One that is built with GnuTLS, as Debian's is, does not read them:
its versions stand in TLS_PRIORITY.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.printable import printable

PARAMETERS = ("TLS_PROTOCOL", "TLS_STARTTLS_PROTOCOL")
_MODERN = frozenset({"TLSv1.2", "TLSv1.2+", "TLSv1.2++", "TLSv1.3", "TLSv1.3+", "TLSv1.3++", "TLS1_2"})
_OLD = frozenset({"TLSv1", "TLSv1+", "TLSv1++", "TLSv1.1", "TLSv1.1+", "TLSv1.1++", "TLS1", "TLS1_1"})
_ASSIGNMENT = re.compile(r"^[ \t]*(?P<name>[A-Z_]{1,40})=[\"']?(?P<value>[^\"'#\n]{0,200})", re.MULTILINE)


def courier_findings(place: str, text: str, *, gnutls: bool) -> Iterator[DoctorFinding]:
    """Examine one file. `gnutls`: this Courier is built with it."""
    for found in _ASSIGNMENT.finditer(text):
        name, value = found["name"], found["value"].strip()
        if name not in PARAMETERS or not value or value.startswith("$"):
            continue
        shown, command = printable(value, 100), f"editor {place} && systemctl restart courier-imap-ssl"
        if gnutls:
            said = f"{name} = {shown}, and this Courier is built with GnuTLS, which reads TLS_PRIORITY."
            setting = 'TLS_PRIORITY="NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"'
            yield DoctorFinding("courier_protocol_unused", (place,), said, setting, command)
        elif value in _OLD:
            said = f"{name} = {shown} takes TLS 1.0 or 1.1."
            yield DoctorFinding("courier_protocol_old", (place,), said, f'{name}="TLSv1.2++"', command)
        elif value not in _MODERN:
            said = f"{name} = {shown} is no version that Courier and today's OpenSSL know."
            yield DoctorFinding("courier_protocol_invalid", (place,), said, f'{name}="TLSv1.2++"', command)
