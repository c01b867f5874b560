"""Diagnosis: what a whole history means, peer by peer and for the server itself.

`diagnose` is the one function that a report needs: the findings about the server first, because they explain failures
that no peer is to blame for, then one examination and one piece of advice for every peer that fails, and for the
few that do not fail but are worth a word (monitors, peers that leave when STARTTLS is hidden).

Promises: pure; exactly one row for every failing peer; the same report whatever the order of peers and verdicts is;
outages first, then by the number of failures, then by address. What is read out of lines is printable already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailtls.core.advice import advise
from mailtls.core.cause import Cause
from mailtls.core.examination import Confidence, Diagnosis, Examination, examine
from mailtls.core.findings import ServerFinding, find
from mailtls.core.history import EVIDENCE_LINES, History, PeerHistory
from mailtls.core.site import survey

__all__ = ["Confidence", "Diagnosis", "PeerReport", "Report", "diagnose"]


@dataclass(frozen=True, slots=True)
class PeerReport:
    """What is the matter with one peer, and what to do.

    `outage`: its mail is really not arriving. `failures`: failed sessions of the kind of service it is judged by,
    between `first` and `last` (None without stamps); `causes`: the same by cause, most frequent first. `underlying`:
    what its failures are by themselves where the diagnosis says what became of them (`falls_back_to_cleartext`).
    """

    ip: str
    name: str | None
    diagnosis: Diagnosis
    outage: bool
    confidence: Confidence
    advice: str
    evidence: tuple[str, ...]
    failures: int
    first: datetime | None
    last: datetime | None
    causes: tuple[tuple[Cause, int], ...]
    underlying: Diagnosis
    refuses_cleartext: bool

    def as_row(self) -> dict[str, Any]:
        """Give the row of `mailtlsctl report --format json`: plain values, times as datetime."""
        return {
            "peer_ip": self.ip,
            "peer_name": self.name,
            "diagnosis": self.diagnosis.value,
            "outage": self.outage,
            "confidence": self.confidence.value,
            "advice": self.advice,
            "evidence": list(self.evidence),
            "failures": self.failures,
            "first_seen": self.first,
            "last_seen": self.last,
            "causes": {cause.value: count for cause, count in self.causes},
            "underlying": self.underlying.value,
            "refuses_cleartext": self.refuses_cleartext,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with peers (outages first, then the most failures) and with the server (most urgent first)."""

    peers: tuple[PeerReport, ...]
    server: tuple[ServerFinding, ...]


def diagnose(history: History) -> Report:
    """Diagnose every peer of a history, and the server."""
    site = survey(history)
    server = tuple(find(history, site))
    victims = frozenset(ip for finding in server for ip in finding.victims)
    rows = []
    for peer in history.peers.values():
        examination = examine(peer, site, victims)
        if examination is not None:
            rows.append(_row(peer, examination))
    rows.sort(key=lambda row: (not row.outage, -row.failures, row.ip))
    return Report(tuple(rows), server)


def _row(peer: PeerHistory, examination: Examination) -> PeerReport:
    trouble = examination.trouble
    causes = sorted(trouble.causes.items(), key=lambda item: (-item[1], item[0]))
    return PeerReport(
        peer.ip,
        peer.name,
        examination.diagnosis,
        examination.outage,
        examination.confidence,
        advise(peer, examination),
        tuple(peer.evidence[:EVIDENCE_LINES]),
        trouble.failed.count,
        trouble.failed.first,
        trouble.failed.last,
        tuple(causes),
        examination.cause,
        examination.refuses_cleartext,
    )
