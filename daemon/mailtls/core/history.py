"""History: what all sessions of all peers add up to.

One `Verdict` key per distinct kind of session, with a `Tally` of how often and when; per peer the facts that a
diagnosis needs beside them (mail delivered, cleartext mail, cleartext refused), and the lines that prove its failures.

SECURITY: peers are strangers and there may be millions. Peers that never failed are kept up to `QUIET_PEERS`,
failing ones up to `FAILING_PEERS`; what is beyond is only counted (`History.peers_left_out`), never an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

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


class Crowd(Protocol):
    """Peers that were only counted: a large log has too many to keep them all (`crowd.Crowd`)."""

    def rows(self) -> Iterator[tuple[str, str | None, Verdict, Tally]]:
        """Yield their verdicts."""

    def totals(self) -> Counter[Total]:
        """Count their sessions."""

    def peers(self) -> int:
        """Count them."""


Total = tuple[Service, Outcome, Cause, str | None, str | None, str | None]
"""Service, outcome, cause, reason, TLS version, cipher."""


@dataclass(slots=True)
class History:
    """Everything that was seen.

    `server`: sessions charged to no peer, each with its lines. `crowds`: peers of large logs that were only counted;
    `failing_unlisted`: how many of them failed. `statements`: what the server said of itself, the first `STATEMENTS`
    of them, in log order.
    """

    peers: dict[str, PeerHistory] = field(default_factory=dict)
    server: list[Session] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    lines: Lines = field(default_factory=Lines)
    peers_left_out: int = 0
    sessions_left_out: int = 0
    failing_unlisted: int = 0
    crowds: list[Crowd] = field(default_factory=list)

    def totals(self) -> Counter[Total]:
        """Count all sessions, those of the crowds too; the server's own statements are not sessions."""
        found: Counter[Total] = Counter()
        for peer in self.peers.values():
            for v, tally in peer.verdicts.items():
                found[v.service, v.outcome, v.cause, v.reason, v.tls_version, v.cipher] += tally.count
        for crowd in self.crowds:
            found.update(crowd.totals())
        return found

    def rows(self) -> Iterator[tuple[str | None, str | None, Verdict, Tally]]:
        """Yield every verdict with its count: address, name, verdict, tally; the server's own (address None) last."""
        for peer in self.peers.values():
            for verdict, tally in peer.verdicts.items():
                yield peer.ip, peer.name, verdict, tally
        for crowd in self.crowds:
            yield from crowd.rows()
        for verdict, tally in self._server_rows().items():
            yield None, None, verdict, tally

    def _server_rows(self) -> dict[Verdict, Tally]:
        rows: dict[Verdict, Tally] = {}
        for session in self.server:
            rows.setdefault(verdict_of(session), Tally()).add(1, session.at, session.at)
        return rows

    def record(self, session: Session, count: int = 1, last: datetime | None = None) -> None:
        """Add a session; with `count`, as many of its like, the last of them at `last`."""
        if session.peer is None:
            if len(self.server) < STATEMENTS:
                self.server.append(session)
            return
        peer = self._peer(session)
        if peer is None:
            self.sessions_left_out += count
            return
        verdict = verdict_of(session)
        tally = peer.verdicts.get(verdict)
        if tally is None:
            if len(peer.verdicts) >= VERDICTS_PER_PEER:
                self.sessions_left_out += count
                return
            tally = peer.verdicts[verdict] = Tally()
        tally.add(count, session.at, last or session.at)
        _remember(peer, session, count, last or session.at)

    def _peer(self, session: Session) -> PeerHistory | None:
        assert session.peer is not None  # noqa: S101  (the caller's branch)
        peer = self.peers.get(session.peer.ip)
        if peer is None:
            failed = session.outcome in FAILED
            if len(self.peers) >= QUIET_PEERS + (FAILING_PEERS if failed else 0):
                self.peers_left_out += 1
                return None
            peer = self.peers[session.peer.ip] = PeerHistory(session.peer.ip)
        name = session.peer.name
        if name and (peer.name is None or peer.name == "unknown"):
            peer.name = name
        return peer


def verdict_of(session: Session) -> Verdict:
    """The kind of this session: what a report counts under one row."""
    reason = session.reason if session.outcome in FAILED else None
    return Verdict(
        session.service,
        session.door,
        session.outcome,
        session.tls_version,
        session.cipher,
        reason,
        session.cause,
    )


def _remember(peer: PeerHistory, session: Session, count: int, last: datetime | None) -> None:
    cleartext = session.outcome is Outcome.NO_STARTTLS
    if session.delivered:
        peer.mail.add(count, session.at, last)
        if cleartext:
            peer.cleartext_mail.add(count, session.at, last)
    elif cleartext and _refuses_cleartext(session.commands):
        peer.cleartext_refused.add(count, session.at, last)
    if session.hidden:
        peer.hidden.add(count, session.at, last)
    if session.outcome in FAILED:
        if session.at is not None and len(peer.failed_at) < TIMES_PER_PEER:
            peer.failed_at.append(session.at)
        for line in session.lines:
            if len(peer.evidence) >= EVIDENCE_LINES:
                break
            peer.evidence.append(line)


def _refuses_cleartext(commands: str | None) -> bool:
    """`ehlo=1 quit=1`: it looked for STARTTLS, did not find it, and left."""
    return commands is not None and commands.split(" commands=")[0] == "ehlo=1 quit=1"
