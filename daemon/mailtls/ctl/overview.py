"""`report` as text: what an operator has to know first stands first.

In this order: a summary in one sentence, the server's own faults, the peers whose mail does not arrive, the other
failing peers by diagnosis, TLS versions and ciphers, totals, and what became of the lines. Every failing peer has its
own lines: address and name, failures with reason and cause, when; so that `grep ADDRESS` and `less` both work.

Promises: made piece by piece, never whole in memory; groups that need no person show their `SHOWN` busiest peers and
say how many there are beside them, `--peers` shows all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size

from mailtls.core.cause import Outcome
from mailtls.core.diagnosis import PeerReport, Report
from mailtls.core.history import FAILED, History, PeerHistory, Tally
from mailtls.core.printable import printable
from mailtls.ctl.screen import (
    ADDRESS,
    BAD,
    GOOD,
    HEADING,
    QUIET,
    Screen,
    figure,
    heading,
    listing,
    plural,
    sentence,
    since_until,
    span,
    table,
    text,
)
from mailtls.ctl.wording import spell

SHOWN = 20  # peers of a group that needs no person
REASONS = 4  # kinds of failure of one peer
EVIDENCE = 3  # lines that prove one finding or outage
_OUTCOMES = (
    (Outcome.TLS_OK, "with TLS"),
    (Outcome.TLS_FAILED, "with a failed handshake"),
    (Outcome.SERVER_TLS_BROKEN, "failed by the server's own TLS"),
    (Outcome.NO_STARTTLS, "without STARTTLS"),
)


@dataclass(slots=True)
class Totals:
    """What all sessions add up to."""

    sessions: Counter[Outcome] = field(default_factory=Counter)
    peers: Counter[Outcome] = field(default_factory=Counter)
    ciphers: Counter[tuple[str, str]] = field(default_factory=Counter)
    time: Tally = field(default_factory=Tally)


def add_up(history: History) -> Totals:
    """Count sessions and peers by outcome, handshakes by version and cipher, and find the first and last time."""
    totals = Totals()
    for peer in history.peers.values():
        seen = set()
        for verdict, tally in peer.verdicts.items():
            seen.add(verdict.outcome)
            totals.sessions[verdict.outcome] += tally.count
            totals.time.add(tally.count, tally.first, tally.last)
            if verdict.outcome is Outcome.TLS_OK:
                totals.ciphers[verdict.tls_version or "?", verdict.cipher or "?"] += tally.count
        totals.peers.update(seen)
    for session in history.server:
        totals.sessions[session.outcome] += 1
        totals.time.add(1, session.at, session.at)
    return totals


def overview(history: History, report: Report, *, every_peer: bool, view: Screen | None = None) -> Iterator[str]:
    """Write the report, section by section; `every_peer`: with all peers, their versions and ciphers."""
    view = view or Screen()
    totals = add_up(history)
    yield _summary(report, totals, view)
    yield from _server(report, view)
    yield from _outages(history, report, view)
    yield from _others(history, report, every_peer, view)
    yield _ciphers(totals, view)
    if every_peer:
        yield from _every_peer(history, view)
    yield _totals(history, totals, view)


def _summary(report: Report, totals: Totals, view: Screen) -> str:
    outages = sum(1 for peer in report.peers if peer.outage)
    others = sum(1 for peer in report.peers if peer.failures and not peer.outage)
    return view.render(
        sentence(
            (f"{_some(len(report.server), 'fault').capitalize()} of the server itself", BAD if report.server else GOOD),
            ", ",
            (f"{_some(outages, 'peer')} whose mail does not arrive", BAD if outages else GOOD),
            f", {_some(others, 'other peer')} with failed handshakes.",
        ),
        text(f"{plural(totals.time.count, 'session')}, {span(totals.time.first, totals.time.last)}", QUIET),
    )


def _some(number: int, noun: str) -> str:
    return plural(number, noun) if number else f"no {noun}s"


def _server(report: Report, view: Screen) -> Iterator[str]:
    if report.server:
        yield view.render(heading("THE SERVER ITSELF", BAD))
    for finding in report.server:
        seen = Tally(finding.count, finding.first, finding.last)
        when = f": {plural(finding.count, 'time')}{since_until(seen)}" if finding.count else ""
        yield view.render(sentence((finding.finding, HEADING), (when, QUIET)))
        yield view.render(text(finding.detail), indent=2)
        yield _proof(finding.evidence, view)


def _outages(history: History, report: Report, view: Screen) -> Iterator[str]:
    stopped = [peer for peer in report.peers if peer.outage]
    if stopped:
        yield view.render(heading("PEERS WHOSE MAIL DOES NOT ARRIVE", BAD))
    for peer in stopped:
        yield _failures(history.peers.get(peer.ip), peer, view)
        yield view.render(sentence((peer.diagnosis, HEADING), f": {peer.advice}"), indent=2)
        yield _proof(peer.evidence, view)


def _others(history: History, report: Report, every_peer: bool, view: Screen) -> Iterator[str]:
    """The rest by diagnosis, in the report's order; what is advised to all of a group stands once."""
    groups: dict[tuple[str, str], list[PeerReport]] = {}
    for peer in report.peers:
        if not peer.outage:
            groups.setdefault((peer.diagnosis, _general(peer)), []).append(peer)
    if groups:
        yield view.render(heading("OTHER PEERS"))
    for (diagnosis, advice), group in groups.items():
        yield view.render(sentence((diagnosis, HEADING), (f": {plural(len(group), 'peer')}", QUIET)))
        yield view.render(text(advice if len(group) > 1 else group[0].advice), indent=2)
        for peer in group if every_peer else group[:SHOWN]:
            yield _failures(history.peers.get(peer.ip), peer, view, indent=2)
        if len(group) > SHOWN and not every_peer:
            more = f"and {plural(len(group) - SHOWN, 'peer')} more; --peers shows all"
            yield view.render(text(more, QUIET), indent=2)


def _general(peer: PeerReport) -> str:
    return peer.advice.replace(peer.ip, "ADDRESS")


def _failures(peer: PeerHistory | None, who: PeerReport, view: Screen, *, indent: int = 0) -> str:
    """Address and name, then a line for each kind of failure, the most frequent first."""
    named = ["  ", who.name] if who.name else []
    lines = [view.render(sentence((who.ip, ADDRESS), *named), indent=indent)]
    kinds = sorted(peer.verdicts.items(), key=lambda item: -item[1].count) if peer is not None else []
    kinds = [item for item in kinds if item[0].outcome in FAILED] or kinds  # monitors never failed
    rows = [
        (figure(tally.count), f"{spell(verdict)}, {verdict.service}{since_until(tally)}")
        for verdict, tally in kinds[:REASONS]
    ]
    if len(kinds) > REASONS:
        rest = kinds[REASONS:]
        rows.append((figure(sum(tally.count for _, tally in rest)), f"for {plural(len(rest), 'other reason')}"))
    lines.append(view.render(listing(rows), indent=indent + 2))
    return "".join(lines)


def _proof(lines: Sequence[str], view: Screen) -> str:
    """Show the lines that say most: who connected is known by then."""
    telling = [line for line in lines if " connect from " not in line] or lines
    return "".join(view.render(text(line, QUIET), indent=4) for line in telling[:EVIDENCE])


def _ciphers(totals: Totals, view: Screen) -> str:
    if not totals.ciphers:
        return ""
    rows = [(figure(count), *kind) for kind, count in sorted(totals.ciphers.items(), key=lambda item: -item[1])]
    return view.render(heading("TLS VERSIONS AND CIPHERS"), table(["SESSIONS", "VERSION", "CIPHER"], rows))


def _every_peer(history: History, view: Screen) -> Iterator[str]:
    """Plain lines, without Rich: there may be a hundred thousand peers."""
    if history.peers:
        yield view.render(heading("ALL PEERS"))
    for peer in history.peers.values():
        yield from _folded(f"{peer.ip}  {printable(peer.name or '', longest=255)}".rstrip(), view.width)
        for verdict, tally in sorted(peer.verdicts.items(), key=lambda item: -item[1].count):
            yield from _folded(f"{tally.count:>9,}  {printable(spell(verdict))}, {verdict.service}", view.width)


def _folded(line: str, width: int) -> Iterator[str]:
    """Break what is too wide; only names and reasons are, and they stand behind the address."""
    while cell_len(line) > width:
        kept = set_cell_size(line, width).rstrip()
        yield kept + "\n"
        line = "    " + line[len(kept) :].lstrip()
    yield line + "\n"


def _totals(history: History, totals: Totals, view: Screen) -> str:
    rows = [
        (figure(totals.sessions[outcome]), f"sessions {words}", _of_peers(totals.peers[outcome]))
        for outcome, words in _OUTCOMES
        if totals.sessions[outcome]
    ]
    if history.sessions_left_out or history.peers_left_out:
        rows.append((figure(history.sessions_left_out), "sessions of too many peers, only counted", ""))
    lines = history.lines
    told = (
        f"{plural(lines.read, 'line')} read: {figure(lines.understood)} understood, {figure(lines.ignored)} about "
        f"other things, {figure(lines.unknown)} about TLS in an unknown form."
    )
    return view.render(heading("TOTALS"), listing(rows), text(told))


def _of_peers(count: int) -> str:
    return f"of {plural(count, 'peer')}" if count else ""
