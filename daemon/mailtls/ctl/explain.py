"""`mailtlsctl explain PEER`: the lines, what each proves, the diagnosis, the rule, the alternatives, what to do.

Offline, from logs alone. All peers that PEER covers are explained, those whose mail does not arrive first; on the
screen `SHOWN` of them, in JSON up to `explanation.PEERS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailtls.core.history import FAILED, Tally
from mailtls.ctl import output
from mailtls.ctl.explanation import ExplainedPeer, Explanation, Kind, Ruling, Witness
from mailtls.ctl.reading import listen
from mailtls.ctl.screen import (
    ADDRESS,
    BAD,
    HEADING,
    QUIET,
    Screen,
    figure,
    heading,
    listing,
    plural,
    sentence,
    since_until,
    text,
)
from mailtls.ctl.whom import read_whom
from mailtls.ctl.wording import spell, where

UNKNOWN_PEER = 1
SHOWN = 20


def explain(peer: str, logs: Sequence[str], *, as_json: bool, since: str | None, until: str | None) -> int:
    """Explain the peer; return 1 where the logs do not speak of it. Raises ConfigError, InputError."""
    witness = Witness(read_whom(peer))
    listen(witness, logs, since, until)
    explanation = witness.explain()
    if as_json:
        output.write([explanation.model_dump_json(indent=1), "\n"])
    elif explanation.peers:
        output.write(_pages(explanation, Screen()))
    if explanation.peers:
        return 0
    output.complain(
        f"{explanation.asked} is not in the sessions that were read ({_read(witness)}); "
        "check its spelling, --since and --until, and older logs"
    )
    return UNKNOWN_PEER


def _read(witness: Witness) -> str:
    lines = plural(witness.history.lines.read, "line")
    return f"{lines}, {plural(len(witness.history.peers), 'other peer')}"


def _pages(explanation: Explanation, view: Screen) -> Iterator[str]:
    for place, peer in enumerate(explanation.peers[:SHOWN]):
        yield "\n" if place else ""
        yield from _peer(peer, view)
    more = len(explanation.peers) - SHOWN
    if more > 0 or explanation.peers_left_out:
        left = plural(max(more, 0) + explanation.peers_left_out, "peer")
        yield view.render(heading(f"and {left} more; --json tells of {figure(len(explanation.peers))}"))


def _peer(peer: ExplainedPeer, view: Screen) -> Iterator[str]:
    yield view.render(sentence((peer.peer_ip, ADDRESS), f"  {peer.peer_name}" if peer.peer_name else ""))
    yield view.render(listing((figure(kind.count), _kind(kind)) for kind in peer.kinds), indent=2)
    yield view.render(text(_mail(peer)), indent=2)
    yield view.render(heading("What the lines prove"))
    for kind in peer.kinds:
        yield from _evidence(kind, view)
    yield from _diagnosis(peer.ruling, peer, view)


def _kind(kind: Kind) -> str:
    words = spell(kind)
    return f"{words}, {where(kind.service, kind.door)}{since_until(Tally(kind.count, kind.first_seen, kind.last_seen))}"


def _mail(peer: ExplainedPeer) -> str:
    mail = peer.mail
    words = "No mail was accepted."
    if mail.delivered:
        words = f"Mail was accepted in {plural(mail.delivered, 'session')}, {figure(mail.in_cleartext)} in cleartext."
    if mail.refused_cleartext:
        words += f" It left {plural(mail.refused_cleartext, 'time')} because it saw no STARTTLS."
    return words


def _evidence(kind: Kind, view: Screen) -> Iterator[str]:
    yield view.render(sentence((spell(kind), HEADING)), indent=2)
    for session in kind.sessions[: None if kind.outcome in FAILED else 1]:
        for line in session.lines:
            yield view.render(text(line.line, QUIET), indent=4)
            yield view.render(text(f"= {line.proves}"), indent=6)
    if kind.outcome in FAILED:
        yield view.render(text(kind.proves), indent=4)


def _diagnosis(ruling: Ruling | None, peer: ExplainedPeer, view: Screen) -> Iterator[str]:
    if ruling is None:
        yield view.render(heading("Diagnosis"), text("Nothing fails for this peer; nothing needs doing."))
        return
    mark = (" (its mail does not arrive)", BAD) if ruling.outage else ("", "")
    yield view.render(heading("Diagnosis"))
    yield view.render(sentence((ruling.diagnosis, HEADING), mark), text(ruling.rule), indent=2)
    other = dict.fromkeys(kind.could_also_be for kind in peer.kinds if kind.outcome in FAILED and kind.could_also_be)
    if other:
        yield view.render(heading("What else it could be"))
        yield view.render(*(text(words) for words in other), indent=2)
    if peer.server:
        yield view.render(heading("The server itself", BAD))
        yield view.render(*(text(words) for words in peer.server), indent=2)
    yield view.render(heading("What to do"))
    yield view.render(text(ruling.advice), indent=2)
