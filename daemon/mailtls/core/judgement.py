"""What the policy makes of one peer that fails in one way: the rules of deciding, in their order.

`RULES` is the table. Each rule looks at the case and answers with a Ruling, or passes. The first answer stands; the
last rule always answers. What speaks against letting a peer down comes before what speaks for it, and what is
certain before what is counted.

SECURITY: a failed handshake is written by strangers, and anybody on the path can break one to win a downgrade. So
good history, the never-lists and the floor are asked before any threshold; see DESIGN "Deciding".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.conduct import Conduct, Series
from mailtls.core.decision import Rule, Ruling
from mailtls.core.duration import say_duration
from mailtls.core.knownlegacy import KnownPeer
from mailtls.core.level import Level, Need
from mailtls.core.policy import Policy
from mailtls.core.rule import DEFAULT_AFTER, After, CauseRule

RSA_FIRST = (
    "add an RSA certificate beside the ECDSA one: smtpd_tls_chain_files = rsa.pem, ecdsa.pem (Postfix 3.4 and later), "
    "then postfix reload"
)


@dataclass(frozen=True, slots=True)
class Case:
    """All that bears on one decision. `entry`: known peer that authorises this one by its name.

    `standing`, `today`: automatic waivers that stand, and that were granted in the 24 hours before `at`. `doors`: those
    that are known to be made, by their levels.
    """

    policy: Policy
    ip: str
    conduct: Conduct
    cause: Cause
    series: Series
    need: Need
    entry: KnownPeer | None
    at: datetime | None
    standing: int
    today: int
    doors: frozenset[Level] = frozenset()

    @property
    def rule(self) -> CauseRule:
        """The policy's rule for the cause."""
        return self.policy.rule(self.cause)

    @property
    def after(self) -> After:
        """The threshold that holds."""
        if self.rule.after is not None:
            return self.rule.after
        return After(sessions=1) if self.advises else DEFAULT_AFTER

    @property
    def advises(self) -> bool:
        """Tell whether neither the policy nor a known-legacy entry wants more than advice."""
        return self.rule.action is Action.ADVISE and self.entry is None

    @property
    def level(self) -> Level | None:
        """The narrowest level that would work and that policy or entry allow; None where there is none.

        Where the policy waives, a level that it may give is preferred to a narrower one that it may only propose:
        a waiver that stands lets mail in, a proposal waits.
        """
        allowed = self._allowed()
        if self.entry is None and self.rule.action is Action.WAIVE:
            given = (level for level in allowed if level in self.policy.limits.automatic)
            return next(given, next(iter(allowed), None))
        return next(iter(allowed), None)

    @property
    def floor(self) -> Level | None:
        """How far down the entry, or else the policy, lets this peer go."""
        return self.entry.level if self.entry is not None else self.rule.level_floor

    def _allowed(self) -> tuple[Level, ...]:
        floor = self.floor
        if floor is None:
            return ()
        useless = self.conduct.useless | ({Level.CLEARTEXT} if self.conduct.refuses_cleartext else frozenset())
        levels = tuple(level for level in self.need.levels if floor.reaches(level) and level not in useless)
        if self.entry is not None and not self.need.determined:
            return tuple(level for level in levels if level is floor)  # the entry says what the line does not
        return levels


def judge(case: Case) -> Ruling:
    """Decide one case by the first rule that has an answer."""
    for rule in RULES:
        ruling = rule(case)
        if ruling is not None:
            return ruling
    raise RuntimeError("the last rule of RULES always answers")


def by_hand(ip: str, level: Level) -> str:
    """Give the command with which a person lets a peer down."""
    return f"mailtlsctl allow-legacy {ip} --level {level} --for 30d --reason TEXT"


def _advise(rule: Rule, *reasons: str, alternatives: tuple[str, ...] = ()) -> Ruling:
    return Ruling(Action.ADVISE, rule, reasons, None, alternatives)


def _person(case: Case) -> tuple[str, ...]:
    """What a person may do: the narrowest levels that would work, whatever the policy allows."""
    if not case.need.determined:
        return _undetermined_remedies(case)
    helpful = [level for level in case.need.levels if level not in case.conduct.useless]
    return (*_server_first(case), *(by_hand(case.ip, level) for level in helpful[:1]))


def _server_first(case: Case) -> tuple[str, ...]:
    """What lets the peer in and weakens nothing, where a hello tells that it would."""
    return (RSA_FIRST,) if case.need.rsa_beside else ()


def _undetermined_remedies(case: Case) -> tuple[str, ...]:
    """An RSA certificate where one is missing; then the narrowest door that is there."""
    made = (level for level in case.need.levels if level in case.doors and level not in case.conduct.useless)
    first = () if Level.LEGACY_RSA in case.need.vain else (RSA_FIRST,)
    return (*first, *(by_hand(case.ip, level) for level in [next(made, None)] if level is not None))


def _ignored(case: Case) -> Ruling | None:
    if case.rule.action is not Action.IGNORE or case.entry is not None:
        return None
    return Ruling(Action.IGNORE, Rule.POLICY, (f"The policy ignores {case.cause}.",))


def _scanner(case: Case) -> Ruling | None:
    if not case.conduct.scanner:
        return None
    tried = ", ".join(reason for _, reason in case.conduct.tried)
    why = f"It failed for {len(case.conduct.tried)} different reasons within minutes and never sent mail: {tried}."
    return Ruling(Action.IGNORE, Rule.SCANNER, (why, "That is what scanners do."))


def _never(case: Case) -> Ruling | None:
    never = case.policy.never
    found = never.covers_address(case.ip) or never.covers_name(case.conduct.name)
    if found is None or not case.need.levels:
        return None
    return _advise(
        Rule.NEVER,
        f"{found} of the policy's never-lists covers it, so that it gets no waiver.",
        f"If it used to get in, look at the server first: {case.need.why}.",
    )


def _no_door(case: Case) -> Ruling | None:
    if case.need.levels or not _counted(case):
        return None
    return _advise(Rule.NO_DOOR, f"No door helps: {case.need.why}.")


def _good_history(case: Case) -> Ruling | None:
    good = case.conduct.good
    if good is None or not case.need.levels:
        return None
    shown = f"completed {good}" if good else "completed a handshake, of a version that was not logged,"
    return _advise(
        Rule.GOOD_HISTORY,
        f"It has {shown} at the strict door, so that it can do better, and a broken handshake may be somebody's "
        "on the path; it is not waived automatically.",
        alternatives=_person(case),
    )


def _falls_back(case: Case) -> Ruling | None:
    since = case.conduct.fell_back
    if since is None or not _within(case, since) or not _counted(case):
        return None
    return _advise(
        Rule.FALLS_BACK,
        "It fails, and then delivers in cleartext by itself: no outage, no waiver; its mail is not encrypted.",
        alternatives=_person(case),
    )


def _recovered(case: Case) -> Ruling | None:
    since = case.conduct.recovered
    if since is None or not _within(case, since) or not _counted(case):
        return None
    why = f"It fails, but completed TLS at the strict door less than {say_duration(case.after.within)} ago: no outage."
    return Ruling(Action.IGNORE, Rule.RECOVERED, (why,))


def _within(case: Case, since: datetime) -> bool:
    return case.at is None or case.at - since <= case.after.within


def _advised(case: Case) -> Ruling | None:
    if not case.advises or not _counted(case):
        return None
    return _advise(Rule.POLICY, f"The policy only advises: {case.need.why}.", alternatives=_person(case))


def _undetermined(case: Case) -> Ruling | None:
    """Without a ClientHello nothing tells which door: 0x0C1 is mended by an RSA certificate more often than not."""
    if case.need.determined or case.entry is not None or not _counted(case):
        return None
    return _advise(
        Rule.UNDETERMINED,
        f"The line does not tell which door would help: {case.need.why}.",
        alternatives=_undetermined_remedies(case),
    )


def _counted(case: Case) -> bool:
    """Tell whether advice is due; it needs no stamps, unlike anything that lets a peer down."""
    after = case.after
    if case.at is None:
        return case.series.count >= after.sessions
    return len(case.series.times) >= after.sessions and case.series.spread >= after.spread


def _no_stamps(case: Case) -> Ruling | None:
    if case.at is not None:
        return None
    return _advise(
        Rule.NO_STAMPS,
        "The log's lines have no time, so that no threshold can be met; "
        f"{_sessions(case.series.count)} failed: {case.need.why}.",
        alternatives=_person(case),
    )


def _not_yet(case: Case) -> Ruling | None:
    if _counted(case):
        return None
    after, series = case.after, case.series
    why = f"Only {_sessions(len(series.times))} failed within {say_duration(after.within)}; {after.sessions} are asked."
    if len(series.times) >= after.sessions:
        why = (
            f"{_sessions(len(series.times))} failed within {say_duration(series.spread)}; "
            f"the first and the last must be {say_duration(after.spread)} apart."
        )
    return _advise(Rule.NOT_YET, why, f"The handshake failed: {case.need.why}.", alternatives=_person(case))


def _useless(case: Case) -> Ruling | None:
    tried = set(case.need.levels) & case.conduct.useless
    refuses = case.conduct.refuses_cleartext and Level.CLEARTEXT in case.need.levels
    if case.level is not None or not (tried or (refuses and case.floor is Level.CLEARTEXT)):
        return None
    if tried:
        why = f"A waiver to {', '.join(sorted(tried))} was tried and did not help."
    else:
        why = "It leaves without sending where it finds no TLS (ehlo=1 quit=1), so that cleartext would not help."
    return _advise(Rule.USELESS, why, alternatives=_person(case))


def _floor(case: Case) -> Ruling | None:
    if case.level is not None:
        return None
    needed = next((level for level in case.need.levels if level not in case.conduct.useless), case.need.levels[0])
    if needed is Level.CLEARTEXT and case.need.vain:
        return _advise(Rule.NO_DOOR, f"No door helps: {case.need.why}.", alternatives=(by_hand(case.ip, needed),))
    if case.entry is not None:
        limit = f"known-legacy authorises {case.entry.name} up to {case.entry.level} only"
    else:
        limit = f"the policy's level_floor for {case.cause} is {case.floor}"
    return _advise(
        Rule.FLOOR, f"It needs {needed}, but {limit}: {case.need.why}.", alternatives=(by_hand(case.ip, needed),)
    )


def _propose(case: Case, rule: Rule, why: str) -> Ruling:
    level = case.level
    alternatives = (by_hand(case.ip, level),) if level is not None else ()
    return Ruling(Action.PROPOSE, rule, (why, _met(case)), level, (*_server_first(case), *alternatives))


def _not_automatic(case: Case) -> Ruling | None:
    if case.entry is not None or case.level in case.policy.limits.automatic:
        return None
    return _propose(case, Rule.NOT_AUTOMATIC, f"It needs {case.level}, which this policy never gives by itself.")


def _proposed(case: Case) -> Ruling | None:
    if case.entry is not None or case.rule.action is not Action.PROPOSE:
        return None
    return _propose(case, Rule.POLICY, f"The policy wants a person's word for {case.cause}.")


def _nameless(case: Case) -> Ruling | None:
    """postscreen and tlsproxy print no names: the never-list cannot be asked."""
    if case.conduct.name is not None or not case.policy.never.names:
        return None
    return _propose(
        case, Rule.NEVER, "The never-list holds names, and no line gives this peer's name; see that it is none of them."
    )


def _longest(case: Case) -> Ruling | None:
    if not case.conduct.spent:
        return None
    longest = say_duration(case.rule.longest)
    return _propose(
        case, Rule.LONGEST, f"Its waiver was renewed up to the longest time, {longest}; a person decides now."
    )


def _quota(case: Case) -> Ruling | None:
    limits = case.policy.limits
    if case.standing >= limits.waivers:
        why = f"{case.standing} automatic waivers stand, and limits.waivers is {limits.waivers}."
    elif case.today >= limits.per_day:
        why = f"{case.today} automatic waivers were granted in 24 hours, and limits.per_day is {limits.per_day}."
    else:
        return None
    return _propose(case, Rule.QUOTA, why)


def _waive(case: Case) -> Ruling:
    rule = Rule.THRESHOLD
    reasons: tuple[str, ...] = (_met(case), f"The handshake failed: {case.need.why}.")
    if case.entry is not None:
        rule = Rule.KNOWN_LEGACY
        reasons = (f"known-legacy authorises {case.entry.name} up to {case.entry.level}.", *reasons)
    alternatives = _server_first(case)
    if case.level is Level.CLEARTEXT and case.need.levels[0] is not Level.CLEARTEXT:
        alternatives = (*alternatives, by_hand(case.ip, case.need.levels[0]))
    return Ruling(Action.WAIVE, rule, reasons, case.level, alternatives)


def _met(case: Case) -> str:
    series = case.series
    return (
        f"{_sessions(len(series.times))} failed within {say_duration(case.after.within)}, "
        f"the first and the last {say_duration(series.spread)} apart, with no success between them."
    )


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"


RULES: tuple[Callable[[Case], Ruling | None], ...] = (
    _scanner,
    _ignored,
    _no_door,
    _never,
    _good_history,
    _falls_back,
    _recovered,
    _advised,
    _undetermined,
    _no_stamps,
    _not_yet,
    _useless,
    _floor,
    _not_automatic,
    _proposed,
    _nameless,
    _longest,
    _quota,
    _waive,
)
