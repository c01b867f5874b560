"""An explanation: everything that logs prove about the peers that an operator asks for.

`Explanation` is the JSON of `mailtlsctl explain --json` and what the text is made from: per peer the kinds of
sessions, each with the lines of its first sessions and what each line proves, what the cause means and what else it
could be; then the diagnosis, the rule that led to it, and the advice. Fields may be added; none changes its meaning.

SECURITY: a network may hold millions of peers: lines are kept of `PEERS` of them, `SESSIONS` per kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from mailtls.core.diagnosis import Diagnosis, PeerReport, Report, diagnose
from mailtls.core.history import FAILED, History, PeerHistory, Tally, Verdict, verdict_of
from mailtls.core.printable import printable
from mailtls.core.session import Session
from mailtls.ctl.proof import MEANINGS, proves
from mailtls.ctl.ruling import RULES, SURE
from mailtls.ctl.whom import Whom

PEERS = 1_000
SESSIONS = 2
LONGEST = 4096  # characters of one text

Words = Annotated[str, AfterValidator(lambda words: printable(words, longest=LONGEST))]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Line(_Model):
    """One log line, and what it proves."""

    line: Words
    proves: Words


class SeenSession(_Model):
    """One session with its lines; `at` null where the log has no stamps."""

    at: datetime | None
    lines: tuple[Line, ...]


class Kind(_Model):
    """All sessions of one kind: how many, when, what they mean, and the first of them."""

    service: str
    door: str
    outcome: str
    cause: str
    reason: Words | None
    tls_version: Words | None
    cipher: Words | None
    count: int
    first_seen: datetime | None
    last_seen: datetime | None
    proves: str
    could_also_be: str
    sessions: tuple[SeenSession, ...]


class Ruling(_Model):
    """The diagnosis: in a word, how sure, by which rule, and what to do."""

    diagnosis: str
    outage: bool
    confidence: str
    rule: str
    advice: Words


class Mail(_Model):
    """Sessions in which mail was delivered, and those of them without TLS; looked for STARTTLS in vain and left."""

    delivered: int
    in_cleartext: int
    refused_cleartext: int


class ExplainedPeer(_Model):
    """One peer. `ruling` null: nothing fails."""

    peer_ip: Words
    peer_name: Words | None
    ruling: Ruling | None
    kinds: tuple[Kind, ...]
    mail: Mail
    server: tuple[Words, ...]


class Explanation(_Model):
    """The whole answer. `peers_left_out`: covered by the question, but too many to be told one by one."""

    asked: Words
    peers: tuple[ExplainedPeer, ...]
    peers_left_out: int


class Witness:
    """Listens to all sessions, and keeps the lines of those that were asked for."""

    def __init__(self, whom: Whom) -> None:
        self.whom = whom
        self.history = History()
        self.left_out: set[str] = set()
        self._seen: dict[str, dict[Verdict, list[Session]]] = {}

    def hear(self, sessions: Iterable[Session]) -> None:
        """Take sessions in the order of the log."""
        for session in sessions:
            self.history.record(session)
            if session.peer is not None and self.whom.covers(session.peer.ip, session.peer.name):
                self._keep(session, session.peer.ip)

    def _keep(self, session: Session, ip: str) -> None:
        if ip not in self._seen and len(self._seen) >= PEERS:
            if len(self.left_out) < PEERS:
                self.left_out.add(ip)
            return
        kept = self._seen.setdefault(ip, {}).setdefault(verdict_of(session), [])
        if len(kept) < SESSIONS:
            kept.append(session)

    def explain(self) -> Explanation:
        """Explain what was heard, peers whose mail does not arrive first."""
        report = diagnose(self.history)
        rulings = {peer.ip: peer for peer in report.peers}
        places = {ip: place for place, ip in enumerate(rulings)}
        known = [ip for ip in self._seen if ip in self.history.peers]
        known.sort(key=lambda ip: places.get(ip, len(places)))
        peers = tuple(self._peer(self.history.peers[ip], rulings.get(ip), report) for ip in known)
        return Explanation(asked=self.whom.spelled, peers=peers, peers_left_out=len(self.left_out))

    def _peer(self, peer: PeerHistory, ruling: PeerReport | None, report: Report) -> ExplainedPeer:
        seen = self._seen[peer.ip]
        kinds = sorted(peer.verdicts.items(), key=lambda item: (item[0].outcome not in FAILED, -item[1].count))
        return ExplainedPeer(
            peer_ip=peer.ip,
            peer_name=peer.name,
            ruling=_ruling(ruling) if ruling is not None else None,
            kinds=tuple(_kind(verdict, tally, seen.get(verdict, [])) for verdict, tally in kinds),
            mail=Mail(
                delivered=peer.mail.count,
                in_cleartext=peer.cleartext_mail.count,
                refused_cleartext=peer.cleartext_refused.count,
            ),
            server=_server(peer, ruling, report),
        )


def _server(peer: PeerHistory, ruling: PeerReport | None, report: Report) -> tuple[str, ...]:
    """List the findings that name the peer as their victim; all, where the server is at fault and none does."""
    findings = [item for item in report.server if peer.ip in item.victims]
    if not findings and ruling is not None and ruling.diagnosis is Diagnosis.SERVER_FAULT:
        findings = list(report.server)
    return tuple(f"{item.finding}: {item.detail}" for item in findings)


def _ruling(peer: PeerReport) -> Ruling:
    return Ruling(
        diagnosis=peer.diagnosis,
        outage=peer.outage,
        confidence=peer.confidence,
        rule=f"{RULES[peer.diagnosis]} This is {SURE[peer.confidence]}.",
        advice=peer.advice,
    )


def _kind(verdict: Verdict, tally: Tally, sessions: Iterable[Session]) -> Kind:
    meaning = MEANINGS[verdict.cause]
    return Kind(
        service=verdict.service,
        door=verdict.door,
        outcome=verdict.outcome,
        cause=verdict.cause,
        reason=verdict.reason,
        tls_version=verdict.tls_version,
        cipher=verdict.cipher,
        count=tally.count,
        first_seen=tally.first,
        last_seen=tally.last,
        proves=meaning.proves,
        could_also_be=meaning.else_,
        sessions=tuple(
            SeenSession(at=session.at, lines=tuple(Line(line=line, proves=proves(line)) for line in session.lines))
            for session in sessions
        ),
    )
