"""What is said over mailtlsd's control socket: one JSON object a line, a reply for every request.

Everything here only asks: waivers are granted and withdrawn by the keeper, over a connection that mailtlsctl opens
itself. The replies are also what the commands print with `--json`: their fields are stable (docs/control.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.floor import Fate
from mailtls.core.helloshown import PeerHello
from mailtls.core.keeperprotocol import Fault, LiveWaiver, Message, Step
from mailtls.core.level import Level

LONGEST_REQUEST = 16 * 1024
LONGEST_REPLY = 64 * 1024 * 1024

Limit = Annotated[int, Field(ge=1, le=100_000)]
Whom = Annotated[str, Field(max_length=300)]


class AskStatus(Message):
    """How do you fare?"""

    op: Literal["status"] = "status"


class AskPeers(Message):
    """Whom do you know? The latest first. `whom`: an address, a network, a name or `.domain`."""

    op: Literal["peers"] = "peers"
    failing: bool = False
    whom: Whom | None = None
    limit: Limit = 1000


class AskExplain(Message):
    """What do you know of this peer, and why was decided what was decided?"""

    op: Literal["explain"] = "explain"
    whom: Whom


class AskWaivers(Message):
    """Which waivers stand?"""

    op: Literal["waivers"] = "waivers"


class AskHistory(Message):
    """What was decided and done? The latest first."""

    op: Literal["history"] = "history"
    whom: Whom | None = None
    limit: Limit = 200


class AskFloor(Message):
    """Who would no longer get in through the strict door of port 25, by what was negotiated in the last days?

    `version`: nothing below it (as Postfix names it); `ciphers`: up to TLS 1.2 no others (OpenSSL's names);
    `without_rsa`: no RSA certificate.
    """

    op: Literal["floor"] = "floor"
    version: Annotated[str, Field(max_length=10)] | None = None
    ciphers: Annotated[tuple[Annotated[str, Field(max_length=60)], ...], Field(max_length=250)] | None = None
    without_rsa: bool = False
    days: Annotated[int, Field(ge=1, le=3660)] = 30
    limit: Limit = 1000


class AskInventory(Message):
    """What do peers use at port 25, in the last days? `limit`: rows, those with the most messages first."""

    op: Literal["inventory"] = "inventory"
    days: Annotated[int, Field(ge=1, le=3660)] = 30
    limit: Limit = 1000


class AskWatch(Message):
    """Tell everything as it happens, until the connection is closed."""

    op: Literal["watch"] = "watch"


Question = Annotated[
    AskStatus | AskPeers | AskExplain | AskWaivers | AskHistory | AskFloor | AskInventory | AskWatch,
    Field(discriminator="op"),
]
QUESTION: TypeAdapter[
    AskStatus | AskPeers | AskExplain | AskWaivers | AskHistory | AskFloor | AskInventory | AskWatch
] = TypeAdapter(Question)


class SourceStatus(Message):
    """One log that is followed; `said`: a sentence.

    `state`: starting, following, waiting, silent, rate-limited, stalled, denied, vanished.
    """

    source: str
    state: str
    lag_seconds: float
    lines: int
    last_line: AwareDatetime | None = None
    said: str = ""


class ObserverStatus(Message):
    """How mailtls-observer fares, as far as mailtlsd hears of it.

    `passed`: packets that the kernel's filter let pass since the observer began. `hellos`, `matched`: heard since
    mailtlsd began, and of them matched with a session of the log. `lost`: what the observer could not take or tell
    since it began; `garbage`: datagrams that were no records. `ports_logged`: the log tells clients' ports
    (smtpd_client_port_logging), so that every match is exact.
    """

    running: bool
    passed: int
    hellos: int
    matched: int
    lost: int
    garbage: int
    ports_logged: bool


class Status(Message):
    """How mailtlsd fares. `keeper`: reachable; `remembers`: the store takes what it is given."""

    version: str
    since: AwareDatetime
    pid: int
    sources: tuple[SourceStatus, ...]
    keeper: bool
    remembers: bool
    policy: str
    peers: dict[str, int]
    waivers: dict[Level, int]
    sessions: int
    failures: int
    observer: ObserverStatus | None = None
    server_fault: str | None = None
    faults: tuple[Fault, ...] = ()


class KnownPeer(Message):
    """One peer. `state`: ok, failing, waived, scanner, quiet; counts of sessions at all services."""

    ip: str
    name: str | None
    state: str
    first_seen: AwareDatetime | None
    last_seen: AwareDatetime | None
    sessions: int
    failures: int
    mails: int
    cause: Cause | None = None
    reason: str | None = None
    tls_version: str | None = None
    waiver: LiveWaiver | None = None


class PastStep(Message):
    """One entry of the history: a decision of the policy, or a step in a waiver's life.

    `kind`: decision or waiver. `action`, `rule`: of a decision; `step`, `by`: of a waiver.
    """

    at: AwareDatetime | None
    kind: Literal["decision", "waiver"]
    ip: str | None
    name: str | None = None
    action: Action | None = None
    rule: str | None = None
    step: Step | None = None
    by: str | None = None
    cause: Cause | None = None
    level: Level | None = None
    until: AwareDatetime | None = None
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()


class DayCount(Message):
    """Sessions of one kind on one day (UTC)."""

    day: str
    service: str
    door: str
    outcome: str
    cause: str
    tls_version: str | None
    cipher: str | None
    sessions: int
    mails: int


class LastArrival(Message):
    """What a peer's last message came with, as Postfix itself told at DATA.

    `tls_version` None: cleartext, as far as Postfix sees; `keysize`: bits. `certificate`: the client's, none, shown or
    trusted; `subject` only of a trusted one. `good_sessions`: those with TLS 1.2 or later at the strict door, the last
    of them at `good_at`. `alarm`: the last verdict that was not simply yes, a sentence.
    """

    at: AwareDatetime
    door: str
    tls_version: str | None
    cipher: str | None
    keysize: int
    certificate: str
    subject: str | None = None
    fingerprint: str | None = None
    helo: str | None = None
    sender_domain: str | None = None
    good_sessions: int = 0
    good_at: AwareDatetime | None = None
    alarm: str | None = None
    alarm_at: AwareDatetime | None = None


class MessageCount(Message):
    """Messages of one kind on one day (UTC), as Postfix itself told at DATA."""

    day: str
    door: str
    tls_version: str | None
    cipher: str | None
    keysize: int
    certificate: str
    messages: int


class ExplainedKnownPeer(Message):
    """Everything that is remembered of one peer."""

    peer: KnownPeer
    days: tuple[DayCount, ...]
    history: tuple[PastStep, ...]
    evidence: tuple[str, ...]
    ruling: PastStep | None = None
    hello: PeerHello | None = None
    arrival: LastArrival | None = None
    messages: tuple[MessageCount, ...] = ()


class FloorPeer(Message):
    """One peer that a floor would touch.

    `fate`: lost (all of it is below), partly (some is), doubtful (its suite or certificate would go; whether it has
    another is not known). `sessions`, `mails`: those that are touched, of `all_sessions` with TLS there;
    `used`: with what. `by_hello`: OpenSSL's reason with which the stricter door would refuse its hello, where the fate
    rests on that.
    """

    ip: str
    name: str | None
    fate: Fate
    used: tuple[str, ...]
    sessions: int
    all_sessions: int
    mails: int
    last_day: str
    by_hello: str | None = None


class FloorForecast(Message):
    """Who would be touched, the surest and those with the most mail first; `touched`: how many there are in all.

    `days`: that were counted; `sessions`: with TLS at that door in them, of everybody. `spared`: peers that used what
    would go, and are not among them, because their hellos show that they have something else.
    """

    days: int
    sessions: int
    touched: int
    peers: tuple[FloorPeer, ...]
    spared: int = 0


class InventoryDay(Message):
    """What one row comes to on one day (UTC). `peers`: addresses; `sessions`: 0 where Postfix itself told."""

    day: str
    peers: int
    sessions: int
    messages: int


class InventoryRow(Message):
    """What some peers use at port 25.

    `source`: postfix (the policy service or the milter told of each message) or log (its lines told of sessions, with
    their messages): two books about the same mail, never to be added up. `encrypted` False: cleartext.
    `tls_version`, `cipher`: None where they are not known. `key_exchange`, `server_key`: what the cipher's name tells
    of them. `client_certificate`: none, shown or trusted; None where the log does not tell.
    """

    source: Literal["postfix", "log"]
    door: str
    encrypted: bool
    tls_version: str | None
    cipher: str | None
    key_exchange: str | None
    server_key: str | None
    client_certificate: str | None
    peers: int
    sessions: int
    messages: int
    by_day: tuple[InventoryDay, ...]


class Inventory(Message):
    """What peers use, the most frequent first. `peers`: addresses that were seen at port 25 in these days.

    `failed_sessions`: sessions whose handshake failed, by the log; no row has them. `found`: how many rows there are.
    """

    days: int
    peers: int
    failed_sessions: int
    found: int
    rows: tuple[InventoryRow, ...]


class Happening(Message):
    """One line of the live view. `kind`: session, decision, waiver, server, source, verdict."""

    at: AwareDatetime
    kind: Literal["session", "decision", "waiver", "server", "source", "verdict"]
    ip: str | None = None
    name: str | None = None
    what: str
    cause: Cause | None = None
    level: Level | None = None


class Answer(Message):
    """The reply to one question; `error`: one sentence where it could not be answered."""

    error: str | None = None
    status: Status | None = None
    peers: tuple[KnownPeer, ...] | None = None
    explained: tuple[ExplainedKnownPeer, ...] | None = None
    waivers: tuple[LiveWaiver, ...] | None = None
    history: tuple[PastStep, ...] | None = None
    floor: FloorForecast | None = None
    inventory: Inventory | None = None
    happening: Happening | None = None
