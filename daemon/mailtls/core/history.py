"""History: what all sessions of all peers add up to.

One `Verdict` key per distinct kind of session, with a `Tally` of how often and when; per peer the facts that a
diagnosis needs beside them (mail delivered, cleartext mail, cleartext refused), and the lines that prove its failures.

SECURITY: peers are strangers and there may be millions. Peers that never failed are kept up to `QUIET_PEERS`,
failing ones up to `FAILING_PEERS`; what is beyond is only counted (`History.peers_left_out`), never an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.session import Session

QUIET_PEERS = 100_000
FAILING_PEERS = 50_000
EVIDENCE_LINES = 12
VERDICTS_PER_PEER = 64
TIMES_PER_PEER = 64
STATEMENTS = 200
FAILED = frozenset({Outcome.TLS_FAILED, Outcome.SERVER_TLS_BROKEN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One kind of session of one peer: the row of a report, without its count."""

    service: Service
    door: Door
    outcome: Outcome
    tls_version: str | None
    cipher: str | None
    reason: str | None
    cause: Cause


@dataclass(slots=True)
class Tally:
    """How often, and when first and last; times None where the log has no stamps."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, count: int, first: datetime | None, last: datetime | None) -> None:
        """Count `count` more, seen between `first` and `last`."""
        self.count += count
        if first is not None and (self.first is None or first < self.first):
            self.first = first
        if last is not None and (self.last is None or last > self.last):
            self.last = last


@dataclass(slots=True)
class PeerHistory:
    """All that is known of one address.

    `mail`: sessions in which it delivered mail; `cleartext_mail`: those of them without TLS;
    `cleartext_refused`: sessions `ehlo=1 quit=1` without STARTTLS and without mail (it looked for STARTTLS, did not
    find it, and left). `hidden`: sessions in which STARTTLS was hidden from it. `failed_at`: times of failures, the
    first `TIMES_PER_PEER` of them, in log order. `evidence`: lines that prove failures, printable.
    """

    ip: str
    name: str | None = None
    verdicts: dict[Verdict, Tally] = field(default_factory=dict)
    mail: Tally = field(default_factory=Tally)
    cleartext_mail: Tally = field(default_factory=Tally)
    cleartext_refused: Tally = field(default_factory=Tally)
    hidden: Tally = field(default_factory=Tally)
    failed_at: list[datetime] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    def tally(self, *outcomes: Outcome) -> Tally:
        """Add up the verdicts that have one of these outcomes."""
        total = Tally()
        for verdict, tally in self.verdicts.items():
            if verdict.outcome in outcomes:
                total.add(tally.count, tally.first, tally.last)
        return total

    @property
    def failing(self) -> bool:
        """Tell whether any handshake of this peer failed."""
        return any(verdict.outcome in FAILED for verdict in self.verdicts)


class StatementKind(StrEnum):
    """What a line says about the server (or its TLS settings) without being a session of any peer."""

    LMTP_GREETING = "lmtp_greeting"
    DOVECOT_FATAL = "dovecot_fatal"
    TLS_DISABLED = "tls_disabled"
    RATE_LIMIT = "rate_limit"
    STARTTLS_HIDDEN = "starttls_hidden"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that the server said of itself.

    `at`: None where the log has no stamps. `text`: the message behind the syslog tag, printable. `line`: the
    whole line, printable.
    """

    at: datetime | None
    kind: StatementKind
    text: str
    line: str


@dataclass(slots=True)
class Lines:
    """What became of the lines: `unknown` have a TLS marker literal, but the grammar did not accept them."""

    read: int = 0
    understood: int = 0
    ignored: int = 0
    unknown: int = 0


@dataclass(slots=True)
class History:
    """Everything that was seen.

    `server`: sessions charged to no peer, each with its lines. `statements`: what the server said of itself,
    the first `STATEMENTS` of them, in log order.
    """

    peers: dict[str, PeerHistory] = field(default_factory=dict)
    server: list[Session] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    lines: Lines = field(default_factory=Lines)
    peers_left_out: int = 0
    sessions_left_out: int = 0
