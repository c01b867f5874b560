"""The SMTP dialogue in mailtlsd: policy service, the milter's facts, the desk for them, and what verdicts go by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.policy import Policy
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.proof import LASTS, ROOM, Proofs
from mailtls.core.snapshotplan import make_snapshot
from mailtls.core.verdict import Snapshot
from mailtls.edge.activation import passed_sockets
from mailtls.edge.policysockets import PolicySockets
from mailtls.errors import StoreError
from mailtls.service.announcer import Announcer
from mailtls.service.factsdesk import FactsDesk
from mailtls.service.factsreception import FactsReception
from mailtls.service.memory import Memory
from mailtls.service.messagemetrics import MessageMetrics
from mailtls.service.policyd import PolicyService
from mailtls.service.snapshotmaker import SnapshotMaker


@dataclass(frozen=True, slots=True)
class DialoguePlaces:
    """Where Postfix asks (`listen`: a port on loopback, or empty), and what the milter reads and writes to."""

    policy_socket: Path
    listen: str
    verdicts: Path
    facts: Path


class Dialogue:
    """All of it. `waivers` and `view` give what stands now; `faults`: what the operator must know."""

    def __init__(
        self,
        places: DialoguePlaces,
        policy: Policy,
        waivers: Callable[[], Collection[LiveWaiver]],
        view: Callable[[], PostfixSettings],
        memory: Memory,
        metrics: MessageMetrics,
        announcer: Announcer,
        clock: Callable[[], datetime],
        faults: MutableMapping[str, str],
    ) -> None:
        self._policy = policy
        self._waivers = waivers
        self._view = view
        self._memory = memory
        self._clock = clock
        self.proofs = Proofs(policy.downgrade.sessions)
        self.snapshots = SnapshotMaker(self._make, places.verdicts, faults)
        self.facts = FactsDesk(
            memory, metrics, announcer, clock, lambda: self.snapshots.current, self.proofs, self.snapshots.touch
        )
        self._milter = FactsReception(places.facts, self.facts.take, metrics.parcel, faults)
        self._sockets = PolicySockets(places.policy_socket, places.listen, passed_sockets)
        self._service = PolicyService(
            lambda: self.snapshots.current,
            self.facts.take,
            self.facts.take_unread,
            metrics,
            self._sockets.open,
            faults,
        )

    def parts(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Give what runs until it is cancelled."""
        return [
            ("snapshots", self.snapshots.run),
            ("facts", self.facts.run),
            ("policy_service", self._service.run),
            ("milter", self._milter.run),
        ]

    async def recall(self) -> None:
        """Take from the store what was proven, before anybody asks."""
        with suppress(StoreError):
            if self._memory.store is not None:
                for ip, standing in await self._memory.store.standings(self._clock() - LASTS, ROOM):
                    self.proofs.recall(ip, standing)
        self.snapshots.refresh()

    def close(self) -> None:
        """Remove the socket, where it was made here."""
        self._sockets.close()

    def obey(self, policy: Policy) -> None:
        """Judge by another policy from now on."""
        self._policy = policy
        self.proofs.ask_for(policy.downgrade.sessions)
        self.snapshots.refresh()  # now, since it is going to be said that the policy is followed
        self.snapshots.touch()  # the milter's file

    def _make(self) -> Snapshot:
        now = self._clock()
        return make_snapshot(self._policy, self._waivers(), self._view(), self.proofs.proven(now), now)
