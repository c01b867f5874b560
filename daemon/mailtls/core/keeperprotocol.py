"""What is said over the keeper's socket: one JSON object a line, a reply for every request.

The keeper's list is the authority for live waivers. A request changes one waiver; there is no "replace all", so that
whoever lost his own memory withdraws nothing. A request that is repeated (same `id`, same `generation`) is answered
as the first time and changes nothing, so that a client that was killed before it read the reply may ask again.

The keeper knows by the socket's credentials who asks: uid 0 or a member of the operators' group is a person, the
daemon's uid is the daemon whatever its groups are, anybody else gets no word.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from mailtls.core.cause import Cause
from mailtls.core.level import Level
from mailtls.core.waiver import UNLIMITED, Origin, Waiver
from mailtls.core.waiverlimit import Limited

LONGEST_REQUEST = 64 * 1024
"""Bytes of one request with its line end; a longer one is refused and the connection closed."""

LONGEST_REPLY = 64 * 1024 * 1024
"""Bytes of one reply; a full list of 10,000 waivers has about 4 million."""

Text = Annotated[str, Field(max_length=500)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,80}$")]


class Message(BaseModel):
    """One line of either direction: unknown keys are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LiveWaiver(Message):
    """One waiver on the keeper's list; times with their offset.

    `id` names it for its whole life, `generation` grows by one with each renewal. `authority`: the name of the
    known-legacy entry that authorised it, None where none did. `granted` None: an entry of known-legacy.toml. `limits`:
    what it is good for, None: everything.
    """

    id: Identifier
    generation: int = 1
    network: Annotated[str, Field(max_length=64)]
    level: Level
    owner: Text
    reason: Text
    granted: AwareDatetime | None
    until: AwareDatetime
    latest: AwareDatetime
    origin: Origin
    cause: Cause | None = None
    authority: Text | None = None
    limits: Limited | None = None

    def waiver(self) -> Waiver:
        """Give it as a value of the core."""
        return Waiver(
            self.network, self.level, self.owner, self.reason,
            self.granted, self.until, self.latest, self.origin, self.cause,
            self.limits.limits() if self.limits is not None else UNLIMITED,
        )  # fmt: skip


class Grant(Message):
    """Let a peer down. `owner` is taken from a person's login where it is left out, and ignored from the daemon.

    `cause`: what it is for; the daemon must say it. `authority`: name of a known-legacy entry that authorises it.
    `limits`: what it shall be good for; from the daemon they are those of that entry, whatever it says.
    """

    op: Literal["grant"] = "grant"
    id: Identifier
    network: Annotated[str, Field(max_length=64)]
    level: Level
    until: AwareDatetime
    latest: AwareDatetime | None = None
    reason: Text
    owner: Text | None = None
    cause: Cause | None = None
    authority: Text | None = None
    limits: Limited | None = None
    dry_run: bool = False


class Renew(Message):
    """Move the end of a waiver; `generation` is the one that the requester knows."""

    op: Literal["renew"] = "renew"
    id: Identifier
    generation: int
    until: AwareDatetime


class Withdraw(Message):
    """End a waiver before its time, by `id` or, for persons, by `network`."""

    op: Literal["withdraw"] = "withdraw"
    id: Identifier | None = None
    network: Annotated[str, Field(max_length=64)] | None = None
    why: Text = ""
    rule: Text | None = None


class ListWaivers(Message):
    """Ask for all that stands; `about`: only what holds this address or network, or lies in it."""

    op: Literal["list"] = "list"
    about: Annotated[str, Field(max_length=64)] | None = None


class Events(Message):
    """Ask for what happened after event `since` (0: all that is kept), at most `limit` of it, oldest first.

    `follow`: keep the connection open, and send a reply for each new event as it happens.
    """

    op: Literal["events"] = "events"
    since: int = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    follow: bool = False


class KeeperStatus(Message):
    """Ask how the keeper fares."""

    op: Literal["status"] = "status"


Request = Annotated[Grant | Renew | Withdraw | ListWaivers | Events | KeeperStatus, Field(discriminator="op")]
REQUEST: TypeAdapter[Grant | Renew | Withdraw | ListWaivers | Events | KeeperStatus] = TypeAdapter(Request)


class Step(StrEnum):
    """One step in a waiver's life."""

    GRANTED = "granted"
    RENEWED = "renewed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Event(Message):
    """One thing that happened to the list. `number` counts up from 1 and never repeats.

    `by`: who wanted it (`root`, a login, `mailtlsd`, `known-legacy.toml`, `clock`); `why`: a sentence.
    """

    number: int
    at: AwareDatetime
    step: Step
    waiver: LiveWaiver
    by: Text
    why: Text = ""


class Fault(Message):
    """Something that the keeper cannot do at present: a word for metrics, and a sentence for the operator."""

    kind: Identifier
    sentence: Text


class DoorState(Message):
    """How one door fares. `up`: its probe succeeded lately, and peers are sent to it; `why_not`: a sentence if not."""

    level: Level
    port: int
    up: bool
    why_not: Text | None = None


class Health(Message):
    """How the keeper fares. `waivers`: how many stand, by level; `tables`: the files, as Postfix names them.

    `doors`: those of the view (core/postfixview.py); `conntrack`: how full the kernel's table of connections is, from
    0 to 1, None where it is not in use.
    """

    since: AwareDatetime
    waivers: dict[Level, int]
    last_event: int
    tables: tuple[str, ...]
    policy: str
    faults: tuple[Fault, ...] = ()
    doors: tuple[DoorState, ...] = ()
    conntrack: float | None = None


class Reply(Message):
    """The answer to one request.

    `ok` False: `refused` says in one sentence what was refused, why, and what to do. `live`: a look-up in the tables
    that Postfix reads has proved the change; `milliseconds` from the request's arrival to that proof.
    """

    ok: bool = True
    refused: str | None = None
    live: bool = False
    milliseconds: float | None = None
    waiver: LiveWaiver | None = None
    waivers: tuple[LiveWaiver, ...] = ()
    events: tuple[Event, ...] = ()
    health: Health | None = None
