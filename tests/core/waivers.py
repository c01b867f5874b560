"""Waivers, events, requests and policies for tests, built from short words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from mailtls.core.cause import Cause
from mailtls.core.keeperprotocol import Event, Grant, LiveWaiver, Step
from mailtls.core.knownlegacy import NOBODY, KnownPeers, parse_known_peers
from mailtls.core.level import Level
from mailtls.core.objection import Bounds, Kind, Requester
from mailtls.core.policy import Policy, parse_policy
from mailtls.core.register import Register
from mailtls.core.waiver import Origin

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ROOT = Requester(Kind.PERSON, "root")
ALICE = Requester(Kind.PERSON, "alice")
DAEMON = Requester(Kind.DAEMON, "mailtlsd")
EVERY_LEVEL = frozenset(Level)

POLICY = parse_policy(
    """
    [causes.peer_too_old]
    action = "waive"
    level_floor = "cleartext"
    after = { sessions = 3, within = "24h", spread = "10m" }
    lifetime = "30d"
    longest = "180d"
    [causes.not_tls]
    action = "advise"
    [limits]
    automatic = ["legacy", "cleartext"]
    waivers = 50
    per_day = 20
    widest = { ipv4 = 24, ipv6 = 48 }
    [never]
    networks = ["10.0.0.0/8", "::1"]
    """,
    "policy.toml",
)


def days(count: float) -> timedelta:
    return timedelta(days=count)


def known(text: str, policy: Policy = POLICY) -> KnownPeers:
    return parse_known_peers(text, "known-legacy.toml", policy)


def bounds(**changes: Any) -> Bounds:
    return Bounds(**{"policy": POLICY, "known": NOBODY, **changes})


def asked(network: str = "192.0.2.7", **changes: Any) -> Grant:
    """What mailtlsd asks for when all is in order; a test spoils one thing."""
    fields: dict[str, Any] = {
        "id": "policy-" + "".join(each if each.isalnum() or each in ".:" else "-" for each in network),
        "network": network,
        "level": Level.CLEARTEXT,
        "until": NOW + days(30),
        "latest": NOW + days(180),
        "reason": "peer_too_old: it failed",
        "cause": Cause.PEER_TOO_OLD,
    }
    return Grant(**{**fields, **changes})


def waiver(network: str = "192.0.2.7", **changes: Any) -> LiveWaiver:
    fields: dict[str, Any] = {
        "id": f"policy-{network.replace('/', '-')}",
        "network": network,
        "level": Level.CLEARTEXT,
        "owner": "policy",
        "reason": "peer_too_old: it failed",
        "granted": NOW,
        "until": NOW + days(30),
        "latest": NOW + days(180),
        "origin": Origin.POLICY,
        "cause": Cause.PEER_TOO_OLD,
    }
    return LiveWaiver(**{**fields, **changes})


def persons(network: str = "192.0.2.7", **changes: Any) -> LiveWaiver:
    """A person's waiver, whose end is final."""
    until = changes.pop("until", NOW + days(7))
    given = {"id": f"person-{network.replace('/', '-')}", "owner": "alice", "origin": Origin.PERSON, "cause": None}
    return waiver(network, **{**given, "until": until, "latest": until, **changes})


def listed(network: str = "192.0.2.7", **changes: Any) -> LiveWaiver:
    """An entry of known-legacy.toml."""
    until = changes.pop("until", NOW + days(90))
    fields = {"id": f"known-legacy:{network.replace('/', '-')}", "origin": Origin.KNOWN_LEGACY, "granted": None}
    return waiver(network, **{**fields, "until": until, "latest": until, "cause": None, **changes})


def event(number: int, step: Step, of: LiveWaiver, by: str = "mailtlsd", at: datetime = NOW) -> Event:
    return Event(number=number, at=at, step=step, waiver=of, by=by)


def replayed(events: Iterable[Event]) -> Register:
    """Make the list that these events make."""
    register = Register()
    for each in events:
        register.apply(each)
    return register
