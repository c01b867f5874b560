"""A session: one connection of one peer, as its lines prove it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.peer import Peer


@dataclass(frozen=True, slots=True)
class Session:
    """One finished session.

    `at`: time of the line that decided the outcome, None where the log has no stamps. `peer` None: a fault of the
    server that no client is charged with. `reason`: OpenSSL's reason text, or what stands behind
    `SSL_accept error ...:`; None where the log gives none. `reason_number`: OpenSSL's reason code (0x102, 0x0C1 ...;
    1000 + alert number for alerts from the peer). `delivered`: a mail was accepted in this session.
    `hidden`: STARTTLS was hidden from this peer (`discarding EHLO keywords: STARTTLS`).
    `commands`: the statistics of the disconnect line, e.g. `ehlo=1 starttls=0/1 commands=1/2`, None if absent.
    `lines`: the log lines that prove it, printable, at most eight.
    `port`: the client's, None where the log has none (smtpd_client_port_logging).
    """

    at: datetime | None
    peer: Peer | None
    service: Service
    door: Door
    outcome: Outcome
    cause: Cause
    reason: str | None = None
    reason_number: int | None = None
    tls_version: str | None = None
    cipher: str | None = None
    delivered: bool = False
    hidden: bool = False
    commands: str | None = None
    lines: tuple[str, ...] = ()
    port: int | None = None
