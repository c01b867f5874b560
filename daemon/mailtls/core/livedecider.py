"""The decider beside a live Postfix: time is the clock's, waivers are the keeper's, memory is the store's.

It decides by the same rules as `decider`, which reads last month's log. What differs: evidence that is older than
the policy's window grants nothing, however new it is to us (a replayed or mis-rotated log); stamps of the future are
taken for now; conducts come from the store and go back there; and what it decides is a request, which the keeper may
refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailtls.core.action import Action
from mailtls.core.conduct import Conduct
from mailtls.core.decider import Decider
from mailtls.core.decision import Decision, Rule
from mailtls.core.doorset import DOOR_LEVELS
from mailtls.core.hellobook import HeardHello
from mailtls.core.judgement import judge
from mailtls.core.keeperprotocol import Grant, LiveWaiver, Renew, Withdraw
from mailtls.core.knownhellos import KnownHellos
from mailtls.core.knownlegacy import NOBODY, KnownPeers
from mailtls.core.level import Level
from mailtls.core.peer import Peer, is_address
from mailtls.core.policy import Policy
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.session import Session
from mailtls.core.waiver import Origin, Waiver
from mailtls.core.waiverlist import WaiverList

ROOM = 20_000
"""Conducts of either kind that are kept in memory; the store has the others."""

AHEAD = timedelta(minutes=5)
"""Clocks of log hosts differ by less."""

AGAIN = timedelta(days=1)
"""What could not be given is proposed again after this."""

_PROPOSALS = 10_000
_EVER = datetime.fromtimestamp(0, UTC)
_FORGETFUL = "mailtlsd cannot read its memory, so that a good history of this peer may be forgotten: a person decides."


class LiveDecider(Decider):
    """Feed it sessions as they end; ask `request` what its decisions want of the keeper."""

    def __init__(
        self,
        policy: Policy,
        known: KnownPeers = NOBODY,
        room: int = ROOM,
        offered: Collection[Level] = tuple(Level),
    ) -> None:
        super().__init__(policy, known, peers=room)
        self._live: dict[str, LiveWaiver] = {}
        self._offered = frozenset(offered)
        self._down: frozenset[Level] = frozenset()
        self._proposed: dict[str, datetime] = {}
        self.forgetful = False
        """The store cannot be read: good history may be forgotten, so that nothing is given automatically."""

    def take(self, session: Session, now: datetime, heard: HeardHello | None = None) -> tuple[Decision, ...]:
        """Take in one session that has ended by now, with its hello where the observer saw one."""
        if session.at is not None and session.at.tzinfo is not None and session.at > now + AHEAD:
            session = replace(session, at=now)
        if heard is not None:
            self._hellos.hear(session, heard)
        self._now = now if self._now is None else max(self._now, now)
        decisions = [decision for decision in self.feed(session) if decision.rule is not Rule.EXPIRED]
        return tuple(kept for decision in decisions if (kept := self._or_propose(decision, now)) is not None)

    def obey(self, policy: Policy, known: KnownPeers) -> None:
        """Decide by another policy from now on."""
        self._policy, self._known = policy, known
        self.adopt(self._live.values())

    def see(self, view: PostfixSettings) -> None:
        """Decide by what `setup` found, and give the levels whose doors it made, and cleartext."""
        super().see(view)
        self._hellos.see(view)
        self._offered = frozenset((Level.CLEARTEXT, *(door.level for door in view.doors)))

    def doors_down(self, levels: Iterable[Level]) -> None:
        """Note which doors do not serve at present: the policy lets nobody in by them."""
        self._down = frozenset(levels)

    # --- conducts: from the store and back -------------------------------------------------------------------

    def remembers(self, ip: str) -> bool:
        """Tell whether the conduct of this address is in memory."""
        return self._rooms.seen(ip) is not None

    def recall(self, ip: str, conduct: Conduct) -> None:
        """Take a conduct from the store."""
        self._rooms.put(ip, conduct)

    def conduct(self, ip: str) -> Conduct | None:
        """Give what is in memory of this address."""
        return self._rooms.seen(ip)

    @property
    def hellos(self) -> KnownHellos:
        """What is known of what peers offer."""
        return self._hellos

    def server_is_at_fault(self, now: datetime) -> bool:
        """Tell whether the server itself seems to be at fault, so that nobody is touched."""
        return self._fault.stands(now)

    def turned_since(self, change: datetime, now: datetime) -> tuple[str, ...]:
        """Name the peers that used to succeed and fail since a change of the server, if they are enough."""
        return self._fault.turned_since(change, now)

    # --- waivers: the keeper's list is the authority ---------------------------------------------------------

    def adopt(self, waivers: Iterable[LiveWaiver]) -> None:
        """Take the keeper's list for the truth."""
        self._live = {waiver.network: waiver for waiver in waivers}
        self._waivers = WaiverList((*self._known.waivers(), *map(_standing, self._live.values())))
        self._rooms.kept = set(self._live)

    def granted(self, waiver: LiveWaiver) -> None:
        """A waiver stands, or was renewed."""
        self._live[waiver.network] = waiver
        self._waivers.put(_standing(waiver))
        self._rooms.kept.add(waiver.network)

    def ended(self, waiver: LiveWaiver) -> None:
        """A waiver stands no more."""
        known = self._live.get(waiver.network)
        if known is not None and known.id != waiver.id:
            return  # another one stands for this peer by now
        self._live.pop(waiver.network, None)
        self._waivers.withdraw(waiver.waiver())
        self._rooms.kept.discard(waiver.network)

    def spent(self, waiver: LiveWaiver) -> Conduct | None:
        """Note that a waiver of the policy ran to its longest time; give the conduct, if there is news in it.

        From then on a person is asked. Its peer must have been recalled.
        """
        if waiver.origin is not Origin.POLICY or waiver.until < waiver.latest or not is_address(waiver.network):
            return None
        conduct = self._rooms.of(waiver.network)
        conduct.spent = True
        conduct.begin_anew()
        return conduct

    def refused(self, decision: Decision) -> None:
        """The keeper said no, or nothing: what was decided did not come true."""
        network = decision.peer.ip if decision.peer is not None else ""
        live = self._live.get(network)
        if live is not None:
            self._waivers.put(_standing(live))
            return
        waiver = next((each for each in self._waivers if each.network == network and each.granted is not None), None)
        if waiver is not None:
            self._waivers.withdraw(waiver)
        self._rooms.kept.discard(network)

    def live(self) -> tuple[LiveWaiver, ...]:
        """The keeper's list as it was last heard of."""
        return tuple(self._live.values())

    def by_level(self, now: datetime) -> dict[Level, int]:
        """Count the waivers whose time is not over, the narrowest level first."""
        counts = Counter(waiver.level for waiver in self._live.values() if now < waiver.until)
        return {level: counts[level] for level in Level if counts[level]}

    def live_for(self, ip: str, now: datetime) -> LiveWaiver | None:
        """Give the waiver that covers this address now, the narrowest first."""
        waiver = self._waivers.covering(ip, now)
        return self._live.get(waiver.network) if waiver is not None else None

    def request(self, decision: Decision) -> Grant | Renew | Withdraw | None:
        """Say what the keeper must be asked so that the decision comes true; None where there is nothing to ask."""
        if decision.peer is None or decision.at is None:
            return None
        if decision.action is Action.WAIVE:
            return self._grant(decision, decision.peer, decision.at)
        live = self._live.get(decision.peer.ip)
        if live is None:
            return None
        if decision.action is Action.EXTEND and decision.until is not None:
            return Renew(id=live.id, generation=live.generation, until=decision.until)
        if decision.action is Action.WITHDRAW:
            return Withdraw(id=live.id, why=" ".join(decision.reasons)[:500], rule=decision.rule)
        return None

    def _grant(self, decision: Decision, peer: Peer, at: datetime) -> Grant | None:
        waiver: Waiver | None = self._waivers.covering(peer.ip, at)
        if waiver is None or waiver.granted is None or waiver.network in self._live:
            return None  # an entry of the file covers it, which the keeper knows
        entry = self._known.by_name(peer.name, at) if decision.rule is Rule.KNOWN_LEGACY else None
        return Grant(
            id=f"policy-{peer.ip}-{int(at.timestamp())}",
            network=peer.ip,
            level=waiver.level,
            until=waiver.until,
            latest=waiver.latest,
            reason=waiver.reason[:500],
            owner=waiver.owner[:500],
            cause=waiver.cause,
            authority=entry.name if entry is not None else None,
        )

    def _or_propose(self, decision: Decision, now: datetime) -> Decision | None:
        """Turn what cannot be given into a proposal, once a day."""
        if decision.action is not Action.WAIVE or decision.peer is None or self.request(decision) is None:
            return decision
        why = _FORGETFUL if self.forgetful else self._no_door(decision.level)
        if not why:
            return decision
        self.refused(decision)
        said = self._proposed.pop(decision.peer.ip, None)
        self._proposed[decision.peer.ip] = now if said is None or now - said >= AGAIN else said
        while len(self._proposed) > _PROPOSALS:
            del self._proposed[next(iter(self._proposed))]
        if said is not None and now - said < AGAIN:
            return None
        return replace(decision, action=Action.PROPOSE, until=None, reasons=(why, *decision.reasons))

    def _no_door(self, level: Level | None) -> str:
        if level in self._down:
            return f"This needs {level}, and that door does not serve at present; see: mailtlsctl status."
        if level in self._offered:
            return ""
        remedy = "; to make it: mailtlsctl setup" if level in DOOR_LEVELS else ""
        return f"This needs {level}, and no such door is set up here{remedy}."

    # --- what stands of a peer -------------------------------------------------------------------------------

    def standing(self, ip: str, now: datetime) -> Decision | None:
        """Say what the policy makes of this peer's latest kind of failure at present; None where it did not fail."""
        conduct = self._rooms.seen(ip)
        if conduct is None or not conduct.series:
            return None
        kind, series = max(conduct.series.items(), key=lambda item: item[1].last.timestamp() if item[1].last else 0.0)
        ruling = judge(self._case(ip, conduct, kind, series, now))
        return Decision(
            action=ruling.action,
            rule=ruling.rule,
            peer=Peer(ip, conduct.name),
            at=series.last,
            cause=kind[0],
            reasons=ruling.reasons,
            level=ruling.level or next(iter(self._hellos.need(*kind, self._view, ip).levels), None),
            evidence=tuple(conduct.evidence),
            alternatives=ruling.alternatives,
        )


def _standing(live: LiveWaiver) -> Waiver:
    """Give a waiver of the keeper's list as one that always stood.

    It begins by the keeper's clock; sessions have the log host's, in whole seconds, and may be read late. What was
    answered with a waiver is not decided again, and a session of that very second is of its time.
    """
    waiver = live.waiver()
    return waiver if waiver.granted is None else replace(waiver, granted=_EVER)
