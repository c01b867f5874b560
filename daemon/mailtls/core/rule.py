"""Rules and bounds: what one cause leads to, and what nothing may exceed.

The pieces of a policy file, each default beside its field with its unit; `policy` puts them together and
`docs/policy.md` explains each key. Networks and names stay the operator's text here, so that a refusal
(`contradiction`) can repeat them; they are parsed where they are asked.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mailtls.core.action import Action
from mailtls.core.duration import parse_duration
from mailtls.core.level import Level

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]

MOST_SESSIONS = 20  # failures of one kind that are remembered of one peer


class Table(BaseModel):
    """A table of an operator's file: unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class After(Table):
    """How much must have happened before a peer is proposed or waived."""

    sessions: Annotated[int, Field(strict=True, ge=1, le=MOST_SESSIONS)] = 3
    """Failed sessions of one kind, with no success between them."""
    within: Duration = timedelta(hours=24)
    """Counted back from the latest failure; older ones do not count."""
    spread: Duration = timedelta(0)
    """Least time from the first to the last counted failure: a burst is one attempt."""


DEFAULT_AFTER = After(spread=timedelta(minutes=10))
"""What is asked where the policy names no `after` and something other than advice is at stake."""


class CauseRule(Table):
    """What one cause leads to."""

    action: Literal[Action.IGNORE, Action.ADVISE, Action.PROPOSE, Action.WAIVE] = Action.ADVISE
    level_floor: Level | None = None
    """Never further down than this; needed for `propose` and `waive`."""
    after: After | None = None
    """Needed for `waive`; None: advice at once, proposals after 3 sessions in 24 h, 10 min apart."""
    lifetime: Duration = timedelta(days=30)
    """A waiver ends this long after it was granted or last renewed."""
    longest: Duration = timedelta(days=180)
    """No renewal moves the end further than this from the grant; then a person is asked."""


class Widest(Table):
    """The shortest prefixes that a known-legacy network may have, in bits."""

    ipv4: Annotated[int, Field(strict=True, ge=0, le=32)] = 24
    ipv6: Annotated[int, Field(strict=True, ge=0, le=128)] = 48


class Limits(Table):
    """Bounds on everything that is given automatically, whatever the causes say."""

    automatic: tuple[Level, ...] = (Level.LEGACY_RSA, Level.LEGACY)
    """Levels that the policy may waive without a person's word."""
    waivers: Count = 200
    """Automatic waivers that may stand at one time."""
    per_day: Count = 20
    """Automatic waivers that may be granted in any 24 hours."""
    widest: Widest = Widest()


class Never(Table):
    """Who is never waived automatically."""

    networks: tuple[str, ...] = ()
    """Addresses and networks, without host bits."""
    names: tuple[str, ...] = ()
    """`.example.com`: this name and all below it, as Postfix prints them (forward-confirmed)."""

    @cached_property
    def parsed(self) -> tuple[Network, ...]:
        """The networks as values."""
        return tuple(ipaddress.ip_network(network) for network in self.networks)

    def covers_address(self, ip: str) -> str | None:
        """Give the network of the list that holds this address, or None."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        return next((str(network) for network in self.parsed if address in network), None)

    def covers_name(self, name: str | None) -> str | None:
        """Give the name of the list that covers this one, or None; `unknown` and None match nothing."""
        return next((suffix for suffix in self.names if name_is_under(name, suffix)), None)


def name_is_under(name: str | None, suffix: str) -> bool:
    """Tell whether a printed name is `suffix` without its dot, or below it; without a dot only the name itself.

    `unknown` is what Postfix prints where no name was forward-confirmed (smtpd_peer.c): it matches nothing.
    """
    if name is None:
        return False
    name, suffix = name.rstrip(".").lower(), suffix.rstrip(".").lower()
    if name in ("", "unknown"):
        return False
    return name == suffix.removeprefix(".") or (suffix.startswith(".") and name.endswith(suffix))
