"""The mandate: may this one ask the keeper for that, and what waiver comes of it?

Whoever speaks for mailtlsd may have been taken over by a stranger whose log lines it reads. So what mailtlsd asks for
is held against the root-owned policy, request by request, and nothing that mailtlsd says of itself counts: levels,
lifetimes, quotas, nevers, revocations by persons (`objection`). A person (root, or a member of the operators' group)
is bounded only by what exists, by `limits.widest`, and by the calendar; a person's end is final.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from mailtls.core.action import Action
from mailtls.core.contradiction import network_fault
from mailtls.core.duration import say_duration
from mailtls.core.keeperprotocol import Grant, LiveWaiver, Renew, Withdraw
from mailtls.core.knownlegacy import KnownPeer
from mailtls.core.objection import SLACK, Bounds, Case, Kind, Requester, authorising, objection, said
from mailtls.core.peer import canonical_ip
from mailtls.core.printable import printable
from mailtls.core.register import Register, is_automatic, is_from_file
from mailtls.core.waiver import Origin
from mailtls.core.waiverlimit import Limited, limit_fault, limited

LEAST_GAIN = 10
"""A renewal must move the end by a tenth of the lifetime, so that nobody floods the ledger with renewals."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, in one sentence: what was refused, why, and what to do."""

    sentence: str


def canonical_network(text: str) -> str | Refusal:
    """Spell an address or network as the tables do; IPv4 in IPv6 becomes plain IPv4, as Postfix presents it."""
    spelled = canonical_ip(text.strip())
    if "%" in spelled:
        return Refusal(f"{printable(text, 80)} has a zone; name an address without %")
    if fault := network_fault(spelled):
        return Refusal(printable(fault, 300))
    network = ipaddress.ip_network(spelled)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        network = ipaddress.ip_network(f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}")
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def grant(requester: Requester, ask: Grant, bounds: Bounds, register: Register, now: datetime) -> LiveWaiver | Refusal:
    """Make the waiver that was asked for, or refuse it; the register is not changed."""
    peer = canonical_network(ask.network)
    if isinstance(peer, Refusal):
        return peer
    if ask.limits is not None and (fault := limit_fault(ask.limits.limits(), ask.level)) is not None:
        return Refusal(fault)
    case = Case(requester, ask, peer, ipaddress.ip_network(peer), bounds, register, now)
    refused = objection(case)
    return Refusal(refused) if refused is not None else _made(case)


def repeated(ask: Grant, register: Register) -> LiveWaiver | Refusal | None:
    """Answer a grant that was asked for before, by its id, as the first time; None where it is new."""
    known = register.ever(ask.id)
    if known is None or ask.dry_run:
        return None
    if known.network != canonical_network(ask.network) or known.level is not ask.level:
        return Refusal(f"id {ask.id} is taken by the waiver of {known.network}; ask with an id of its own")
    if ask.id not in register.standing:
        return Refusal(f"the waiver {ask.id} of {known.network} was given and has ended since; ask with a new id")
    return known


def _made(case: Case) -> LiveWaiver:
    ask, entry, person = case.ask, case.entry, case.requester.kind is Kind.PERSON
    owner, origin = (printable(ask.owner or "", 500).strip() or case.requester.name), Origin.PERSON
    if not person:
        owner, origin = (entry.owner, Origin.KNOWN_LEGACY) if entry is not None else ("policy", Origin.POLICY)
    return LiveWaiver(
        id=ask.id, network=case.peer, level=ask.level, owner=owner[:500], reason=printable(ask.reason, 500),
        granted=case.now, until=ask.until, latest=case.latest, origin=origin, cause=ask.cause,
        authority=None if person else ask.authority, limits=_limits(ask, entry, person=person),
    )  # fmt: skip


def _limits(ask: Grant, entry: KnownPeer | None, *, person: bool) -> Limited | None:
    """Take a person's limits, or those of the entry that authorises."""
    return ask.limits if person or entry is None else limited(entry.limits)


def renew(requester: Requester, ask: Renew, bounds: Bounds, register: Register, now: datetime) -> LiveWaiver | Refusal:
    """Move the end of a waiver that stands, or refuse to; the register is not changed."""
    waiver = register.standing.get(ask.id)
    if waiver is None:
        return Refusal(f"no waiver {ask.id} stands, so that there is nothing to renew")
    if not is_automatic(waiver):
        return Refusal(f"the waiver of {waiver.network} ends {said(waiver.until)} for good; {_allow(waiver)}")
    if requester.kind is Kind.PERSON:
        return Refusal(f"the waiver of {waiver.network} is renewed by its use; for a longer one {_allow(waiver)}")
    if ask.generation != waiver.generation:
        return Refusal(f"{waiver.network} was renewed meanwhile (generation {waiver.generation}, not {ask.generation})")
    refused = _not_renewed(waiver, ask.until, bounds, now)
    if refused is not None:
        return Refusal(refused)
    return waiver.model_copy(update={"until": ask.until, "generation": waiver.generation + 1})


def _allow(waiver: LiveWaiver) -> str:
    return f"mailtlsctl allow-legacy {waiver.network} --level {waiver.level} --for 30d"


def _not_renewed(waiver: LiveWaiver, until: datetime, bounds: Bounds, now: datetime) -> str | None:
    if bounds.policy is None or waiver.cause is None:
        return "nothing is renewed while the policy cannot be read; see the faults in mailtlsctl status"
    rule, entry = bounds.policy.rule(waiver.cause), authorising(bounds.known, waiver.authority, waiver.level, now)
    if waiver.until <= now:
        return f"the waiver of {waiver.network} ended {said(waiver.until)}; what is over is not renewed"
    if entry is None and (rule.action is not Action.WAIVE or waiver.level not in bounds.policy.limits.automatic):
        return f"the policy does not give {waiver.level} for {waiver.cause} any more; {_allow(waiver)}"
    if until > waiver.latest or (entry is not None and until > entry.ends):
        return f"{waiver.network} may be let in until {said(waiver.latest)} at most; beyond that a person is asked"
    if until > now + rule.lifetime + SLACK:
        return f"until {said(until)} is further away than lifetime, {say_duration(rule.lifetime)}; ask for no more"
    if until - waiver.until < rule.lifetime / LEAST_GAIN and (until != waiver.latest or until == waiver.until):
        return f"this would move the end of {waiver.network} by less than a tenth of its lifetime; ask later"
    return None


def withdraw(requester: Requester, ask: Withdraw, register: Register) -> tuple[LiveWaiver, ...] | Refusal:
    """Find the waivers that the request ends, or refuse; an id that stood once and stands no more gives none."""
    if ask.network is not None and requester.kind is Kind.PERSON:
        return _by_network(ask.network, register)
    if ask.id is None:
        return Refusal("which waiver is to end? mailtlsd names it by its id")
    waiver = register.standing.get(ask.id)
    if waiver is None:
        return () if register.ever(ask.id) is not None else Refusal(f"no waiver {ask.id} stands, or is remembered")
    if is_from_file(waiver):
        return _in_file(waiver.network)
    if requester.kind is Kind.DAEMON and not is_automatic(waiver):
        who = f"the waiver of {waiver.network} is {waiver.owner}'s"
        return Refusal(f"{who}, and only a person ends it: mailtlsctl revoke {waiver.network}")
    return (waiver,)


def _by_network(text: str, register: Register) -> tuple[LiveWaiver, ...] | Refusal:
    peer = canonical_network(text)
    if isinstance(peer, Refusal):
        return peer
    waivers = register.of(peer)
    ours = tuple(waiver for waiver in waivers if not is_from_file(waiver))
    if ours:
        return ours
    return _in_file(peer) if waivers else Refusal(f"no waiver stands for {peer}; those that do: mailtlsctl waivers")


def _in_file(peer: str) -> Refusal:
    return Refusal(f"{peer} is waived by an entry of known-legacy.toml; remove the entry, and the waiver ends with it")
