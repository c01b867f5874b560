"""The desk: every session that ends, of whatever log, comes here and becomes counts, decisions and requests.

One session after the other, in the order in which they ended: recall what is known of its peer, decide, ask the
keeper, keep for the store. Nothing here waits for the keeper; only the store is waited for, when a peer must be
recalled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from mailtls.core.action import Action
from mailtls.core.cause import Door, Outcome
from mailtls.core.controlprotocol import Happening, ObserverStatus
from mailtls.core.decision import ACTING, Decision, Rule
from mailtls.core.history import Statement, StatementKind
from mailtls.core.keeperprotocol import Event, Health, Reply, Step
from mailtls.core.level import Level
from mailtls.core.livedecider import LiveDecider
from mailtls.core.peer import is_address
from mailtls.core.serverfault import LASTS
from mailtls.core.session import Session
from mailtls.service.announcer import Announcer
from mailtls.service.hellolistener import HelloListener
from mailtls.service.keeperlink import KeeperLink, Wish
from mailtls.service.memory import Memory
from mailtls.service.metrics import Metrics

LOG = logging.getLogger("mailtls.desk")
_TOLD = frozenset({StatementKind.LMTP_GREETING, StatementKind.DOVECOT_FATAL, StatementKind.TLS_DISABLED})


@dataclass(slots=True)
class Figures:
    """What passed over the desk since the start."""

    sessions: int = 0
    failures: int = 0
    server_fault: str | None = None


class Desk:
    """Decides about sessions; `link` is set once, when both are made."""

    link: KeeperLink

    def __init__(
        self,
        decider: LiveDecider,
        memory: Memory,
        metrics: Metrics,
        announcer: Announcer,
        clock: Callable[[], datetime],
        hellos: HelloListener | None = None,
    ) -> None:
        self.decider = decider
        self._hellos = hellos
        self._memory = memory
        self._metrics = metrics
        self._announcer = announcer
        self._clock = clock
        self.figures = Figures()
        self.complete: Callable[[Session], Session] = lambda session: session
        """Fills in what a session negotiated, where the log does not tell (factsdesk)."""
        self._told: dict[StatementKind, datetime] = {}
        self._doors: dict[Level, bool] = {}

    def observer(self) -> ObserverStatus | None:
        """How the observer fares; None where it was never heard."""
        status = self._hellos.status() if self._hellos is not None else None
        return status if status is not None and (status.running or status.hellos or status.garbage) else None

    async def take(self, sessions: Sequence[Session], statements: Iterable[Statement], readable_at: float) -> None:
        """Take in what one batch of lines gave; `readable_at`: monotonic time of its arrival."""
        for statement in statements:
            self._server_says(statement)
        if not sessions:
            return
        await self._memory.recall(self.decider, {session.peer.ip for session in sessions if session.peer is not None})
        self.hear_the_observer()
        now = self._clock()
        for session in map(self.complete, sessions):
            self._session(session, now, readable_at)
        self._watch_server(now)

    def hear_the_observer(self) -> None:
        """Take what was seen, and keep what came too late for its session."""
        if self._hellos is None:
            return
        self._hellos.take()
        for session, heard in self._hellos.late():
            self.decider.hellos.hear(session, heard)
            if session.peer is not None and self.decider.hellos.of(session.peer.ip) is heard:
                self._memory.add_hello(session.peer.ip, heard)

    def _session(self, session: Session, now: datetime, readable_at: float) -> None:
        self.figures.sessions += 1
        self._metrics.session(session)
        if session.outcome is Outcome.TLS_FAILED:
            self.figures.failures += 1
        if self._announcer.heard:
            self._announcer.tell(lambda: _happening_of(session, now))
        heard = self._hellos.match(session) if self._hellos is not None else None
        decisions = self.decider.take(session, now, heard)
        for decision in decisions:
            self._decided(decision, readable_at)
        ip = session.peer.ip if session.peer is not None and is_address(session.peer.ip) else None
        if ip is None:
            self._memory.add_session(session, None, None)
            return
        news = heard if heard is not None and self.decider.hellos.of(ip) is heard else None
        self._memory.add_session(session, ip, self.decider.conduct(ip), news)

    def _decided(self, decision: Decision, readable_at: float) -> None:
        self._memory.add_decision(decision)
        self._metrics.decision(decision.action)
        if self._announcer.heard:
            self._announcer.tell(lambda: _happening_of_decision(decision, self._clock()))
        if decision.rule is Rule.SERVER_FAULT:
            self.figures.server_fault = decision.reasons[0]
            LOG.error("%s %s", decision.reasons[0], " ".join(decision.reasons[1:]))
        elif decision.action in ACTING or decision.action is Action.PROPOSE:
            LOG.info("%s: %s (%s): %s", decision.peer, decision.action, decision.rule, " ".join(decision.reasons))
        request = self.decider.request(decision) if decision.action in ACTING else None
        if request is not None:
            self.link.ask_for(decision, request, readable_at)

    def _server_says(self, statement: Statement) -> None:
        if statement.kind in _TOLD:
            LOG.warning("the server says: %s", statement.text)
            self._metrics.server_fault(statement.kind, on=True)
            self._told[statement.kind] = self._clock()
            if self._announcer.heard:
                self._announcer.tell(
                    lambda: Happening(at=statement.at or self._clock(), kind="server", what=statement.text)
                )

    def _watch_server(self, now: datetime) -> None:
        at_fault = self.decider.server_is_at_fault(now)
        self._metrics.server_fault("tls", on=at_fault)
        for kind in [kind for kind, told in self._told.items() if now - told > LASTS]:
            del self._told[kind]
            self._metrics.server_fault(kind, on=False)
        if not at_fault and self.figures.server_fault is not None:
            LOG.info("the server's fault seems to be over")
            self.figures.server_fault = None

    # --- told by the link to the keeper ----------------------------------------------------------------------

    async def event(self, event: Event, news: bool) -> None:
        """Take in one step in a waiver's life; `news`: it happened just now."""
        self._memory.add_event(event)
        if event.step is Step.EXPIRED:
            await self._memory.recall(self.decider, [event.waiver.network])
            conduct = self.decider.spent(event.waiver)
            if conduct is not None:
                self._memory.add_conduct(event.waiver.network, conduct)
        if not news:
            return
        LOG.info("%s %s to %s by %s: %s", event.step, event.waiver.network, event.waiver.level, event.by, event.why)
        self._announcer.tell(
            lambda: Happening(
                at=event.at,
                kind="waiver",
                ip=event.waiver.network,
                what=f"{event.step} by {event.by}: {event.why or event.waiver.reason}",
                level=event.waiver.level,
            )
        )

    def listed(self) -> None:
        """Take in that the list of waivers is another."""
        self._memory.add_waivers(self.decider.live())
        self._metrics.waivers(self.decider.by_level(self._clock()))

    def fares(self, health: Health | None) -> None:
        """Take in how the keeper fares: which doors serve, and how full the kernel's table of connections is."""
        doors = {door.level: door.up for door in health.doors} if health is not None else {}
        self._metrics.doors(doors)
        self._metrics.conntrack(health.conntrack if health is not None else None)
        if health is None:
            return  # nothing can be given meanwhile
        self.decider.doors_down(level for level, up in doors.items() if not up)
        for door in health.doors:
            if self._doors.get(door.level, True) != door.up:
                self._announce_door(door.level, "serves again" if door.up else f"does not serve: {door.why_not}")
        self._doors = doors

    def _announce_door(self, level: Level, what: str) -> None:
        LOG.warning("the %s door %s", level, what)
        self._announcer.tell(
            lambda: Happening(at=self._clock(), kind="server", what=f"the {level} door {what}", level=level)
        )

    def answer(self, wish: Wish, reply: Reply | None) -> None:
        """Take in what became of a request."""
        taken = monotonic() - wish.readable_at
        if reply is not None and reply.ok and reply.live:
            self._metrics.apply(wish.request.op, "live", (reply.milliseconds or 0.0) / 1000)
            self._metrics.reaction(taken)
            return
        self._metrics.apply(wish.request.op, "refused" if reply is not None and not reply.ok else "pending", None)


def _happening_of(session: Session, now: datetime) -> Happening:
    peer = session.peer
    door = "" if session.door is Door.STRICT else f"at door {session.door}"
    words = [session.service, door, session.outcome, session.tls_version or "", session.reason or ""]
    return Happening(
        at=session.at if session.at is not None and session.at.tzinfo is not None else now,
        kind="session",
        ip=peer.ip if peer is not None else None,
        name=peer.name if peer is not None else None,
        what=" ".join(word for word in words if word),
        cause=session.cause,
    )


def _happening_of_decision(decision: Decision, now: datetime) -> Happening:
    peer = decision.peer
    return Happening(
        at=now,
        kind="decision",
        ip=peer.ip if peer is not None else None,
        name=peer.name if peer is not None else None,
        what=f"{decision.action} ({decision.rule}): {' '.join(decision.reasons)}",
        cause=decision.cause,
        level=decision.level,
    )
