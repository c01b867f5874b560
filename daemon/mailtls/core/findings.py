"""Findings: what is wrong with the server itself, as far as a history proves it.

Three kinds of proof: what Postfix and Dovecot said of themselves (`complaint`); Postfix's LMTP client that got no
greeting, together with the line of Dovecot that explains it, however many hours lie between them; and the pattern of
the peers' failures: many that begin to fail at once (`outbreak`), nobody who finds a common cipher, only ECDSA suites
in use.

Promises: the same findings whatever the order of peers is; every finding has at most `EVIDENCE_LINES` lines, the
first that prove it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mailtls.core.cause import Cause, Service
from mailtls.core.complaint import Complaint, Finding, dovecot_protocol_remedy, read_complaint
from mailtls.core.history import EVIDENCE_LINES, FAILED, History, PeerHistory, Statement, StatementKind, Tally
from mailtls.core.outbreak import PEERS, Outbreak, outbreaks, owner_of
from mailtls.core.printable import printable
from mailtls.core.site import Site
from mailtls.core.suite import KeyType
from mailtls.core.trouble import PORT_25, read_trouble
from mailtls.core.visitor import is_scanner

_OWN_CAUSES = frozenset({Cause.SERVER_MISCONFIGURED, Cause.DH_TOO_SMALL})
_DOVECOT_SERVICES = frozenset({Service.IMAP, Service.POP3, Service.SIEVE})
_GREETING = " while receiving the initial server greeting"
_ORDER = {finding: place for place, finding in enumerate(Finding)}
# General findings that say nothing beside an exact one of the same program.
_GENERAL = {
    Finding.TLS_DISABLED: frozenset(list(Finding)[: list(Finding).index(Finding.TLS_DISABLED)]),
    Finding.DOVECOT_TLS: frozenset(
        {Finding.DOVECOT_PROTOCOLS, Finding.DOVECOT_DH, Finding.DOVECOT_CIPHERS, Finding.DOVECOT_CERTIFICATE}
    ),
}
# What means one setting in Postfix and another in Dovecot: the words that Dovecot's own row of the table knows.
_IN_DOVECOTS_WORDS = {
    Finding.DH_TOO_SMALL: "dh parameters",
    Finding.KEY_MISMATCH: "can't load private",
    Finding.NO_PROTOCOLS: "ssl server context",
}
ADD_RSA = (
    "add an RSA certificate beside it, `smtpd_tls_chain_files = key-and-cert-rsa.pem, key-and-cert-ecdsa.pem` (Postfix "
    "3.4 and later) or `smtpd_tls_cert_file` for RSA and `smtpd_tls_eccert_file` for ECDSA, which weakens nothing for "
    "anybody else"
)


@dataclass(frozen=True, slots=True)
class ServerFinding:
    """One thing that is wrong with the server.

    `detail`: what was seen, and what to do. `count`: lines or failures that show it, between `first` and `last` (None
    without stamps). `victims`: addresses of peers whose failures are its consequence.
    """

    finding: Finding
    detail: str
    evidence: tuple[str, ...]
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    victims: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """Give the row of `mailtlsctl report --format json`: plain values, times as datetime."""
        return {
            "finding": self.finding.value,
            "detail": self.detail,
            "evidence": list(self.evidence),
            "count": self.count,
            "first_seen": self.first,
            "last_seen": self.last,
            "victims": list(self.victims),
        }


def find(history: History, site: Site) -> list[ServerFinding]:
    """List what is wrong with the server, the most urgent first. `site`: `survey(history)`."""
    found = [
        *_complaints(history),
        *_greetings_lost(history),
        *(_from_outbreak(outbreak, history) for outbreak in outbreaks(history)),
        *_certificate_types(history, site),
    ]
    words = {item.finding for item in found}
    kept = [item for item in found if not _GENERAL.get(item.finding, frozenset()) & words]
    return sorted(kept, key=lambda item: (_ORDER[item.finding], -item.count, item.detail))


# --- what the server said -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Case:
    """One complaint with all that repeats it."""

    complaint: Complaint
    lines: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    victims: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Said:
    at: datetime | None
    text: str
    lines: tuple[str, ...]
    by_dovecot: bool = False
    peer: PeerHistory | None = None
    times: int = 1


def _complaints(history: History) -> Iterator[ServerFinding]:
    cases: dict[tuple[Finding, str], _Case] = {}
    seen: set[str] = set()
    for said in (*_said_of_itself(history), *_said_to_peers(history)):
        complaint = _classify(said)
        if complaint is None:
            continue
        detail = "" if complaint.finding is Finding.DOVECOT_FATAL else complaint.detail
        case = cases.setdefault((complaint.finding, detail), _Case(complaint))
        if said.peer is not None:
            case.victims.add(said.peer.ip)
        new = [line for line in said.lines if line not in seen]
        if new or not said.lines or said.peer is not None:
            case.tally.add(said.times, said.at, said.at)
        case.lines += new
        seen.update(new)
    for (finding, _), case in cases.items():
        yield ServerFinding(
            finding, case.complaint.detail, tuple(case.lines[:EVIDENCE_LINES]), case.tally.count,
            case.tally.first, case.tally.last, tuple(sorted(case.victims)),
        )  # fmt: skip


def _classify(said: _Said) -> Complaint | None:
    complaint = read_complaint(said.text)
    if complaint is not None and said.by_dovecot and complaint.finding in _IN_DOVECOTS_WORDS:
        return read_complaint(_IN_DOVECOTS_WORDS[complaint.finding])
    if complaint is None and said.by_dovecot and said.peer is None:
        message = printable(said.text, 200).rstrip(". ")
        return Complaint(
            Finding.DOVECOT_FATAL,
            f'Dovecot gave up: "{message}". Read what stands around it with `doveadm log errors`, check the '
            "configuration with `doveconf -n`, then run `doveadm reload`.",
        )
    return complaint


def _said_of_itself(history: History) -> Iterator[_Said]:
    for session in history.server:
        text = "\n".join((*session.lines, session.reason or ""))
        yield _Said(session.at, text, session.lines, by_dovecot=session.service in _DOVECOT_SERVICES)
    for statement in history.statements:
        if statement.kind not in {StatementKind.LMTP_GREETING, StatementKind.STARTTLS_HIDDEN}:
            fatal = statement.kind is StatementKind.DOVECOT_FATAL
            yield _Said(statement.at, statement.text, (statement.line,), by_dovecot=fatal)


def _said_to_peers(history: History) -> Iterator[_Said]:
    """Find complaints in lines that name a client although the fault is the server's."""
    for _, peer in sorted(history.peers.items()):
        rows = [item for item in peer.verdicts.items() if item[0].outcome in FAILED and item[0].cause in _OWN_CAUSES]
        for verdict, tally in sorted(rows, key=lambda row: (row[0].service, row[0].reason or "")):
            reason = verdict.reason or ""
            lines = tuple(line for line in peer.evidence if reason and reason in line) or tuple(peer.evidence)
            texts = [*lines, reason]
            text = next((text for text in texts if read_complaint(text) is not None), reason)
            dovecot = verdict.service in _DOVECOT_SERVICES
            yield _Said(tally.first, text, lines, by_dovecot=dovecot, peer=peer, times=tally.count)


# --- LMTP ----------------------------------------------------------------------------------------------------------


def _greetings_lost(history: History) -> Iterator[ServerFinding]:
    """Put Postfix's LMTP failures together with the line of Dovecot that explains them."""
    lost = [statement for statement in history.statements if statement.kind is StatementKind.LMTP_GREETING]
    if not lost:
        return
    tally = Tally()
    for statement in lost:
        tally.add(1, statement.at, statement.at)
    reason = _explanation(lost[0], history)
    lines = [statement.line for statement in lost[: EVIDENCE_LINES - 1]]
    relay = lost[0].text.partition("lost connection with ")[2].partition(_GREETING)[0] or "the LMTP server"
    detail = f"Postfix cannot hand mail over: {printable(relay, 120)} hangs up before its greeting. "
    if reason is None:
        detail += (
            "The log does not say why. If that is Dovecot, its LMTP process dies at the start: read "
            "`doveadm log errors`, check with `doveconf -n`, then run `doveadm reload` and `postqueue -f`."
        )
    else:
        lines.append(reason.lines[0] if reason.lines else reason.text)
        detail += f'Dovecot says why: "{_last_words(reason.text)}". {_dovecot_remedy(reason)}'
    yield ServerFinding(
        Finding.LMTP_GREETING_LOST, detail, tuple(dict.fromkeys(lines)), tally.count, tally.first, tally.last
    )


def _explanation(lost: Statement, history: History) -> _Said | None:
    """Choose Dovecot's own words: an exact complaint before a general one, then the nearest in time."""
    said = [item for item in _said_of_itself(history) if item.by_dovecot]
    return min(said, key=lambda item: (read_complaint(item.text) is None, _distance(item.at, lost.at)), default=None)


def _distance(one: datetime | None, other: datetime | None) -> timedelta:
    return abs(one - other) if one is not None and other is not None else timedelta.max


def _dovecot_remedy(said: _Said) -> str:
    complaint = read_complaint(said.text)
    if complaint is None:
        return "Correct what it names, check with `doveconf -n`, then run `doveadm reload` and `postqueue -f`."
    remedy = dovecot_protocol_remedy() if complaint.finding is Finding.DOVECOT_PROTOCOLS else complaint.detail
    return f"{remedy} Then `postqueue -f` delivers what waits."


def _last_words(text: str) -> str:
    """Cut a message down to what follows its severity."""
    first = text.split("\n", 1)[0]
    for severity in ("Fatal: ", "Error: "):
        if severity in first:
            first = first.partition(severity)[2]
    return printable(first, 200).rstrip(". ")


# --- what the peers' failures show ---------------------------------------------------------------------------------


def _from_outbreak(outbreak: Outbreak, history: History) -> ServerFinding:
    peers = [history.peers[ip] for ip in outbreak.peers]
    tally, reasons = Tally(), Counter[str]()
    for peer in peers:
        for verdict, seen in peer.verdicts.items():
            if verdict.outcome in FAILED and verdict.cause is outbreak.cause:
                tally.add(seen.count, seen.first, seen.last)
                reasons[verdict.reason or "no reason given"] += seen.count
    reason = min(reasons, key=lambda word: (-reasons[word], word))
    detail = (
        f"{len(peers)} peers that used to succeed at {outbreak.where} began to fail within ten minutes, from "
        f'{outbreak.since.isoformat(" ")} on, most with "{printable(reason, 120)}" ({outbreak.cause}); '
        f"{outbreak.had_worked} had succeeded before. The cause is here, not there: see what was changed at that time "
        "(a reload, a renewed certificate, an upgrade of Postfix or OpenSSL, a firewall), compare `postconf -n` with "
        "your backup, and give none of these peers a waiver."
    )
    return ServerFinding(
        Finding.MANY_BEGAN_TO_FAIL, detail, _one_line_each(peers), tally.count, tally.first, tally.last, outbreak.peers
    )


def _certificate_types(history: History, site: Site) -> Iterator[ServerFinding]:
    """See whether failures with `no shared cipher` are about the server's certificate."""
    peers = [peer for _, peer in sorted(history.peers.items()) if peer.failing and not is_scanner(peer)]
    troubles = {peer.ip: read_trouble(peer) for peer in peers}
    at_25 = [peer for peer in peers if troubles[peer.ip].services & PORT_25]
    hit = [peer for peer in at_25 if Cause.NO_SHARED_CIPHER in troubles[peer.ip].causes]
    tally = Tally()
    for peer in hit:
        for verdict, seen in peer.verdicts.items():
            if verdict.cause is Cause.NO_SHARED_CIPHER and verdict.service in PORT_25:
                tally.add(seen.count, seen.first, seen.last)
    lines = _one_line_each(hit)
    owners = {owner_of(peer) for peer in hit}
    if not site.handshakes.count and len(owners) >= PEERS and len(hit) * 10 >= len(at_25) * 9:
        detail = (
            f"No handshake at port 25 succeeded, and {len(hit)} peers failed with `no shared cipher`: if this is a "
            "whole log, the server offers no usable certificate. Check that the files of `smtpd_tls_chain_files` or "
            "`smtpd_tls_cert_file` exist and hold an RSA certificate, that this is not `none`, and what "
            "`smtpd_tls_ciphers` and `smtpd_tls_exclude_ciphers` leave; try `openssl s_client -starttls smtp -connect "
            "localhost:25`."
        )
        victims = tuple(peer.ip for peer in hit)
        yield ServerFinding(
            Finding.EVERYBODY_NO_SHARED_CIPHER, detail, lines, tally.count, tally.first, tally.last, victims
        )
    elif hit and site.certificate_at(tally) is KeyType.ECDSA:
        who = "1 peer shares" if len(hit) == 1 else f"{len(hit)} peers share"
        detail = (
            "Every suite up to TLS 1.2 that was used at port 25 is an ECDSA one, so the certificate is most likely "
            f"ECDSA only; {who} no cipher with it, as servers that know only RSA do. Check with "
            f"`postconf -n | grep tls_.*cert`, and {ADD_RSA}."
        )
        yield ServerFinding(Finding.ECDSA_ONLY_CERTIFICATE, detail, lines, tally.count, tally.first, tally.last)


def _one_line_each(peers: Iterable[PeerHistory]) -> tuple[str, ...]:
    """Take from each peer the line that says most: the first with OpenSSL's words, else the first."""
    lines = []
    for peer in peers:
        telling = [line for line in peer.evidence if "TLS library problem" in line or "SSL_accept" in line]
        lines += (telling or peer.evidence)[:1]
        if len(lines) >= EVIDENCE_LINES:
            break
    return tuple(dict.fromkeys(lines))
