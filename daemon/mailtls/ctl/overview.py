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
from itertools import groupby
from operator import itemgetter

from mailtls.core.cause import Outcome
from mailtls.core.diagnosis import PeerReport, Report
from mailtls.core.history import FAILED, History, PeerHistory, Tally
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
    """What all sessions add up to. `time`: of the failures, because only those are kept one by one of large logs."""

    sessions: Counter[Outcome] = field(default_factory=Counter)
    ciphers: Counter[tuple[str, str]] = field(default_factory=Counter)
    time: Tally = field(default_factory=Tally)
    peers: int = 0
    failing: int = 0


def add_up(history: History) -> Totals:
    """Count peers, sessions by outcome, handshakes by version and cipher; find the first and the last failure."""
    totals = Totals(peers=len(history.peers) + sum(crowd.peers() for crowd in history.crowds))
    for (_, outcome, _, _, version, cipher), count in history.totals().items():
        totals.sessions[outcome] += count
        if outcome is Outcome.TLS_OK:
            totals.ciphers[version or "?", cipher or "?"] += count
    for peer in history.peers.values():
        failed = peer.tally(*FAILED)
        totals.failing += failed.count > 0
        totals.time.add(failed.count, failed.first, failed.last)
    for session in history.server:
        totals.time.add(1, session.at, session.at)
    return totals


def overview(history: History, report: Report, *, every_peer: bool, view: Screen | None = None) -> Iterator[str]:
    """Write the report, section by section; `every_peer`: with all peers, their versions and ciphers."""
    view = view or Screen()
    totals = add_up(history)
    yield _summary(report, totals, history.failing_unlisted, view)
    yield from _server(report, view)
    yield from _outages(history, report, view)
    yield from _others(history, report, every_peer, view)
    if history.failing_unlisted:
        unlisted = plural(history.failing_unlisted, "further peer")
        yield view.prose(f"{unlisted} failed less often and were only counted: `--peers` lists all.", QUIET)
    yield _ciphers(totals, view)
    if every_peer:
        yield from _every_peer(history, view)
    yield _totals(history, totals, view)


def _summary(report: Report, totals: Totals, unlisted: int, view: Screen) -> str:
    outages = sum(1 for peer in report.peers if peer.outage)
    others = sum(1 for peer in report.peers if peer.failures and not peer.outage) + unlisted
    return view.render(
        sentence(
            (f"{_some(len(report.server), 'fault').capitalize()} of the server itself", BAD if report.server else GOOD),
            ", ",
            (f"{_some(outages, 'peer')} whose mail does not arrive", BAD if outages else GOOD),
            f", {_some(others, 'other peer')} with failed handshakes.",
        ),
        text(_when(totals), QUIET),
    )


def _when(totals: Totals) -> str:
    sessions = plural(sum(totals.sessions.values()), "session")
    if not totals.time.count:
        return f"{sessions}, nothing failed"
    return f"{sessions}; what failed: {span(totals.time.first, totals.time.last)}"


def _some(number: int, noun: str) -> str:
    return plural(number, noun) if number else f"no {noun}s"


def _server(report: Report, view: Screen) -> Iterator[str]:
    if report.server:
        yield view.render(heading("THE SERVER ITSELF", BAD))
    for finding in report.server:
        seen = Tally(finding.count, finding.first, finding.last)
        when = f": {plural(finding.count, 'time')}{since_until(seen)}" if finding.count else ""
        yield view.prose(when, QUIET, lead=finding.finding, lead_style=HEADING)
        yield view.prose(finding.detail, indent=2)
        yield _proof(finding.evidence, view)


def _outages(history: History, report: Report, view: Screen) -> Iterator[str]:
    stopped = [peer for peer in report.peers if peer.outage]
    if stopped:
        yield view.render(heading("PEERS WHOSE MAIL DOES NOT ARRIVE", BAD))
    for peer in stopped:
        yield from _failures(history.peers.get(peer.ip), peer, view)
        yield view.prose(f": {peer.advice}", lead=peer.diagnosis, lead_style=HEADING, indent=2)
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
        yield view.prose(f": {plural(len(group), 'peer')}", QUIET, lead=diagnosis, lead_style=HEADING)
        yield view.prose(advice if len(group) > 1 else group[0].advice, indent=2)
        for peer in group if every_peer else group[:SHOWN]:
            yield from _failures(history.peers.get(peer.ip), peer, view, indent=2)
        if len(group) > SHOWN and not every_peer:
            yield view.prose(f"and {plural(len(group) - SHOWN, 'peer')} more; --peers shows all", QUIET, indent=2)


def _general(peer: PeerReport) -> str:
    return peer.advice.replace(peer.ip, "ADDRESS")


def _failures(peer: PeerHistory | None, who: PeerReport, view: Screen, *, indent: int = 0) -> Iterator[str]:
    """Address and name, then a line for each kind of failure, the most frequent first."""
    yield view.prose(f"  {who.name}" if who.name else "", lead=who.ip, lead_style=ADDRESS, indent=indent)
    kinds = sorted(peer.verdicts.items(), key=lambda item: -item[1].count) if peer is not None else []
    kinds = [item for item in kinds if item[0].outcome in FAILED] or kinds  # monitors never failed
    for verdict, tally in kinds[:REASONS]:
        yield _counted(tally.count, f"{spell(verdict)}, {verdict.service}{since_until(tally)}", view, indent)
    if len(kinds) > REASONS:
        rest = kinds[REASONS:]
        yield _counted(sum(tally.count for _, tally in rest), f"for {plural(len(rest), 'other reason')}", view, indent)


def _counted(count: int, words: str, view: Screen, indent: int = 0) -> str:
    """A line that begins with a figure; what does not fit hangs under the words."""
    return f"{' ' * indent}{count:>9,}  {view.prose(words, indent=indent + 11)[indent + 11 :]}"


def _proof(lines: Sequence[str], view: Screen) -> str:
    """Show the lines that say most: who connected is known by then."""
    telling = [line for line in lines if " connect from " not in line] or lines
    return "".join(view.prose(line, QUIET, indent=4) for line in telling[:EVIDENCE])


def _ciphers(totals: Totals, view: Screen) -> str:
    if not totals.ciphers:
        return ""
    rows = [(figure(count), *kind) for kind, count in sorted(totals.ciphers.items(), key=lambda item: -item[1])]
    return view.render(heading("TLS VERSIONS AND CIPHERS"), table(["SESSIONS", "VERSION", "CIPHER"], rows))


def _every_peer(history: History, view: Screen) -> Iterator[str]:
    """List every peer with its kinds of sessions; there may be a hundred thousand.

    Rows are listed as they come, never all in memory: a peer of a large log may stand twice, with other rows.
    """
    rows = ((ip, name, verdict, tally) for ip, name, verdict, tally in history.rows() if ip is not None)
    first = True
    for ip, group in groupby(rows, key=itemgetter(0)):
        if first:
            yield view.render(heading("ALL PEERS"))
            first = False
        kinds = sorted(group, key=lambda row: -row[3].count)
        yield view.prose(f"  {kinds[0][1] or ''}", lead=ip, lead_style=ADDRESS)
        for *_, verdict, tally in kinds:
            yield _counted(tally.count, f"{spell(verdict)}, {verdict.service}", view)


def _totals(history: History, totals: Totals, view: Screen) -> str:
    rows = [
        (figure(totals.sessions[outcome]), f"sessions {words}")
        for outcome, words in _OUTCOMES
        if totals.sessions[outcome]
    ]
    rows.append((figure(totals.peers), f"peers, {figure(totals.failing)} of them with failed handshakes"))
    if history.sessions_left_out or history.peers_left_out:
        rows.append((figure(history.sessions_left_out), "sessions of too many peers, only counted"))
    lines = history.lines
    told = (
        f"{plural(lines.read, 'line')} read: {figure(lines.understood)} understood, {figure(lines.ignored)} about "
        f"other things, {figure(lines.unknown)} about TLS in an unknown form."
    )
    return view.render(heading("TOTALS"), listing(rows), text(told))
