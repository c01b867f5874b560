"""Objections: everything that can speak against a waiver that somebody asks for.

Each check is a function of the case that gives one sentence, what was refused and what to do, or None. The tables
`EVERYBODY`, `PERSONS` and `DAEMON` say which hold for whom; the first sentence is the answer.

BUGS: the keeper talks to no network, so it cannot look up a peer's name: that an address has the name of the
known-legacy entry that it cites is mailtlsd's word. Quotas, the entry's level and its end bound what a lie can win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mailtls.core.action import Action
from mailtls.core.contradiction import wider_than
from mailtls.core.duration import LONGEST, say_duration
from mailtls.core.keeperprotocol import Grant
from mailtls.core.knownlegacy import KnownPeer, KnownPeers
from mailtls.core.level import Level, levels_for
from mailtls.core.policy import Policy
from mailtls.core.printable import printable
from mailtls.core.register import Register, is_from_file
from mailtls.core.rule import CauseRule, Network

SLACK = timedelta(minutes=1)
"""How far an end may lie beyond what the policy gives: the request was on its way, or the clock was corrected."""

SERVED = frozenset({Level.CLEARTEXT})
"""Levels whose remedy every machine has; a door is there after `mailtlsctl setup`."""


class Kind(StrEnum):
    """Who speaks over a connection."""

    PERSON = "person"
    DAEMON = "daemon"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. `name`: `root`, a login, or `mailtlsd`."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the operator has laid down. `policy` None: it cannot be read, and nothing is given automatically.

    `encrypt`: the port-25 service demands TLS. `opaque`: the operator's table whose entries cannot be listed, so that
    no network can be waived beside it. `served`: levels whose remedy exists; `closed`: why those that cannot be used at
    present cannot. `own`: the site's own networks (mynetworks).
    """

    policy: Policy | None
    known: KnownPeers
    encrypt: bool = False
    opaque: str | None = None
    served: frozenset[Level] = SERVED
    closed: Mapping[Level, str] = field(default_factory=dict)
    own: tuple[Network, ...] = ()

    def own_network(self, network: Network, level: Level) -> Network | None:
        """Give the site's own network that this one touches, where the level's door would take relaying from it."""
        if level is Level.CLEARTEXT:
            return None
        return next((each for each in self.own if each.version == network.version and each.overlaps(network)), None)


@dataclass(frozen=True, slots=True)
class Case:
    """One request for a waiver, with what it is held against. `peer` is canonical."""

    requester: Requester
    ask: Grant
    peer: str
    network: Network
    bounds: Bounds
    register: Register
    now: datetime

    @property
    def rule(self) -> CauseRule:
        """The policy's rule for the cause; what is not named is only advised."""
        policy = self.bounds.policy
        return policy.rule(self.ask.cause) if policy is not None and self.ask.cause is not None else CauseRule()

    @property
    def entry(self) -> KnownPeer | None:
        """The known-legacy entry that the request cites, if it stands and reaches the level."""
        return authorising(self.bounds.known, self.ask.authority, self.ask.level, self.now)

    @property
    def latest(self) -> datetime:
        """The end that no renewal may pass; a person's waiver has it where it ends."""
        if self.requester.kind is Kind.PERSON:
            return self.ask.until
        return max(self.ask.latest or self.ask.until, self.ask.until)


def authorising(known: KnownPeers, name: str | None, level: Level, now: datetime) -> KnownPeer | None:
    """Find the standing entry of this name that reaches this level."""
    for entry in known.peer:
        if name is not None and entry.name == name and entry.level.reaches(level) and now < entry.ends:
            return entry
    return None


# --- the checks --------------------------------------------------------------------------------------------------


def _no_door(case: Case) -> str | None:
    level = case.ask.level
    if level in case.bounds.served:
        return case.bounds.closed.get(level)
    gateway = "NSS (libnss3) is there and speaks SSLv3"
    where = gateway if level is Level.SSLV3 else "it takes anything that the strict door does not"
    return (
        f"level {level} is not served here: its door does not exist on this machine; mailtlsctl setup makes it, where "
        f"{where}"
    )


def _relaying(case: Case) -> str | None:
    own = case.bounds.own_network(case.network, case.ask.level)
    if own is None:
        return None
    return (
        f"{case.peer} is in {own} of mynetworks, and at a door nobody may relay: it could send no mail out any more; "
        "let it use the submission port (587), or take it out of mynetworks and run mailtlsctl setup"
    )


def _tls_demanded(case: Case) -> str | None:
    if case.ask.level is not Level.CLEARTEXT or not case.bounds.encrypt:
        return None
    return (
        "cleartext would lock the peer out: the port-25 service has smtpd_tls_security_level = encrypt and takes mail "
        "only after STARTTLS; it would have to be may (and postfix.security_level in mailtls.toml with it)"
    )


def _everybody(case: Case) -> str | None:
    if case.network.prefixlen:
        return None
    return f"{case.peer} is every address there is: that is no peer; name the address that fails"


def _nobody(case: Case) -> str | None:
    first = case.network.network_address
    if first.is_multicast or first.is_unspecified or (first.version == 4 and first.is_reserved):
        return f"{case.peer} is no address that a peer connects from; name one that mailtlsctl peers shows"
    return None


def _over_already(case: Case) -> str | None:
    if case.ask.until > case.now:
        return None
    return f"until {said(case.ask.until)} is over already; give a later end, such as --for 7d"


def _beside_opaque(case: Case) -> str | None:
    if "/" not in case.peer or case.bounds.opaque is None:
        return None
    return (
        f"{case.peer} is a network, and your own table {case.bounds.opaque} cannot be listed: what it says of single "
        "addresses in it would be lost; allow the addresses one by one"
    )


def _in_the_file(case: Case) -> str | None:
    if not any(is_from_file(waiver) for waiver in case.register.of(case.peer)):
        return None
    return f"{case.peer} is an entry of known-legacy.toml and waived by it; change that entry"


def _too_wide(case: Case) -> str | None:
    widest = wider_than(case.network, case.bounds.policy or Policy())
    if widest is None:
        return None
    key = f"limits.widest.ipv{case.network.version}"
    return f"{case.peer} is wider than /{widest}, the policy's {key}; allow a narrower network"


def _too_long(case: Case) -> str | None:
    if case.ask.until <= case.now + LONGEST + SLACK:
        return None
    return f"until {said(case.ask.until)} is more than ten years away; give at most --for {LONGEST.days}d"


def _no_policy(case: Case) -> str | None:
    if case.bounds.policy is not None:
        return None
    return "nothing is given automatically while the policy cannot be read; see the faults in mailtlsctl status"


def _network(case: Case) -> str | None:
    if "/" not in case.peer:
        return None
    return f"{case.peer} is a network, and networks are waived by persons only: mailtlsctl allow-legacy {case.peer}"


def _never(case: Case) -> str | None:
    policy = case.bounds.policy
    never = policy.never.covers_address(case.peer) if policy is not None else None
    if never is None:
        return None
    return (
        f"{case.peer} is in {never} of the policy's never.networks, and never waived automatically; "
        f"a person may: mailtlsctl allow-legacy {case.peer}"
    )


def _revoked(case: Case) -> str | None:
    revoked = case.register.revoked_by_person(case.peer)
    if revoked is None:
        return None
    when = said(case.register.revoked[revoked])
    return (
        f"a person ended the waiver of {revoked} on {when}, and only a person may give it again: "
        f"mailtlsctl allow-legacy {case.peer}"
    )


def _waived_already(case: Case) -> str | None:
    standing = case.register.covering(case.peer)
    if standing is None:
        return None
    return f"{case.peer} is waived already, as {standing.network} until {said(standing.until)}; renew that waiver"


def _no_cause(case: Case) -> str | None:
    if case.ask.cause is None:
        return "a waiver of the policy needs the cause that it is for; only persons may leave it out"
    if case.ask.level in levels_for(case.ask.cause):
        return None
    return f"{case.ask.level} does not help against {case.ask.cause}; nothing is given that helps nobody"


def _no_authority(case: Case) -> str | None:
    if case.ask.authority is None or case.entry is not None:
        return None
    name = printable(case.ask.authority, 100)
    return (
        f'no entry "{name}" in known-legacy.toml stands and reaches {case.ask.level}; if it should, correct its '
        "name, level or until"
    )


def _not_waived_by_policy(case: Case) -> str | None:
    if case.entry is not None:
        return None
    if case.rule.action is not Action.WAIVE:
        return (
            f'the policy says "{case.rule.action}" for {case.ask.cause}, not "waive"; a person may: '
            f"mailtlsctl allow-legacy {case.peer}"
        )
    if case.rule.level_floor is None or not case.rule.level_floor.reaches(case.ask.level):
        return f"{case.ask.level} lies below level_floor of {case.ask.cause} in the policy; a person may give it"
    return None


def _not_automatic(case: Case) -> str | None:
    policy, level = case.bounds.policy, case.ask.level
    if case.entry is not None:
        return None
    if policy is not None and level is not Level.SSLV3 and level in policy.limits.automatic:
        return None
    return (
        f"{level} is never given automatically here (limits.automatic of the policy); a person may: "
        f"mailtlsctl allow-legacy {case.peer} --level {level}"
    )


def _lives_too_long(case: Case) -> str | None:
    if case.ask.until <= case.now + case.rule.lifetime + SLACK:
        return None
    return (
        f"until {said(case.ask.until)} is further away than lifetime of {case.ask.cause} in the policy, "
        f"{say_duration(case.rule.lifetime)}; ask for no more, and renew while the waiver is used"
    )


def _renewable_too_long(case: Case) -> str | None:
    if case.latest <= case.now + case.rule.longest + SLACK:
        return None
    return (
        f"latest {said(case.latest)} is further away than longest of {case.ask.cause} in the policy, "
        f"{say_duration(case.rule.longest)}; beyond that a person is asked"
    )


def _beyond_the_entry(case: Case) -> str | None:
    entry = case.entry
    if entry is None or case.latest <= entry.ends:
        return None
    return f'entry "{printable(entry.name or "", 100)}" of known-legacy.toml ends {said(entry.ends)}; ask for no more'


def _quota(case: Case) -> str | None:
    policy = case.bounds.policy
    if policy is None:
        return None
    standing, lately = case.register.automatic(), case.register.granted_in_a_day(case.now)
    if standing >= policy.limits.waivers:
        return f"{standing} automatic waivers stand, the policy's limits.waivers; a person may still allow {case.peer}"
    if lately >= policy.limits.per_day:
        return (
            f"{lately} automatic waivers were given in the last 24 hours, the policy's limits.per_day; "
            f"a person may still: mailtlsctl allow-legacy {case.peer}"
        )
    return None


Check = Callable[[Case], str | None]
EVERYBODY: tuple[Check, ...] = (
    _no_door, _relaying, _tls_demanded, _everybody, _nobody, _over_already, _in_the_file,
)  # fmt: skip
PERSONS: tuple[Check, ...] = (_too_wide, _too_long, _beside_opaque)
DAEMON: tuple[Check, ...] = (
    _no_policy, _network, _never, _revoked, _waived_already, _no_cause, _no_authority, _not_waived_by_policy,
    _not_automatic, _lives_too_long, _renewable_too_long, _beyond_the_entry, _quota,
)  # fmt: skip


def objection(case: Case) -> str | None:
    """Give the first sentence that speaks against the waiver, or None."""
    checks = (*EVERYBODY, *(PERSONS if case.requester.kind is Kind.PERSON else DAEMON))
    return next((sentence for check in checks if (sentence := check(case))), None)


def said(at: datetime) -> str:
    """Spell a time for a sentence."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if at.year < 9000 else f"the year {at.year}"
