"""`mailtlsctl explain PEER` without logs: what mailtlsd remembers of a peer, and why it decided what it decided.

The days of its sessions added up by kind, the lines that were kept, what each proves, the decisions with their reasons
and alternatives, and its waiver. With `--log` the same question is answered from logs alone (`explain`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import AskExplain, DayCount, ExplainedKnownPeer, KnownPeer, PastStep
from mailtls.core.helloshown import PeerHello
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.ctl import output
from mailtls.ctl.arrivals import arrival_lines
from mailtls.ctl.hellolines import hello_lines
from mailtls.ctl.history import step_lines
from mailtls.ctl.inquiry import ask_daemon, places_of, print_json
from mailtls.ctl.known import local, peer_lines
from mailtls.ctl.narrowest import choose, without_use
from mailtls.ctl.proof import MEANINGS, proves
from mailtls.ctl.screen import QUIET, Screen, figure, heading, listing, plural, text
from mailtls.ctl.whom import read_whom
from mailtls.ctl.wording import spell, where

UNKNOWN_PEER = 1
SHOWN = 20  # peers
STEPS = 10  # of the history of one peer


@dataclass(slots=True)
class Kind:
    """Sessions of one kind over all days; as wording.KindOfSession."""

    outcome: str
    cause: str
    tls_version: str | None
    cipher: str | None
    service: str
    door: str
    days: list[str]
    reason: str | None = None
    sessions: int = 0
    mails: int = 0


def explain(peer: str, *, as_json: bool, config: str | None) -> int:
    """Explain the peer; 1 where mailtlsd does not know it. Raises ConfigError, UnreachableError, RefusedError."""
    whom = read_whom(peer)
    places = places_of(config)
    answer = ask_daemon(places, AskExplain(whom=whom.asked))
    known = answer.explained or ()
    if as_json:
        print_json(answer.model_copy(update={"explained": known}), "explained")
    elif known:
        output.write(_pages(known, places.config.postfix, Screen()))
    if known:
        return 0
    output.complain(
        f"mailtlsd has seen no session of {whom.spelled}; check its spelling, or read older logs: "
        f"mailtlsctl explain {whom.spelled} --log FILE"
    )
    return UNKNOWN_PEER


def _pages(known: tuple[ExplainedKnownPeer, ...], postfix: PostfixSettings, view: Screen) -> Iterator[str]:
    for place, explained in enumerate(known[:SHOWN]):
        yield "\n" if place else ""
        yield from _peer(explained, postfix, view)
    if len(known) > SHOWN:
        yield view.render(heading(f"and {plural(len(known) - SHOWN, 'peer')} more; --json tells of them"))


def _peer(explained: ExplainedKnownPeer, postfix: PostfixSettings, view: Screen) -> Iterator[str]:
    yield from peer_lines(explained.peer, view)
    kinds = add_up(explained.days)
    if kinds:
        yield view.render(heading("Sessions"))
        yield view.render(listing((figure(kind.sessions), _kind(kind)) for kind in kinds), indent=2)
    yield from _evidence(explained, view)
    yield from _hello(explained.hello, view)
    yield from arrival_lines(explained.arrival, explained.messages, view)
    yield from _rulings(explained.ruling, explained.history, view)
    yield from _advice(explained, postfix, view)


def add_up(days: Iterable[DayCount]) -> list[Kind]:
    """Add up the sessions of all days by kind, the most first."""
    kinds: dict[tuple[str | None, ...], Kind] = {}
    for day in days:
        key = day.outcome, day.cause, day.tls_version, day.cipher, day.service, day.door
        kind = kinds.setdefault(key, Kind(*key, []))
        kind.sessions += day.sessions
        kind.mails += day.mails
        kind.days.append(day.day)
    return sorted(kinds.values(), key=lambda kind: -kind.sessions)


def _kind(kind: Kind) -> str:
    first, last = min(kind.days), max(kind.days)
    mails = f", {plural(kind.mails, 'mail')}" if kind.mails else ""
    when = first if first == last else f"{first} to {last}"
    return f"{spell(kind)}, {where(kind.service, kind.door)}{mails}; {when}"


def _evidence(explained: ExplainedKnownPeer, view: Screen) -> Iterator[str]:
    cause = explained.peer.cause
    if explained.evidence:
        yield view.render(heading("What the lines prove"))
    for line in explained.evidence:
        yield view.render(text(line, QUIET), indent=2)
        yield view.render(text(f"= {proves(line)}"), indent=4)
    if cause is None or cause is Cause.NONE:
        return
    meaning = MEANINGS[cause]
    yield view.render(heading("What it means"), text(f"{cause}: {meaning.proves}"))
    if meaning.else_:
        yield view.render(text(f"It could also be: {meaning.else_}"))


def _hello(hello: PeerHello | None, view: Screen) -> Iterator[str]:
    if hello is None:
        return
    yield view.render(heading(f"What it offered when it was last seen, {local(hello.at)}"))
    yield from hello_lines(hello, view)
    if hello.alert is not None:
        yield view.prose(f"It broke off with alert {hello.alert} (RFC 8446 section 6).", indent=2)


def _rulings(ruling: PastStep | None, history: tuple[PastStep, ...], view: Screen) -> Iterator[str]:
    if ruling is not None:
        yield view.render(heading("What was decided, and why"))
        yield from step_lines(ruling, view)
    past = [step for step in history if step != ruling]
    if past:
        yield view.render(heading("Before that" if ruling is not None else "What was done"))
    for step in past[:STEPS]:
        yield from step_lines(step, view)
    if len(past) > STEPS:
        yield view.prose(f"and {len(past) - STEPS} more: mailtlsctl history PEER")


def _advice(explained: ExplainedKnownPeer, postfix: PostfixSettings, view: Screen) -> Iterator[str]:
    """Name the command that comes next: end the waiver, or let the peer in."""
    peer = explained.peer
    if peer.waiver is not None:
        words = f"It is let in; to end that: mailtlsctl revoke {peer.waiver.network}"
    elif explained.arrival is not None and explained.arrival.alarm is not None and not peer.failures:
        words = (
            "Ask its postmaster, by another way than mail, whether something was changed there. What is done about "
            "such messages says the policy ([require], [downgrade], [[phase_out]])."
        )
    elif not peer.failures:
        words = "Nothing fails for this peer; nothing needs doing."
    else:
        words = _to_let_in(peer, explained.hello, postfix)
    yield view.render(heading("What you can do"))
    yield view.prose(words)


def _to_let_in(peer: KnownPeer, hello: PeerHello | None, postfix: PostfixSettings) -> str:
    choice = choose([peer], postfix, {peer.ip: hello})
    why_not = without_use(choice.level, postfix) if choice.level is not None else None
    level = choice.level if choice.level is not None else Level.CLEARTEXT
    words = f"To let it in all the same: mailtlsctl allow-legacy {peer.ip} --level {level} ({choice.why.rstrip('.')})"
    return words if why_not is None else f"{words}. But {why_not}."
