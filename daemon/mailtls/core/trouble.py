"""Trouble: what the failed handshakes of one peer have in common, and how its mail arrived after them.

A peer is judged by its port 25 (smtpd, postscreen) where it fails there, else by the services that people's own
devices use. Several mail servers, telephones and scanners may stand behind one address, so nothing that is
seen on one kind of service proves anything about the other kind.

Promises: pure, and the same whatever the order of the verdicts in `PeerHistory.verdicts` is. Logs without stamps are
understood as far as counts go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.history import FAILED, PeerHistory, Tally, Verdict

PORT_25 = frozenset({Service.SMTPD, Service.POSTSCREEN, Service.LMTP})
DEVICES = frozenset(Service) - PORT_25
# A peer that was seen to get in is held to have stopped only after this many failures in a row.
STOPPED = 3


class Arrival(Enum):
    """How mail (or a login) of a peer got in once its handshakes had begun to fail."""

    NOT = auto()
    BY_TLS = auto()  # the last handshakes succeeded at the strict door
    BY_WAIVER = auto()  # the last ones succeeded at a relaxed door, or in clear with STARTTLS hidden
    IN_CLEAR = auto()
    BY_TURNS = auto()  # some handshakes succeed, some fail


@dataclass(frozen=True, slots=True)
class Trouble:
    """The failures of one peer on one kind of service.

    `services`: where it fails, of the kind it is judged by; `elsewhere`: services of the other kind where it fails
    too. `causes` and `reasons`: with the number of sessions. `relaxed`: doors other than strict where it fails.
    `failed`: all these failures; `worked`: complete handshakes at the strict door on services of this kind;
    `modern`: those of them with TLS 1.2 or better.
    """

    services: frozenset[Service]
    elsewhere: frozenset[Service]
    causes: Counter[Cause]
    reasons: Counter[str]
    relaxed: frozenset[Door]
    broken_here: bool
    failed: Tally
    worked: Tally
    modern: Tally

    @property
    def of_a_device(self) -> bool:
        """Tell whether only services fail that people's own devices use."""
        return not self.services & PORT_25


def read_trouble(peer: PeerHistory) -> Trouble:
    """Add up the failures of a peer; `failed.count` is 0 where it has none."""
    failing = [(verdict, tally) for verdict, tally in peer.verdicts.items() if verdict.outcome in FAILED]
    at_port_25 = [(verdict, tally) for verdict, tally in failing if verdict.service in PORT_25]
    judged = at_port_25 or failing
    kind = PORT_25 if at_port_25 else DEVICES
    causes: Counter[Cause] = Counter()
    reasons: Counter[str] = Counter()
    for verdict, tally in judged:
        causes[verdict.cause] += tally.count
        reasons[verdict.reason or ""] += tally.count
    worked = [item for item in peer.verdicts.items() if succeeded(item[0]) and item[0].service in kind]
    return Trouble(
        services=frozenset(verdict.service for verdict, _ in judged),
        elsewhere=frozenset(verdict.service for verdict, _ in failing) - kind,
        causes=causes,
        reasons=reasons,
        relaxed=frozenset(verdict.door for verdict, _ in judged) - {Door.STRICT},
        broken_here=any(verdict.outcome is Outcome.SERVER_TLS_BROKEN for verdict, _ in judged),
        failed=total(tally for _, tally in judged),
        worked=total(tally for _, tally in worked),
        modern=total(tally for verdict, tally in worked if verdict.tls_version in {"TLSv1.2", "TLSv1.3"}),
    )


def succeeded(verdict: Verdict, *, relaxed: bool = False) -> bool:
    """Tell whether this is a complete handshake at the strict door (or at a relaxed one) that the peer then used."""
    at_door = (verdict.door is not Door.STRICT) is relaxed
    return at_door and verdict.outcome is Outcome.TLS_OK and verdict.cause is Cause.NONE


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies up."""
    result = Tally()
    for tally in tallies:
        result.add(tally.count, tally.first, tally.last)
    return result


def arrival(peer: PeerHistory, trouble: Trouble) -> Arrival:
    """Say how this peer got in after it had begun to fail; where there are no stamps, whether it ever did."""
    served = total(tally for verdict, tally in peer.verdicts.items() if succeeded(verdict, relaxed=True))
    in_clear = Tally() if trouble.of_a_device else peer.cleartext_mail
    if _ends_with(served, trouble) or (peer.hidden.count and _ends_with(in_clear, trouble)):
        return Arrival.BY_WAIVER
    if _ends_with(trouble.worked, trouble):
        return Arrival.BY_TLS
    if in_clear.count and _in_between(peer, in_clear, trouble):
        return Arrival.IN_CLEAR
    if trouble.worked.count and _in_between(peer, trouble.worked, trouble):
        return Arrival.BY_TURNS
    return Arrival.NOT


def fails_since(peer: PeerHistory, moment: datetime) -> int:
    """Count failures after a moment, at least: only the first times of a peer are kept one by one."""
    one_by_one = sum(1 for at in peer.failed_at if at > moment)
    whole_kinds = sum(
        tally.count
        for verdict, tally in peer.verdicts.items()
        if verdict.outcome in FAILED and tally.first is not None and tally.first > moment
    )
    return max(one_by_one, whole_kinds)


def _ends_with(good: Tally, trouble: Trouble) -> bool:
    """Tell whether the good comes last. Stamps count whole seconds, so the same second is good enough."""
    return bool(good.count and good.last and trouble.failed.last and good.last >= trouble.failed.last)


def _in_between(peer: PeerHistory, good: Tally, trouble: Trouble) -> bool:
    if good.last is None or trouble.failed.first is None:
        return True
    return good.last >= trouble.failed.first and fails_since(peer, good.last) < STOPPED
