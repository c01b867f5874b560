"""The answers to what mailtlsctl asks: how mailtlsd fares, whom it knows, and why it decided what it decided.

Everything is read from the store and from what is in hand; nothing is changed. Without a store there is still a
status, which says so, and the keeper's waivers.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime

from mailtls import __version__
from mailtls.core.controlprotocol import (
    AskExplain,
    AskFloor,
    AskHistory,
    AskInventory,
    AskPeers,
    ExplainedKnownPeer,
    FloorForecast,
    Happening,
    Inventory,
    KnownPeer,
    PastStep,
    Status,
)
from mailtls.core.decision import Decision
from mailtls.core.keeperprotocol import Fault, LiveWaiver
from mailtls.core.livedecider import LiveDecider
from mailtls.edge.store import Store
from mailtls.errors import StoreError
from mailtls.service.announcer import Announcer
from mailtls.service.desk import Desk
from mailtls.service.keeperlink import KeeperLink
from mailtls.service.memory import Memory
from mailtls.service.watcher import Watcher

EXPLAINED = 20  # peers that one question may have explained
STEPS = 200  # steps of the history that are told of one peer


class Answers:
    """Knows everybody who knows something. `faults`: what stands that the operator must know, besides these."""

    def __init__(
        self,
        desk: Desk,
        memory: Memory,
        link: KeeperLink,
        announcer: Announcer,
        watchers: Sequence[Watcher],
        clock: Callable[[], datetime],
    ) -> None:
        self._desk = desk
        self._memory = memory
        self._link = link
        self._announcer = announcer
        self._watchers = watchers
        self._clock = clock
        self._since = clock()
        self.policy = ""
        self.faults: dict[str, str] = {}

    @property
    def _decider(self) -> LiveDecider:
        return self._desk.decider

    async def status(self) -> Status:
        """How mailtlsd fares."""
        return Status(
            version=__version__,
            since=self._since,
            pid=os.getpid(),
            sources=tuple(watcher.status() for watcher in self._watchers),
            keeper=self._link.reachable,
            remembers=self._memory.remembers,
            policy=self.policy,
            peers=await self.counts(),
            waivers=self._decider.by_level(self._clock()),
            sessions=self._desk.figures.sessions,
            failures=self._desk.figures.failures,
            observer=self._desk.observer(),
            server_fault=self._desk.figures.server_fault,
            faults=tuple(self._faults()),
        )

    def _faults(self) -> list[Fault]:
        found = dict(self.faults)
        if self._memory.trouble:
            found["store"] = self._memory.trouble
        if self._memory.lost:
            found["lost"] = f"{self._memory.lost} sessions were not counted: the store took nothing for too long."
        if self._link.trouble:
            found["keeper"] = self._link.trouble
        said = [Fault(kind=kind, sentence=sentence[:500]) for kind, sentence in found.items()]
        return [*said, *(self._link.health.faults if self._link.health is not None else ())]

    async def counts(self) -> dict[str, int]:
        """Count the peers that are remembered, by state; nothing where the store cannot be read."""
        try:
            return await self._memory.store.counts() if self._memory.store is not None else {}
        except StoreError:
            return {}

    def _store(self) -> Store:
        if self._memory.store is None:
            raise StoreError(self._memory.trouble or "The store is not open yet; ask again in a moment.")
        return self._memory.store

    async def peers(self, ask: AskPeers) -> tuple[KnownPeer, ...]:
        """Whom mailtlsd knows, the latest first. Raises StoreError."""
        await self._memory.commit()
        found = await self._store().peers(failing=ask.failing, whom=ask.whom, limit=ask.limit)
        return tuple(self._with_waiver(peer) for peer in found)

    def _with_waiver(self, peer: KnownPeer) -> KnownPeer:
        waiver = self._decider.live_for(peer.ip, self._clock())
        return peer if waiver is None else peer.model_copy(update={"waiver": waiver, "state": "waived"})

    async def explain(self, ask: AskExplain) -> tuple[ExplainedKnownPeer, ...]:
        """What is known of a peer and why was decided what was decided. Raises StoreError."""
        self._desk.hear_the_observer()
        peers = await self.peers(AskPeers(whom=ask.whom, limit=EXPLAINED))
        return tuple([await self._explain(peer) for peer in peers])

    async def _explain(self, peer: KnownPeer) -> ExplainedKnownPeer:
        store = self._store()
        await self._memory.recall(self._decider, [peer.ip])
        conduct = self._decider.conduct(peer.ip)
        standing = self._decider.standing(peer.ip, self._clock())
        return ExplainedKnownPeer(
            peer=peer,
            days=tuple(await store.days(peer.ip)),
            history=tuple(await store.history(whom=peer.ip, limit=STEPS)),
            evidence=tuple(conduct.evidence) if conduct is not None else (),
            ruling=past_step(standing) if standing is not None else None,
            hello=self._decider.hellos.told(peer.ip),
            arrival=await store.last_arrival(peer.ip),
            messages=tuple(await store.messages(peer.ip)),
        )

    async def waivers(self) -> tuple[LiveWaiver, ...]:
        """Which waivers stand by what the keeper said last; none whose time is over, also where the keeper is dead."""
        now = self._clock()
        return tuple(waiver for waiver in self._decider.live() if now < waiver.until)

    async def history(self, ask: AskHistory) -> tuple[PastStep, ...]:
        """What was decided and done, the latest first. Raises StoreError."""
        await self._memory.commit()
        return tuple(await self._store().history(whom=ask.whom, limit=ask.limit))

    async def floor(self, ask: AskFloor) -> FloorForecast:
        """Who would no longer get in, by what the last days and the peers' hellos tell. Raises StoreError."""
        await self._memory.commit()
        return await self._store().floor(ask, self._clock(), self._decider.hellos.strict)

    async def inventory(self, ask: AskInventory) -> Inventory:
        """What peers use at port 25, by what the last days remember. Raises StoreError."""
        await self._memory.commit()
        return await self._store().inventory(ask, self._clock())

    def subscribe(self) -> AbstractAsyncContextManager[AsyncGenerator[Happening, None]]:
        """Everything as it happens."""
        return aclosing(self._announcer.listen())


def past_step(decision: Decision) -> PastStep:
    """Write a decision as an entry of the history."""
    peer = decision.peer
    return PastStep(
        at=decision.at,
        kind="decision",
        ip=peer.ip if peer is not None else None,
        name=peer.name if peer is not None else None,
        action=decision.action,
        rule=decision.rule,
        cause=decision.cause,
        level=decision.level,
        until=decision.until,
        reasons=decision.reasons,
        evidence=decision.evidence,
        alternatives=decision.alternatives,
    )
