"""The verdict: what Postfix is answered about one message, by the policy protocol and by the milter alike.

`judge` is pure: what Postfix tells, and one immutable snapshot of what the operator wants and what is known of peers.
It has no clock: whoever makes the snapshot puts the stages of today into it, and makes another tomorrow.
Each judge of `_JUDGES` looks at one thing; the gravest verdict counts, and among equals the first.

Promises: who has no requirement, no waiver and no proof against him gets DUNNO; so do users that have logged in, and
so does everybody at stages that nothing is decided at. A TLS version that nobody knows yet is never called too low.
The site's own networks are asked for nothing but what the policy requires of a peer that it names.

SECURITY: the sender's domain is a stranger's word: a requirement for it protects the domain's mail from being read,
not from being forged. The null sender `<>` of bounces belongs to no domain: no limit and no requirement by domain holds
it (RFC 5321 4.5.5). The texts that go to the client and into headers hold the operator's words and names of
versions, nothing that a stranger wrote.
BUGS: internationalized domains are compared as they are written: list both spellings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from mailtls.core.cause import Door
from mailtls.core.level import Level
from mailtls.core.offer import would_be_taken
from mailtls.core.peer import is_address
from mailtls.core.peermap import PeerMap
from mailtls.core.postfixview import Offering
from mailtls.core.printable import printable
from mailtls.core.smtpfacts import CLEARTEXT, SmtpFacts, Stage
from mailtls.core.tlsversion import TLS12, TLS13, name_of
from mailtls.core.waiver import UNLIMITED, WaiverLimits

HEADER = "MailTLS-Downgrade"
"""The name of the header that STAMP puts in front of a message."""

AT_GATEWAY = "SSLv3 or so, at the gateway"


class Answer(StrEnum):
    """What is done with the message, the mildest first."""

    DUNNO = "dunno"
    """Nothing: other restrictions decide."""
    NOTE = "note"
    """Nothing, but it is counted and told to the operator."""
    STAMP = "stamp"
    """A header says it."""
    DEFER = "defer"
    """450: the client keeps the mail, and tries again."""
    REJECT = "reject"
    """554: the mail goes back to its sender."""


class Ground(StrEnum):
    """Why; a closed list, fit for a metric's label."""

    NOTHING = "nothing"
    NOT_PROTECTED_ENOUGH = "not_protected_enough"
    DOWNGRADE = "downgrade"
    PHASED_OUT = "phased_out"
    SENDER_NOT_WAIVED = "sender_not_waived"
    RECIPIENT_NOT_WAIVED = "recipient_not_waived"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. `text`: what the client's operator reads, or the header; `reason`: a sentence for our own.

    Both are one line, printable; `reason` names the peer, what was seen, and the command that comes next.
    """

    answer: Answer
    ground: Ground = Ground.NOTHING
    text: str = ""
    reason: str = ""


DUNNO = Verdict(Answer.DUNNO)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A floor that must be met. `lowest`: a number of `tlsversion`. `text`, `url`: the operator's, for the client."""

    lowest: int = TLS12
    text: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """A waiver as far as the verdict needs it."""

    level: Level
    limits: WaiverLimits = UNLIMITED


@dataclass(frozen=True, slots=True)
class Proof:
    """TLS 1.2 or later that an address has managed at the strict door. `sessions`: so many; `version`: the last."""

    sessions: int
    version: int = TLS12


@dataclass(frozen=True, slots=True)
class Guard:
    """What is done with a downgrade, and after how many sessions of proof it is one."""

    answer: Answer = Answer.NOTE
    sessions: int = 20


@dataclass(frozen=True, slots=True)
class Phase:
    """A floor on its way, as it stands on one day.

    `percent` of a hundred attempts to deliver with less than `lowest` get `answer`, DEFER or REJECT. `refused_on`: the
    day from which all of them are refused, as text; None where none is planned. `cleartext`, `waived`: whether those
    without TLS, and those with a waiver, are meant as well. `text`, `url`: the operator's, for the client.
    """

    lowest: int = TLS12
    percent: int = 0
    answer: Answer = Answer.DEFER
    refused_on: str | None = None
    cleartext: bool = False
    waived: bool = False
    text: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a verdict knows beside the facts; made whole, swapped whole.

    `ports`: the doors by the port that they listen on, as Postfix prints it. `proven`: by canonical address. `own`: the
    site's own networks. `strict`: what the strict door takes, None where that is not known.
    """

    guard: Guard = Guard()
    ports: Mapping[str, Door] = field(default_factory=dict)
    proven: Mapping[str, Proof] = field(default_factory=dict)
    waivers: PeerMap[Terms] = field(default_factory=PeerMap)
    required_of_peers: PeerMap[Requirement] = field(default_factory=PeerMap)
    required_of_domains: PeerMap[Requirement] = field(default_factory=PeerMap)
    phases: tuple[Phase, ...] = ()
    own: PeerMap[bool] = field(default_factory=PeerMap)
    strict: Offering | None = None


def judge(facts: SmtpFacts, snapshot: Snapshot) -> Verdict:
    """Give the verdict at this stage of this message."""
    judges = _JUDGES.get(facts.protocol_state)
    if judges is None or facts.authenticated:
        return DUNNO
    case, gravest = _Case(facts, snapshot), DUNNO
    if case.seen == TLS13 and case.door is Door.STRICT:
        return DUNNO  # as most are: nobody can ask for more, and no waiver is used
    for judged in judges:
        verdict = judged(case)
        if verdict is not DUNNO and _GRAVITY[verdict.answer] > _GRAVITY[gravest.answer]:
            gravest = verdict
    return gravest


class _Case:
    """One question, with what nearly every judge asks first: it is asked for every message."""

    __slots__ = ("door", "facts", "seen", "snapshot")

    def __init__(self, facts: SmtpFacts, snapshot: Snapshot) -> None:
        self.facts = facts
        self.snapshot = snapshot
        self.door = facts.door(snapshot.ports)
        self.seen = facts.protection(self.door)

    @property
    def ip(self) -> str:
        """Give the client's address, spelled as in tables; only where somebody asks."""
        return self.facts.ip

    @property
    def own(self) -> bool:
        """Tell whether the client is in the site's own networks; only where somebody asks."""
        return self.snapshot.own.by_address(self.ip) is not None


def domain_of(address: str) -> str:
    """Give the domain of a mail address, in lower case; empty for `<>` and for a local name."""
    _, at, domain = address.rpartition("@")
    return domain.lower().rstrip(".") if at else ""


def _requirement(case: _Case) -> Verdict:
    """Hold the message to what is required of its sender's domain, and of the peer."""
    facts, snapshot, seen = case.facts, case.snapshot, case.seen
    peers = snapshot.required_of_peers.of(case.ip, facts.client_name)
    domains = snapshot.required_of_domains.by_name(domain_of(facts.sender))
    if seen is None or (peers is None and domains is None):
        return DUNNO
    if domains is not None and case.own:
        domains = None  # its own users' mail, or a filter's, which comes back in cleartext
    asked = {"of this peer": peers, "of its sender's domain": domains}
    missed = [(whom, need) for whom, need in asked.items() if need and seen < need.lowest]
    if not missed:
        return DUNNO
    whom, need = max(missed, key=lambda item: item[1].lowest)
    said = _said(facts, f"deferred: {_shown(case)}, but [require] asks for {name_of(need.lowest)} {whom}")
    return Verdict(Answer.DEFER, Ground.NOT_PROTECTED_ENOUGH, required_text(need), said)


def required_text(need: Requirement) -> str:
    """Write what the client is told where a floor is missed."""
    text = need.text or f"This site takes such mail over {name_of(need.lowest)} or later only"
    return printable(f"{text} {need.url}".rstrip())


def _sender_limit(case: _Case) -> Verdict:
    """Take through a door only what the waiver was given for."""
    facts, limits = case.facts, _limits(case)
    if limits is None or not limits.senders or not facts.sender or _holds(limits.senders, domain_of(facts.sender)):
        return DUNNO
    return _over(facts, Ground.SENDER_NOT_WAIVED, "this sender's domain", "of certain sender domains")


def _recipient_limit(case: _Case) -> Verdict:
    facts, limits = case.facts, _limits(case)
    if limits is None or not limits.recipients or not facts.recipient:
        return DUNNO
    address = facts.recipient.lower()
    if address in map(str.lower, limits.recipients) or _holds(limits.recipients, domain_of(address)):
        return DUNNO
    return _over(facts, Ground.RECIPIENT_NOT_WAIVED, "this recipient", "to certain recipients")


def _size_limit(case: _Case) -> Verdict:
    """Refuse by the announced size before the data come, by the true one afterwards."""
    facts, limits = case.facts, _limits(case)
    if limits is None or limits.size is None or facts.size <= limits.size:
        return DUNNO
    return _over(facts, Ground.TOO_LARGE, f"more than {limits.size} bytes", f"of at most {limits.size} bytes")


def _downgrade(case: _Case) -> Verdict:
    """Notice a peer that can do TLS 1.2 and comes with less: exactly what an attacker on the path looks like."""
    seen, guard = case.seen, case.snapshot.guard
    if seen is None or seen >= TLS12 or case.door is not Door.STRICT:
        return DUNNO
    proof = case.snapshot.proven.get(case.ip)
    if proof is None or proof.sessions < guard.sessions or case.own:
        return DUNNO
    terms = case.snapshot.waivers.by_address(case.ip)
    if terms is not None and terms.level is Level.CLEARTEXT and seen == CLEARTEXT:
        return DUNNO  # STARTTLS is hidden from it
    shown, expected = _shown(case), name_of(proof.version)
    text = "Your earlier sessions were encrypted with {}, this one is not"
    if seen != CLEARTEXT:
        text = "Your earlier sessions used {}, this one uses a weaker version"
    return Verdict(
        guard.answer,
        Ground.DOWNGRADE,
        f"{HEADER}: {shown}; expected {expected}" if guard.answer is Answer.STAMP else text.format(expected),
        _said(
            case.facts,
            f"downgrade: {shown}, after {proof.sessions} sessions with TLSv1.2 or later at the strict door; "
            "this is exactly what an attacker on the path looks like, and what a broken update of the peer looks like",
        ),
    )


def _phasing_out(case: _Case) -> Verdict:
    """Defer some of what is below a floor that is on its way, later refuse it.

    The message's queue id decides, or the session: a retry has another one, and passes as often as the percentage says.
    """
    snapshot, seen = case.snapshot, case.seen
    if not snapshot.phases or case.own:
        return DUNNO
    waived = snapshot.waivers.by_address(case.ip) is not None
    drawn = [
        phase
        for phase in snapshot.phases
        if (phase.cleartext or seen != CLEARTEXT) and (phase.waived or not waived)
        if seen is not None and seen < phase.lowest and _drawn(case.facts) < phase.percent
    ]
    if not drawn:
        return DUNNO
    return _phased_out(case.facts, max(drawn, key=lambda phase: _GRAVITY[phase.answer]), _shown(case))


def _drawn(facts: SmtpFacts) -> int:
    """Draw a number from 0 to 99 that this message always gets, whoever draws it.

    Without a queue id (smtpd_proxy_filter) its session draws, by the client's port, which a retry has another of. Where
    nothing tells a retry from the first attempt the number is the last: to draw would be to shut the peer out.
    """
    port = facts.client_port if facts.client_port not in ("", "0", "unknown") else ""
    name = facts.queue_id or port or facts.instance
    if not name:
        return 99
    lot = f"{facts.peer.ip} {name}".encode("utf-8", "backslashreplace")
    return int.from_bytes(blake2b(lot, digest_size=8).digest()) % 100


def _phased_out(facts: SmtpFacts, phase: Phase, shown: str) -> Verdict:
    what = f"refused: {shown}, which [[phase_out]] takes no more"
    if phase.answer is not Answer.REJECT:
        until = f" and refuses all from {phase.refused_on} on" if phase.refused_on is not None else ""
        what = (
            f"deferred: {shown}, of which [[phase_out]] defers {phase.percent} of 100 attempts by now{until}; "
            "a retry has another lot"
        )
    return Verdict(phase.answer, Ground.PHASED_OUT, phase_text(phase, shown), _said(facts, what))


def phase_text(phase: Phase, shown: str = AT_GATEWAY) -> str:
    """Write what the client is told on this day; `shown`: what protected its session, by default the longest."""
    lowest = name_of(phase.lowest)
    until = f", and will refuse it from {phase.refused_on} on" if phase.refused_on is not None else ""
    text = f"This server delays mail over {shown}{until}; please update your mail server to {lowest} or later"
    if phase.answer is Answer.REJECT:
        text = f"This server does not take mail over {shown} any more; please update your mail server to {lowest}"
    return printable(f"{phase.text or text} {phase.url}".rstrip())


def _limits(case: _Case) -> WaiverLimits | None:
    """Give the limits of the waiver that this session makes use of; None: it makes use of none."""
    encrypted = case.facts.encrypted
    if case.door is Door.STRICT and encrypted:
        return None  # as most are: without a look-up
    terms = case.snapshot.waivers.by_address(case.ip)
    if terms is None:
        return None
    used = not encrypted if terms.level is Level.CLEARTEXT else case.door is not Door.STRICT
    return terms.limits if used and not _strict_would_take(case) else None


def _strict_would_take(case: _Case) -> bool:
    """Tell whether the session has what the strict door takes as well, though it came by another one.

    A suite of TLS 1.3 does not name its certificate: what it is used over is not weak, and it is not held to limits.
    """
    strict, version = case.snapshot.strict, case.facts.version
    return (
        strict is not None
        and version is not None
        and would_be_taken(name_of(version), case.facts.encryption_cipher, strict)
    )


def _holds(listed: tuple[str, ...], domain: str) -> bool:
    return PeerMap(dict.fromkeys(listed, True)).by_name(domain) is not None


def _over(facts: SmtpFacts, ground: Ground, what: str, only: str) -> Verdict:
    """Defer what goes beyond a waiver's limits: a limit that was set too narrow loses no mail."""
    return Verdict(
        Answer.DEFER,
        ground,
        f"By an exception for your TLS this server takes from you only mail {only}; please update your TLS",
        _said(facts, f"deferred: its waiver does not reach to {what}"),
    )


def _shown(case: _Case) -> str:
    """Name what protects the session."""
    if case.facts.encrypted:
        return printable(case.facts.encryption_protocol, 20)
    return AT_GATEWAY if case.door is Door.SSLV3 else "cleartext"


def _said(facts: SmtpFacts, what: str) -> str:
    """Put who before it and the next command behind it; what goes into a shell is an address and nothing else."""
    ip = facts.peer.ip
    command = f"explain {ip}" if is_address(ip) and "%" not in ip else "status"
    return printable(f"{printable(str(facts.peer), 320)}: {what}; see mailtlsctl {command}", 1000)


_GRAVITY = {answer: gravity for gravity, answer in enumerate(Answer)}

_Judge = Callable[[_Case], Verdict]
_JUDGES: Mapping[Stage, tuple[_Judge, ...]] = {
    Stage.RCPT: (_recipient_limit,),
    # Once per message, with all that is known of TLS: what is counted here is counted once.
    Stage.DATA: (_requirement, _sender_limit, _recipient_limit, _size_limit, _downgrade, _phasing_out),
    Stage.END_OF_MESSAGE: (_size_limit,),
}
