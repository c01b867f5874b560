"""`mailtlsctl simulate`: what a policy would have decided on a log, when, and why.

Nothing is changed and no clock is read: the same log and policy print the same decisions whenever it runs. What the
policy waives it takes for done, but the log goes on as it really was; a peer that would have been let in is still
seen to fail, which counts as use of its waiver.

The JSON of `--json` is the model `Simulation`; docs/policy.md describes it. SECURITY: names, reasons and log lines
are strangers'; they pass through `core.printable` on their way to the screen and to JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from rich.table import Table
from rich.text import Text

from mailtls.core.action import Action
from mailtls.core.cause import Outcome
from mailtls.core.decider import Decider
from mailtls.core.decision import Decision
from mailtls.core.printable import printable
from mailtls.core.session import Session
from mailtls.core.waiver import Waiver
from mailtls.ctl import output
from mailtls.ctl.screen import ADDRESS, BAD, QUIET, Screen, figure, heading, moment, plural, sentence, table, text
from mailtls.edge.policyfile import Will, read_will

SHOWN = 50  # decisions of one section on the screen; JSON has all
LONGEST = 4096  # characters of one text

_STYLES = {Action.WAIVE: "yellow", Action.PROPOSE: "yellow", Action.WITHDRAW: "green"}
_LEFT_ALONE = {
    "other_service": "on submission, smtps, IMAP, POP or LMTP, where nobody is ever waived",
    "server_fault": "while the server itself was at fault",
    "too_old": "older than the policy looks back, out of order in the log",
    "no_address": "of peers whose address the log does not give",
}


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class DecisionRow(_Row):
    """One decision. Times are RFC 3339 with offset, null where the log has no stamps; `peer_ip` null: the server."""

    at: str | None
    action: str
    rule: str
    peer_ip: str | None
    peer_name: str | None
    level: str | None
    until: str | None
    cause: str | None
    reasons: tuple[str, ...]
    evidence: tuple[str, ...]
    alternatives: tuple[str, ...]


class WaiverRow(_Row):
    """One waiver that stands at the end of the log; `granted` null: an entry of the known-legacy list."""

    network: str
    level: str
    owner: str
    reason: str
    origin: str
    granted: str | None
    until: str


class Sessions(_Row):
    """What was read. `not_considered`: failed sessions that no decision was made about, by reason."""

    read: int
    failed: int
    first: str | None
    last: str | None
    not_considered: dict[str, int]


class Simulation(_Row):
    """The whole answer."""

    policy: str
    known_legacy: str | None
    sessions: Sessions
    actions: dict[str, int]
    decisions: tuple[DecisionRow, ...]
    waivers: tuple[WaiverRow, ...]


class _Tally:
    """Counts sessions on their way into the decider."""

    def __init__(self) -> None:
        self.read = self.failed = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, session: Session) -> None:
        self.read += 1
        self.failed += session.outcome is Outcome.TLS_FAILED
        if session.at is not None:
            self.first = self.first or session.at
            self.last = session.at


def run(policy_path: str, sessions: Iterable[Session], *, as_json: bool) -> int:
    """Read the policy, let it decide on the sessions, print the decisions; return the exit status, 0.

    Raises ConfigError for a policy that cannot be followed, before the first session is asked for.
    """
    will = read_will(policy_path)
    decider = Decider(will.policy, will.known)
    tally = _Tally()
    decisions: list[Decision] = []
    for session in sessions:
        tally.add(session)
        decisions.extend(decider.feed(session))
    decisions.extend(decider.conclude())
    if as_json:
        output.write([json.dumps(_simulation(will, tally, decider, decisions).model_dump(), indent=1), "\n"])
    else:
        output.write(_pages(will, tally, decider, decisions))
    return 0


# JSON.


def _simulation(will: Will, tally: _Tally, decider: Decider, decisions: list[Decision]) -> Simulation:
    counts = Counter(decision.action for decision in decisions)
    return Simulation(
        policy=_clean(will.source),
        known_legacy=_clean(will.known_source) if will.known_source is not None else None,
        sessions=Sessions(
            read=tally.read,
            failed=tally.failed,
            first=_time(tally.first),
            last=_time(tally.last),
            not_considered={why: decider.left_alone[why] for why in _LEFT_ALONE},
        ),
        actions={str(action): counts[action] for action in Action},
        decisions=tuple(_decision_row(decision) for decision in decisions),
        waivers=tuple(_waiver_row(waiver) for waiver in decider.waivers),
    )


def _decision_row(decision: Decision) -> DecisionRow:
    return DecisionRow(
        at=_time(decision.at),
        action=decision.action,
        rule=decision.rule,
        peer_ip=decision.peer.ip if decision.peer else None,
        peer_name=_clean(decision.peer.name) if decision.peer and decision.peer.name is not None else None,
        level=decision.level,
        until=_time(decision.until),
        cause=decision.cause,
        reasons=tuple(map(_clean, decision.reasons)),
        evidence=tuple(map(_clean, decision.evidence)),
        alternatives=tuple(map(_clean, decision.alternatives)),
    )


def _waiver_row(waiver: Waiver) -> WaiverRow:
    return WaiverRow(
        network=waiver.network,
        level=waiver.level,
        owner=_clean(waiver.owner),
        reason=_clean(waiver.reason),
        origin=waiver.origin,
        granted=_time(waiver.granted),
        until=waiver.until.isoformat(),
    )


def _clean(words: str) -> str:
    return printable(words, longest=LONGEST)


def _time(at: datetime | None) -> str | None:
    """Spell a time by RFC 3339; one without an offset is taken for UTC, as the decider takes it."""
    if at is None:
        return None
    return at.isoformat() if at.tzinfo is not None else f"{at.isoformat()}+00:00"


# The screen.


def _pages(will: Will, tally: _Tally, decider: Decider, decisions: list[Decision]) -> Iterable[str]:
    screen = Screen()
    yield screen.render(*_opening(will, tally))
    server = [decision for decision in decisions if decision.peer is None]
    acting = [decision for decision in decisions if decision.peer and decision.action not in _TALK]
    advised = [decision for decision in decisions if decision.peer and decision.action is Action.ADVISE]
    for title, group in (("The server", server), ("Let in, or asked about", acting), ("Advised", advised)):
        yield from _section(screen, title, group)
    ignored = [decision for decision in decisions if decision.action is Action.IGNORE]
    if ignored:
        yield screen.render(heading("Ignored"), _ignored(ignored))
    yield screen.render(*_totals(decider, decisions))


_TALK = frozenset({Action.ADVISE, Action.IGNORE})


def _opening(will: Will, tally: _Tally) -> Iterable[Text]:
    known = f" with {will.known_source}" if will.known_source else ""
    yield sentence(f"Policy {will.source}{known}")
    when = f", {moment(tally.first)} to {moment(tally.last)}" if tally.first else ""
    yield sentence(f"{plural(tally.read, 'session')}, {figure(tally.failed)} failed{when}")
    if tally.read and not tally.first:
        yield text("The log has no time stamps: no threshold can be met, nobody is waived.", BAD)


def _section(screen: Screen, title: str, decisions: list[Decision]) -> Iterable[str]:
    if not decisions:
        return
    yield screen.render(heading(title))
    layout = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    layout.add_column(no_wrap=True)
    layout.add_column(overflow="fold")
    for decision in decisions[:SHOWN]:
        layout.add_row(text(moment(decision.at)), _told(decision))
    yield screen.render(layout)
    if len(decisions) > SHOWN:
        yield screen.render(text(f"and {figure(len(decisions) - SHOWN)} more; --json prints all", QUIET))


def _told(decision: Decision) -> Text:
    """Tell one decision: what, about whom, why, and what a person may do."""
    what = " ".join(word for word in (decision.action, decision.level) if word)
    if decision.until is not None:
        what += f" until {moment(decision.until)}"
    lines = [sentence((what, _STYLES.get(decision.action, "bold")), (f"  {decision.rule}", QUIET))]
    if decision.peer is not None:
        lines.append(sentence((decision.peer.ip, ADDRESS), f" {decision.peer.name}" if decision.peer.name else ""))
    lines += [text(reason) for reason in decision.reasons]
    lines += [sentence(("or: ", QUIET), alternative) for alternative in decision.alternatives]
    return Text("\n").join(lines)


def _ignored(decisions: list[Decision]) -> Table:
    """Count what was ignored; of each kind one peer for example."""
    groups: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions:
        groups.setdefault((decision.rule, decision.cause or ""), []).append(decision)
    rows = [
        (figure(len(group)), rule, cause, group[0].peer.ip if group[0].peer else "")
        for (rule, cause), group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]
    return table(("peers", "rule", "cause", "for example"), rows)


def _totals(decider: Decider, decisions: list[Decision]) -> Iterable[Text]:
    counts = Counter(decision.action for decision in decisions)
    yield heading("Decisions")
    yield text(", ".join(f"{action} {figure(counts[action])}" for action in Action))
    standing = sum(waiver.granted is not None for waiver in decider.waivers)
    yield text(f"{plural(standing, 'waiver')} of this policy would stand at the end of the log.")
    for why, words in _LEFT_ALONE.items():
        if count := decider.left_alone[why]:
            yield text(f"Not considered: {plural(count, 'failed session')} {words}.")
