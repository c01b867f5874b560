"""A whole machine in a directory for the doctor: Postfix, Dovecot, Courier, fail2ban, OpenSSL and a DNS of its own.

Every row of the table is such a machine; nothing of it runs. Postfix's and Dovecot's own programs read what is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.edge import listening
from mailtls.edge.doctordns import Names, NotAskedError
from mailtls.service.doctor import Checkup, Ward, look

from .doctor_pki import HOST, Pki

SOUND: Mapping[str, str] = {
    "compatibility_level": "3.6",
    "myhostname": HOST,
    "mydestination": "example.test",
    "smtpd_tls_security_level": "may",
    "smtpd_tls_cert_file": "{pki}/rsa.pem",
    "smtpd_tls_key_file": "{pki}/rsa.key",
    "smtpd_tls_eccert_file": "{pki}/ecdsa.pem",
    "smtpd_tls_eckey_file": "{pki}/ecdsa.key",
    "smtpd_tls_loglevel": "1",
    "smtpd_client_port_logging": "yes",
}
"""A main.cf of which the doctor has nothing to say."""

MASTER = """\
smtp       inet  n  -  y  -  -  smtpd
submission inet  n  -  y  -  -  smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
submissions inet n  -  y  -  -  smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
127.0.0.1:10025 inet n - y - - smtpd
  -o smtpd_tls_security_level=none
cleanup    unix  n  -  y  -  0  cleanup
qmgr       unix  n  -  n 300 1  qmgr
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One machine. `main`: parameters beside SOUND's, None takes one away; `text`: main.cf itself instead.

    `files`: other files by their path under the root; `found`: the ids that must be found, and no others. `after_days`:
    how far the clock is on. `dns`: records by (name, type). `says`: words that the findings must hold.
    """

    name: str
    main: Mapping[str, str | None] = field(default_factory=dict)
    found: frozenset[str] = frozenset()
    master: str = MASTER
    text: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    after_days: float = 1
    dns: Mapping[tuple[str, str], tuple[str, ...]] | None = None
    policy: str | None = None
    says: tuple[str, ...] = ()


def examined(row: Row, root: Path, pki: Pki) -> Checkup:
    """Write the machine down, and examine it."""
    build(row, root, pki)
    now = datetime.now(UTC) + timedelta(days=row.after_days)
    return look(Ward(root, root / "etc/postfix", now, names=_names(row)))


def build(row: Row, root: Path, pki: Pki) -> None:
    """Write the machine down."""
    for name in ("etc/postfix", "queue/private", "data"):
        (root / name).mkdir(parents=True, exist_ok=True)
    values = {"queue_directory": f"{root}/queue", "data_directory": f"{root}/data", **SOUND}
    chosen = {name: value for name, value in {**values, **row.main}.items() if value is not None}
    text = row.text if row.text is not None else "".join(f"{name} = {value}\n" for name, value in chosen.items())
    files = {"etc/postfix/main.cf": text, "etc/postfix/master.cf": row.master, **row.files}
    if listening.bind_error(("::1", 0)) is not None:  # a machine without IPv6
        files = {name: content.replace("[::1]:", "127.0.0.1:").replace("[::]:", "") for name, content in files.items()}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("{pki}", str(pki.directory)).replace("{root}", str(root)))
        past = path.stat().st_mtime - 100  # an edited main.cf makes postconf wait until it is two seconds old
        os.utime(path, (past, past))


def _names(row: Row) -> Names:
    def ask(name: str, kind: str) -> tuple[str, ...]:
        if row.dns is None:
            raise NotAskedError("there is no DNS here")
        return row.dns.get((name, kind), ())

    return Names(ask, lambda _: row.policy)


def spelled(findings: tuple[DoctorFinding, ...]) -> str:
    """Write findings for the message of a test that fails."""
    return "\n".join(f"{each.id} {each.where}: {each.seen} {each.evidence}" for each in findings)
