"""What verdicts go by at one moment, put together: the policy, the waivers that stand, the doors, what is proven."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from mailtls.core.cause import Door
from mailtls.core.doorset import networks_of
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.peermap import PeerMap
from mailtls.core.policy import Policy
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.verdict import Proof, Snapshot, Terms
from mailtls.core.waiver import UNLIMITED

NOTHING: Mapping[str, Proof] = MappingProxyType({})
LOOPBACK = ("127.0.0.1", "::1")
"""From where the machine's own programs send, whatever mynetworks says: filters, and whoever reports to root."""


def make_snapshot(
    policy: Policy, waivers: Iterable[LiveWaiver], view: PostfixSettings, proven: Mapping[str, Proof], now: datetime
) -> Snapshot:
    """Put a snapshot together; `now` with the offset of the day by which [[phase_out]] goes."""
    phases = (rule.of_day(now.date()) for rule in policy.phase_out)
    return Snapshot(
        guard=policy.downgrade.guard(),
        ports={str(door.port): Door(door.level.value) for door in view.doors},
        proven=proven,
        waivers=PeerMap({each.network: _terms(each) for each in waivers if now < each.until}),
        required_of_peers=PeerMap(policy.require.of_peers()),
        required_of_domains=PeerMap(policy.require.of_domains()),
        phases=tuple(phase for phase in phases if phase is not None),
        own=PeerMap({str(network): True for network in (*networks_of(view.own_networks), *networks_of(LOOPBACK))}),
        strict=view.strict,
    )


def _terms(waiver: LiveWaiver) -> Terms:
    return Terms(waiver.level, waiver.limits.limits() if waiver.limits is not None else UNLIMITED)
