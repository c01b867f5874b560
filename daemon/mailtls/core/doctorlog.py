"""What the log adds: the server's own words and since when, who needs what is offered to everybody, and after what.

The findings themselves are those of `mailtlsctl report` (`core/findings.py`), with `log_` in front of their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailtls.core.cause import Door, Outcome
from mailtls.core.complaint import Finding
from mailtls.core.diagnosis import Report
from mailtls.core.doctorcatalogue import LOG
from mailtls.core.doctorciphers import is_weak
from mailtls.core.doctorfinding import EVIDENCE_LINES, DoctorFinding
from mailtls.core.doctorservice import Role, SmtpdService
from mailtls.core.doctorsettings import OPTIONS
from mailtls.core.examination import Diagnosis
from mailtls.core.findings import ServerFinding
from mailtls.core.history import History, Verdict
from mailtls.core.offering import MANDATORY_PROTOCOLS, OLD, PROTOCOLS, versions_of
from mailtls.core.printable import printable
from mailtls.core.trouble import PORT_25

FEW = 0.05
"""Of all peers with TLS; above that a waiver for each is no answer."""
NAMED = 10
_FOR_ALL = frozenset({"weakened_for_all", "ciphers_weak"})
BEFORE = timedelta(hours=2)
"""So long before the first failure a change may lie: idle smtpds go on with what they had (max_use, max_idle)."""

_ALL_OR_NOTHING = frozenset(
    {
        Finding.INVALID_PROTOCOL_LIST, Finding.NO_PROTOCOLS, Finding.CERTIFICATE_UNUSABLE, Finding.KEY_UNUSABLE,
        Finding.KEY_MISMATCH, Finding.CHAIN_OUT_OF_ORDER, Finding.NO_CERTIFICATE, Finding.BAD_CA_FILE,
        Finding.BAD_DIGEST, Finding.BAD_CIPHERS, Finding.BAD_OPENSSL_CONFIG, Finding.BAD_LEVEL, Finding.NO_ENTROPY,
        Finding.TLS_DISABLED, Finding.DOVECOT_PROTOCOLS, Finding.DOVECOT_CIPHERS, Finding.DOVECOT_CERTIFICATE,
        Finding.DOVECOT_TLS,
    }
)  # fmt: skip
"""While these stand nobody has TLS at all."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was changed on this machine. `what`: a clause, such as `postfix was reloaded`."""

    at: datetime
    what: str


def log_findings(
    history: History, report: Report, services: Iterable[SmtpdService], changes: Iterable[Change]
) -> Iterator[DoctorFinding]:
    """Give what the log proves against the server; what is over since is a note."""
    known = list(changes)
    for found in report.server:
        if (since := _healed(found, history)) is not None:
            until = f"{found.finding} was seen until {found.last:%Y-%m-%d %H:%M}"
            said = f"{until}; at {since:%H:%M} a handshake succeeded."
            yield DoctorFinding("over_by_now", ("log",), said, "", "mailtlsctl report LOG", found.evidence)
            continue
        yield _row(found)
        if (change := _change_before(found, known)) is not None:
            said = (
                f"{found.finding} begins on {found.first:%Y-%m-%d %H:%M}; before it, at {change.at:%Y-%m-%d %H:%M}, "
                f"{change.what}."
            )
            yield DoctorFinding("began_after", ("log",), said, "", "mailtlsctl report --since 24h LOG")
    dropping = [peer for peer in report.peers if peer.diagnosis is Diagnosis.SESSION_TICKETS]
    if dropping:
        yield from _tickets(dropping[0].evidence, tuple(peer.ip for peer in dropping), services)


def _healed(found: ServerFinding, history: History) -> datetime | None:
    """Say when the first handshake succeeded after the last sign of what switches TLS off altogether; None: never."""
    if found.finding not in _ALL_OR_NOTHING or found.last is None:
        return None
    at_dovecot = found.finding.value.startswith("dovecot")
    after = (
        tally.last
        for peer in history.peers.values()
        for verdict, tally in peer.verdicts.items()
        if verdict.outcome is Outcome.TLS_OK and (verdict.service in PORT_25) is not at_dovecot
        and tally.last is not None and tally.last > found.last
    )  # fmt: skip
    return min(after, default=None)


def _row(found: ServerFinding) -> DoctorFinding:
    times = "once" if found.count == 1 else f"{found.count} times"
    since = "" if found.first is None else f" Seen {times} since {found.first:%Y-%m-%d %H:%M}."
    command = "mailtlsctl report LOG" if found.finding is Finding.MANY_BEGAN_TO_FAIL else ""
    return DoctorFinding(f"{LOG}{found.finding.value}", ("log",), f"{found.detail}{since}", "", command, found.evidence)


def _change_before(found: ServerFinding, changes: list[Change]) -> Change | None:
    """Choose the latest change that lies at most `BEFORE` in front of the first sign."""
    if found.first is None:
        return None
    near = [change for change in changes if found.first - BEFORE <= change.at <= found.first]
    return max(near, key=lambda change: change.at, default=None)


def _tickets(
    evidence: tuple[str, ...], peers: tuple[str, ...], services: Iterable[SmtpdService]
) -> Iterator[DoctorFinding]:
    for service in services:
        options = service.values.get(OPTIONS, "")
        if service.role is Role.MX and "NO_TICKET" not in options:
            said = f"{', '.join(peers[:NAMED])} leave without a word; {service.key} gives session tickets."
            value = f"{options}, NO_TICKET" if options else "NO_TICKET"
            yield DoctorFinding(
                "tickets_microsoft", (service.place(OPTIONS),), said, service.line(OPTIONS, value),
                service.command(OPTIONS), evidence,
            )  # fmt: skip


def weakening_findings(history: History, services: Iterable[SmtpdService]) -> Iterator[DoctorFinding]:
    """Name the few peers that use what is offered to everybody: TLS 1.0 and 1.1 at the strict door."""
    old, all_of_them = _users_of_old_versions(history)
    if not old or len(old) > max(1.0, FEW * all_of_them):
        return
    for service in services:
        taken = versions_of(service.values)
        if service.role is not Role.MX or not set(OLD) & set(taken) or "TLSv1.2" not in taken:
            continue
        parameter = MANDATORY_PROTOCOLS if service.is_enforced else PROTOCOLS
        who = "1 peer uses" if len(old) == 1 else f"{len(old)} peers use"
        said = f"{who} TLS 1.0 or 1.1 at best, of {all_of_them}: {', '.join(sorted(old)[:NAMED])}."
        evidence = tuple(f"mailtlsctl allow-legacy {ip} --level legacy" for ip in sorted(old)[:NAMED])
        yield DoctorFinding(
            "old_versions_for_few", (service.place(parameter),), said, service.line(parameter, ">=TLSv1.2"),
            "mailtlsctl floor TLSv1.2", evidence,
        )  # fmt: skip


def with_users(found: Iterable[DoctorFinding], history: History) -> Iterator[DoctorFinding]:
    """Say, where ciphers are offered to everybody that few may need, who in the log has nothing better.

    Nothing is added where the log shows no handshake: with smtpd_tls_loglevel = 0 nobody is in it.
    """
    weak, all_of_them = _users_of_weak_ciphers(history)
    for each in found:
        if each.id not in _FOR_ALL or not all_of_them:
            yield each
        elif not weak:
            said = f"{each.seen} Nobody in the log, of {all_of_them} with TLS, needs such ciphers."
            yield replace(each, seen=said)
        else:
            who = "1 peer has" if len(weak) == 1 else f"{len(weak)} peers have"
            said = f"{each.seen} In the log {who} nothing better, of {all_of_them}: {', '.join(weak[:NAMED])}."
            evidence = tuple(f"mailtlsctl allow-legacy {ip}" for ip in weak[:NAMED])
            yield replace(each, seen=said, evidence=(*each.evidence, *evidence)[:EVIDENCE_LINES])


def _users_of_old_versions(history: History) -> tuple[list[str], int]:
    """Give the addresses whose best version at the strict door is an old one, and how many have TLS at all."""
    used = {ip: {verdict.tls_version for verdict in verdicts} for ip, verdicts in _successes(history)}
    return [ip for ip, versions in used.items() if versions <= set(OLD)], len(used)


def _users_of_weak_ciphers(history: History) -> tuple[list[str], int]:
    """Give the addresses, in order, that had only weak ciphers at the strict door, and how many have TLS at all."""
    used = {ip: {verdict.cipher or "" for verdict in verdicts} for ip, verdicts in _successes(history)}
    return sorted(ip for ip, names in used.items() if all(is_weak(name) for name in names)), len(used)


def _successes(history: History) -> Iterator[tuple[str, list[Verdict]]]:
    """Give each address that had TLS at the strict door, with what it had there."""
    for ip, peer in history.peers.items():
        there = [
            verdict
            for verdict in peer.verdicts
            if verdict.outcome is Outcome.TLS_OK and verdict.door is Door.STRICT and verdict.service in PORT_25
        ]
        if there:
            yield printable(ip, 60), there
