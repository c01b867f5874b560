"""A batch for the store, and the rows that it becomes.

Everything that belongs together comes in one batch: sessions with the position up to which the log was read, decisions
with what they were about. Rows are made before anything waits, so that nothing changes under them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mailtls.core.action import Action
from mailtls.core.arrival import Arrival
from mailtls.core.conduct import Conduct
from mailtls.core.conductrecord import write_conduct
from mailtls.core.daybook import LONGEST_NAME, Daybook, Seen, short
from mailtls.core.decision import Decision
from mailtls.core.hellobook import HeardHello
from mailtls.core.keeperprotocol import Event, LiveWaiver
from mailtls.core.peerkey import key_of, span_of
from mailtls.core.peerstate import PeerState, state_of
from mailtls.core.session import Session

Row = dict[str, Any]

WEIGHTS = {Action.IGNORE: 0, Action.ADVISE: 0, Action.PROPOSE: 1}
"""What strangers can cause as often as they like weighs least, what a person is waiting for more."""

HEAVIEST = 2  # what was done


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source was read. `position`, `open_sessions`: texts of whoever reads it; `at`: when it got there."""

    position: str
    open_sessions: str | None
    at: datetime


@dataclass(slots=True)
class Change:
    """What is to be remembered. `conducts`, `hellos` by address; `waivers`: all that stand, None: as they were."""

    sessions: list[Session] = field(default_factory=list)
    conducts: dict[str, Conduct] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    waivers: tuple[LiveWaiver, ...] | None = None
    positions: dict[str, Position] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    hellos: dict[str, HeardHello] = field(default_factory=dict)

    def take(self) -> Change:
        """Take everything out, as a change of its own."""
        taken = Change(self.sessions, self.conducts, self.decisions, self.events, self.waivers, self.positions,
                       self.arrivals, self.hellos)  # fmt: skip
        self.sessions, self.conducts, self.decisions, self.events = [], {}, [], []
        self.waivers, self.positions, self.arrivals, self.hellos = None, {}, [], {}
        return taken

    def put_back(self, taken: Change) -> None:
        """Put what was taken in front of what came since, which is newer."""
        self.sessions = taken.sessions + self.sessions
        self.conducts = taken.conducts | self.conducts
        self.decisions = taken.decisions + self.decisions
        self.events = taken.events + self.events
        self.waivers = taken.waivers if self.waivers is None else self.waivers
        self.positions = taken.positions | self.positions
        self.arrivals = taken.arrivals + self.arrivals
        self.hellos = taken.hellos | self.hellos


def peer_rows(book: Daybook, conducts: dict[str, Conduct]) -> list[Row]:
    """Give a row for each address, in the order of their keys, which is that of the index."""
    known = {key: conduct for ip, conduct in conducts.items() if (key := key_of(ip)) is not None}
    keys = sorted(book.peers.keys() | known.keys())
    return [_peer_row(key, book.peers.get(key), known.get(key)) for key in keys]


def _peer_row(key: bytes, seen: Seen | None, conduct: Conduct | None) -> Row:
    row: Row = {
        "ip": key, "name": None, "first_seen": None, "last_seen": 0, "sessions": 0, "failures": 0, "mails": 0,
        "proven": False, "state": PeerState.QUIET.value, "cause": None, "reason": None, "tls_version": None,
        "conduct": None,
    }  # fmt: skip
    if seen is not None:
        row |= {
            "name": seen.name, "first_seen": seen.first, "last_seen": seen.last, "sessions": seen.sessions,
            "failures": seen.failures, "mails": seen.mails, "proven": seen.got_through, "state": seen.state.value,
            "cause": seen.cause, "reason": seen.reason, "tls_version": seen.tls_version,
        }  # fmt: skip
    if conduct is not None:
        row["conduct"] = write_conduct(conduct)
        row["state"] = state_of(conduct).value
        row["proven"] = row["proven"] or conduct.proven
        row["name"] = row["name"] or short(conduct.name, LONGEST_NAME)
    return row


def decision_rows(decisions: Iterable[Decision], now: datetime) -> list[Row]:
    """Give a row for each decision; one without a time is dated now."""
    return [_decision_row(decision, now) for decision in decisions]


def _decision_row(decision: Decision, now: datetime) -> Row:
    who = decision.peer.ip if decision.peer is not None else None
    first, last = _span(who)
    said = [decision.reasons, decision.evidence, decision.alternatives]
    return {
        "at": _seconds(decision.at or now),
        "weight": WEIGHTS.get(decision.action, HEAVIEST),
        "first": first,
        "last": last,
        "who": short(who, LONGEST_NAME),
        "name": short(decision.peer.name, LONGEST_NAME) if decision.peer is not None else None,
        "action": decision.action.value,
        "rule": decision.rule.value,
        "cause": decision.cause,
        "level": decision.level,
        "until": _seconds(decision.until) if decision.until is not None else None,
        "said": json.dumps(said, separators=(",", ":")),
    }


def step_rows(events: Iterable[Event]) -> list[Row]:
    """Give a row for each thing that happened to the keeper's list."""
    return [
        {
            "at": event.at.timestamp(),
            "number": event.number,
            "event": event.model_dump_json(exclude_defaults=True),
            **_ends(event.waiver.network),
        }
        for event in events
    ]


def waiver_rows(waivers: Iterable[LiveWaiver]) -> list[Row]:
    """Give a row for each waiver."""
    return [
        {"network": waiver.network, "waiver": waiver.model_dump_json(exclude_defaults=True), **_ends(waiver.network)}
        for waiver in waivers
    ]


def position_rows(positions: dict[str, Position]) -> list[Row]:
    """Give a row for each source."""
    return [
        {"source": source, "position": at.position, "open_sessions": at.open_sessions, "at": _seconds(at.at)}
        for source, at in positions.items()
    ]


def _ends(network: str) -> Row:
    first, last = _span(network)
    return {"first": first, "last": last}


def _span(network: str | None) -> tuple[bytes | None, bytes | None]:
    span = span_of(network) if network is not None else None
    return span if span is not None else (None, None)


def _seconds(at: datetime) -> float:
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
