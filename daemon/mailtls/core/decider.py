"""The decider: sessions in the order of the log go in, decisions come out.

It is deterministic: time is that of the sessions, never the clock, so that the same log and policy give the same
decisions whenever they are read. It acts on nothing; what it waives it keeps on a list of its own, so that renewal,
quota and end can be decided, as if every decision had been carried out.

Only port 25 is considered (`smtpd`, and `postscreen` in front of it): nothing on submission, smtps, IMAP or POP is
ever let down. A session of a waived peer that fails at the strict door counts as use of its waiver: on last month's
log, where nothing was really waived, that is all that can be seen.

SECURITY: see `judgement` for what strangers can try, `conduct` and `serverfault` for what is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from mailtls.core.action import Action
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.conduct import EVIDENCE_LINE_LENGTH, PEERS, Conduct, Kind, Rooms, Series
from mailtls.core.decision import Decision, Rule, Ruling
from mailtls.core.duration import say_duration
from mailtls.core.judgement import Case, judge
from mailtls.core.knownhellos import KnownHellos
from mailtls.core.knownlegacy import NOBODY, KnownPeers
from mailtls.core.level import Level, need_of, reason_number
from mailtls.core.peer import Peer, is_address
from mailtls.core.policy import Policy
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.rule import DEFAULT_AFTER
from mailtls.core.serverfault import WITHIN, ServerFault
from mailtls.core.session import Session
from mailtls.core.strictdoor import StrictDoor, is_low
from mailtls.core.waiver import Origin, Waiver
from mailtls.core.waiverlist import WaiverList

PORT_25 = frozenset({Service.SMTPD, Service.POSTSCREEN})
DOOR_TRIES = 3  # failures at a relaxed door, with no success there, after which it is of no use
SERVER_REMEDY = "run postfix check, and look at what was changed last: a reload, a renewed certificate, an upgrade"

_QUIET = frozenset({Rule.NOT_YET, Rule.NO_STAMPS})  # said by `conclude`, since the next session may change them
_WEAK = frozenset({Cause.NETWORK_CUT, Cause.TIMEOUT})  # networks have faults of their own
_LOOKED_AND_LEFT = frozenset({"ehlo=1", "quit=1", "commands=2"})
_TRIED = (Outcome.TLS_OK, Outcome.TLS_FAILED)


class Visit(NamedTuple):
    """One session of a known address on port 25, with what is remembered of it."""

    session: Session
    ip: str
    conduct: Conduct
    at: datetime | None


class Decider:
    """Feed it every session; ask it at the end what still stands.

    `standing`: waivers of earlier days or of persons. `left_alone` counts the failed sessions that were not
    considered, by reason: `other_service`, `no_address`, `server_fault`, `too_old`.
    """

    def __init__(
        self, policy: Policy, known: KnownPeers = NOBODY, standing: Iterable[Waiver] = (), peers: int = PEERS
    ) -> None:
        self._policy = policy
        self._known = known
        self._rooms = Rooms(peers)
        self._waivers = WaiverList((*known.waivers(), *standing))
        self._fault = ServerFault()
        self._strict = StrictDoor()
        self._hellos = KnownHellos()  # a log has none: all that is said of them is said live
        self._view: PostfixSettings | None = None
        self._now: datetime | None = None
        self.left_alone: Counter[str] = Counter()

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """The waivers that stand now, those of the known-legacy file among them."""
        return tuple(self._waivers)

    def see(self, view: PostfixSettings) -> None:
        """Decide by what `setup` found of Postfix from now on."""
        self._view = view
        self._strict.offers = view.strict

    def next_expiry(self) -> datetime | None:
        """Say when `expire` has something to do next."""
        return self._waivers.next_expiry()

    def expire(self, now: datetime) -> tuple[Decision, ...]:
        """End the waivers whose time is over by now; entries of a file end without a word."""
        ended = [waiver for waiver in self._waivers.expire(now) if waiver.granted is not None]
        return tuple(self._withdrawn(waiver, waiver.until, Rule.EXPIRED, _over(waiver)) for waiver in ended)

    def feed(self, session: Session) -> tuple[Decision, ...]:
        """Take in one session, and give what is decided by it."""
        at = _with_offset(session.at)
        if at is None:
            return tuple(self._considered(session, None))
        self._now = at if self._now is None else max(self._now, at)
        return (*self.expire(at), *self._considered(session, at))

    def conclude(self) -> tuple[Decision, ...]:
        """Say what stands of the peers that failed and about which nothing was decided; changes nothing."""
        decisions = []
        for ip, conduct in self._rooms.all():
            said = {cause for cause, _ in conduct.said}
            for kind, series in conduct.series.items():
                if kind[0] in said or self._waivers.covering(ip, series.last):
                    continue
                ruling = judge(self._case(ip, conduct, kind, series, series.last))
                if ruling.rule in _QUIET:
                    decisions.append(_decision(ruling, ip, conduct, kind[0], series.last))
        return tuple(sorted(decisions, key=_in_time))

    def _considered(self, session: Session, at: datetime | None) -> list[Decision]:
        if session.service not in PORT_25:
            return self._leave_alone("other_service", session)
        if session.outcome is Outcome.SERVER_TLS_BROKEN:
            return self._server_spoke(session, at)
        if session.peer is None or not is_address(session.peer.ip):
            return self._leave_alone("no_address", session)
        conduct = self._rooms.of(session.peer.ip)
        conduct.named(session.peer.name)
        visit = Visit(session, session.peer.ip, conduct, at)
        decisions = self._happened(visit)
        if session.delivered:
            conduct.delivered()
        self._rooms.settle(visit.ip, conduct)
        return decisions

    def _happened(self, visit: Visit) -> list[Decision]:
        if visit.session.door is not Door.STRICT:
            return self._at_door(visit)
        if visit.session.outcome is Outcome.TLS_OK:
            return self._succeeded(visit)
        if visit.session.outcome is Outcome.TLS_FAILED:
            return self._failed(visit)
        return self._without_tls(visit)

    def _leave_alone(self, why: str, session: Session) -> list[Decision]:
        if session.outcome is Outcome.TLS_FAILED:
            self.left_alone[why] += 1
        return []

    # The server's own fault.

    def _server_spoke(self, session: Session, at: datetime | None) -> list[Decision]:
        if at is None or not self._fault.told(at):
            return []
        return [self._fault_begins(session, at, "The server says that its own TLS is broken.")]

    def _fault_begins(self, session: Session, at: datetime, why: str) -> Decision:
        for _, conduct in self._rooms.all():
            conduct.forgive(at - WITHIN)
        meaning = "The fault is the server's: no peer is touched, and failures are not counted until it is over."
        return Decision(
            action=Action.ADVISE,
            rule=Rule.SERVER_FAULT,
            peer=None,
            at=at,
            cause=session.cause,
            reasons=(why, meaning),
            evidence=session.lines,
            alternatives=(SERVER_REMEDY,),
        )

    def _turned_bad(self, visit: Visit) -> list[Decision]:
        """Ask whether it is the server, when a peer that used to succeed fails for the first time."""
        conduct, at = visit.conduct, visit.at
        if at is None or conduct.turned_bad or not conduct.used_to_succeed or visit.session.cause in _WEAK:
            return []
        conduct.turned_bad = True
        if conduct.scanner or not self._fault.turned_bad(visit.ip, at):
            return []
        within = say_duration(WITHIN)
        why = f"Several peers that used to succeed began to fail within {within}, {visit.ip} the latest of them."
        return [self._fault_begins(visit.session, at, why)]

    # At the strict door.

    def _failed(self, visit: Visit) -> list[Decision]:
        session, ip, conduct, at = visit
        within = (self._policy.rule(session.cause).after or DEFAULT_AFTER).within
        if at is not None and self._now is not None and self._now - at > within:
            return self._leave_alone("too_old", session)
        decisions = self._turned_bad(visit)
        if at is not None and self._fault.stands(at):
            self._leave_alone("server_fault", session)
            return decisions
        kind = (session.cause, reason_number(session.reason_number, session.reason))
        series = conduct.failed(kind, session, at, within)
        if waiver := self._waivers.covering(ip, at):
            return [*decisions, *self._needed(visit, waiver)]
        ruling = judge(self._case(ip, conduct, kind, series, at))
        if ruling.action is Action.WAIVE and at is not None:
            return [*decisions, self._waived(visit, ruling, at)]
        about = None if ruling.rule is Rule.SCANNER else session.cause  # a scanner is one whatever it fails for
        if ruling.rule not in _QUIET and conduct.is_news(about, ruling.rule):
            decisions.append(_decision(ruling, ip, conduct, session.cause, at))
        return decisions

    def _case(self, ip: str, conduct: Conduct, kind: Kind, series: Series, at: datetime | None) -> Case:
        return Case(
            policy=self._policy,
            ip=ip,
            conduct=conduct,
            cause=kind[0],
            series=series,
            need=self._hellos.need(*kind, self._view, ip),
            entry=self._known.by_name(conduct.name, at),
            at=at,
            standing=self._waivers.automatic(),
            today=0 if at is None else self._waivers.granted_since(at),
            doors=frozenset(door.level for door in self._view.doors) if self._view is not None else frozenset(),
        )

    def _succeeded(self, visit: Visit) -> list[Decision]:
        session, ip, conduct, at = visit
        if is_low(session.tls_version):
            conduct.recovered = at
        else:
            conduct.good = session.tls_version or conduct.good or ""
        conduct.used_to_succeed = conduct.used_to_succeed or session.cause is Cause.NONE
        conduct.turned_bad = False
        self._fault.succeeded(ip)
        self._strict.took(session, at)
        if waiver := self._waivers.covering(ip, at):
            conduct.forget_failures()
            why = f"It has completed {session.tls_version or 'TLS'} at the strict door."
            return self._ended(visit, waiver, Rule.OUTGROWN, why)
        why = "It failed before, and has now completed TLS at the strict door: no outage."
        return self._got_through(visit, Ruling(Action.IGNORE, Rule.RECOVERED, (why,)))

    def _without_tls(self, visit: Visit) -> list[Decision]:
        session, ip, conduct, at = visit
        waiver = self._waivers.covering(ip, at)
        hidden_from = waiver if waiver is not None and waiver.level is Level.CLEARTEXT else None
        if session.delivered:
            conduct.refuses_cleartext = False
            if hidden_from is not None:
                conduct.door_worked = True
                return self._used(visit, hidden_from)
            if conduct.series:
                conduct.fell_back = at
            why = "It fails, and then delivers in cleartext by itself: no outage, no waiver; its mail is not encrypted."
            return self._got_through(visit, Ruling(Action.ADVISE, Rule.FALLS_BACK, (why,)))
        if not _looked_and_left(session):
            return []
        conduct.refuses_cleartext = conduct.refuses_cleartext or bool(conduct.series) or session.hidden
        if session.hidden and hidden_from is not None and not conduct.door_worked:
            why = "STARTTLS was hidden from it, and it left without sending (ehlo=1 quit=1): it refuses cleartext."
            return self._ended(visit, hidden_from, Rule.USELESS, why)
        return []

    def _got_through(self, visit: Visit, ruling: Ruling) -> list[Decision]:
        """Begin to count anew, and say so where a door was at stake or something was said before."""
        conduct = visit.conduct
        causes = [kind[0] for kind in conduct.series if need_of(*kind).levels or conduct.said]
        causes = [cause for cause in causes if self._policy.rule(cause).action is not Action.IGNORE]
        conduct.forget_failures()
        if not causes or conduct.scanner or not conduct.is_news(causes[-1], ruling.rule):
            return []
        return [_decision(ruling, visit.ip, conduct, causes[-1], visit.at, lines=visit.session.lines)]

    # At a relaxed door, and the life of waivers.

    def _at_door(self, visit: Visit) -> list[Decision]:
        session, ip, conduct, at = visit
        waiver = self._waivers.covering(ip, at)
        if waiver is None or waiver.level.value != session.door.value or session.outcome not in _TRIED:
            return []  # of another door: begun before this waiver
        if session.outcome is Outcome.TLS_OK and session.cause is not Cause.DROPPED_AFTER_TLS:
            conduct.door_worked = True
            why = self._strict.outgrown_by(session, waiver, self._hellos.outgrown(session))
            return self._ended(visit, waiver, Rule.OUTGROWN, why) if why else self._used(visit, waiver)
        conduct.door_failures += 1
        if session.cause is Cause.PEER_REJECTS_OUR_CERT:
            why = f"At the {session.door} door it does not accept the certificate ({session.reason or session.cause})."
            return self._ended(visit, waiver, Rule.USELESS, why)
        if conduct.door_failures >= DOOR_TRIES and not conduct.door_worked:
            why = f"It failed {conduct.door_failures} times at the {session.door} door and never got through there."
            return self._ended(visit, waiver, Rule.USELESS, why)
        return []

    def _needed(self, visit: Visit, waiver: Waiver) -> list[Decision]:
        """A waived peer failed at the strict door: it still needs its waiver, unless it is trying things out."""
        if visit.conduct.scanner and waiver.automatic:
            tried = ", ".join(reason for _, reason in visit.conduct.tried)
            why = f"It now fails for different reasons within minutes and never sent mail, as scanners do: {tried}."
            return self._ended(visit, waiver, Rule.SCANNER, why)
        return self._used(visit, waiver)

    def _waived(self, visit: Visit, ruling: Ruling, at: datetime) -> Decision:
        cause, conduct = visit.session.cause, visit.conduct
        rule, entry = self._policy.rule(cause), self._known.by_name(conduct.name, at)
        owner, origin, reason, latest = "policy", Origin.POLICY, f"{cause}: {ruling.reasons[0]}", at + rule.longest
        if entry is not None:
            owner, origin, reason, latest = entry.owner, Origin.KNOWN_LEGACY, entry.reason, min(latest, entry.ends)
        if ruling.level is None:
            raise RuntimeError("a ruling that waives has a level")
        until = min(at + rule.lifetime, latest)
        self._waivers.grant(Waiver(visit.ip, ruling.level, owner, reason, at, until, latest, origin, cause), at)
        self._rooms.kept.add(visit.ip)
        conduct.begin_anew()
        return _decision(ruling, visit.ip, conduct, cause, at, until)

    def _used(self, visit: Visit, waiver: Waiver) -> list[Decision]:
        """Renew a waiver in the second half of its life; say once that an entry of a file covers a peer."""
        ip, conduct, at = visit.ip, visit.conduct, visit.at
        if waiver.granted is None:
            if not conduct.is_news(None, Rule.KNOWN_LEGACY):
                return []
            why = f"An entry of the known-legacy list covers it: {waiver.reason} (owner: {waiver.owner})."
            known = Ruling(Action.WAIVE, Rule.KNOWN_LEGACY, (why,), waiver.level)
            return [_decision(known, ip, conduct, visit.session.cause, at, waiver.until)]
        lifetime = self._policy.rule(waiver.cause or Cause.UNKNOWN).lifetime
        if at is None or not waiver.automatic or not waiver.renewable or waiver.until - at > lifetime / 2:
            return []
        renewed = waiver.renewed(at, lifetime)
        self._waivers.put(renewed)
        conduct.forget_failures()
        why = "It was used, so that it is renewed"
        why += "." if renewed.renewable else ", for the last time: the longest time is reached."
        ruling = Ruling(Action.EXTEND, Rule.USED, (why,), waiver.level)
        return [_decision(ruling, ip, conduct, waiver.cause, at, renewed.until, visit.session.lines)]

    def _ended(self, visit: Visit, waiver: Waiver, rule: Rule, why: str) -> list[Decision]:
        """Withdraw an automatic waiver before its time; of any other only say that it could go."""
        ip, conduct, at, lines = visit.ip, visit.conduct, visit.at, visit.session.lines
        if rule is Rule.USELESS:
            conduct.useless |= {waiver.level}
        if waiver.automatic and at is not None:
            self._waivers.withdraw(waiver)
            return [self._withdrawn(waiver, at, rule, why, lines)]
        if not conduct.is_news(None, rule):
            return []
        stays = f"Its waiver is {waiver.owner}'s, and stays until a person ends it."
        advice = Ruling(Action.ADVISE, rule, (why, stays), None, (f"mailtlsctl revoke {ip}",))
        return [_decision(advice, ip, conduct, waiver.cause, at, waiver.until, lines)]

    def _withdrawn(self, waiver: Waiver, at: datetime, rule: Rule, why: str, lines: tuple[str, ...] = ()) -> Decision:
        conduct = self._rooms.seen(waiver.network) or Conduct()
        if rule is Rule.EXPIRED and waiver.origin is Origin.POLICY:
            conduct.spent = conduct.spent or not waiver.renewable
        conduct.begin_anew()
        self._rooms.kept.discard(waiver.network)
        ruling = Ruling(Action.WITHDRAW, rule, (why,), waiver.level)
        return _decision(ruling, waiver.network, conduct, waiver.cause, at, lines=lines)


def _decision(
    ruling: Ruling,
    ip: str,
    conduct: Conduct,
    cause: Cause | None,
    at: datetime | None,
    until: datetime | None = None,
    lines: tuple[str, ...] = (),
) -> Decision:
    """Put a ruling and whom it concerns together; the lines of this very session come after those before it."""
    proof = tuple(line[:EVIDENCE_LINE_LENGTH] for line in lines[-3:])
    return Decision(
        action=ruling.action,
        rule=ruling.rule,
        peer=Peer(ip, conduct.name),
        at=at,
        cause=cause,
        reasons=ruling.reasons,
        level=ruling.level,
        until=until,
        evidence=(*conduct.evidence, *(line for line in proof if line not in conduct.evidence)),
        alternatives=ruling.alternatives,
    )


def _over(waiver: Waiver) -> str:
    if waiver.renewable:
        return "Its time is over, and it was not used in the second half of it."
    return "Its time is over."


def _looked_and_left(session: Session) -> bool:
    """Tell whether the statistics say that the peer read the EHLO answer and left (Postfix 3.0 and later)."""
    return session.commands is not None and set(session.commands.split()) == _LOOKED_AND_LEFT


def _with_offset(at: datetime | None) -> datetime | None:
    """Take a time without offset for UTC, so that all can be compared."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _in_time(decision: Decision) -> tuple[float, str, str]:
    moment = decision.at.timestamp() if decision.at is not None else 0.0
    return (moment, str(decision.peer), str(decision.cause))
