"""The desk for facts: what Postfix itself tells of messages, by the policy protocol or the milter, comes here.

Each message counts once, whoever told of it first: an address and a queue id are one message. What a log's session does
not say, its version and cipher, is filled in from the messages that came in it, so that a session is counted once, by
the log, and with what was negotiated. docs/decisions/0024 says why there are two books.

Nothing here waits for anybody, and nobody waits for it: what is told is put aside, up to WAITING messages, and taken
in TURN at a time, MOST_PER_S a second, which is more than Postfix delivers on one machine. What comes beyond that in a
flood is answered all the same, and its facts are dropped and counted. The store takes them with its next commit. What
the policy service let pass at a glance comes unread, and is read when its turn comes.

DIAGNOSTICS: verdicts that are not simply yes are logged, one of a kind for each address within TOLD_AGAIN.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from mailtls.core.arrival import Arrival, arrival_of, port_of
from mailtls.core.cause import Door, Outcome
from mailtls.core.controlprotocol import Happening
from mailtls.core.delegation import END, Malformed, read_request
from mailtls.core.proof import Proofs, Standing
from mailtls.core.session import Session
from mailtls.core.smtpfacts import LONGEST_ADDRESS, SmtpFacts, Stage
from mailtls.core.verdict import DUNNO, Answer, Ground, Snapshot, Verdict
from mailtls.service.announcer import Announcer
from mailtls.service.memory import Memory
from mailtls.service.messagemetrics import MessageMetrics

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

LOG = logging.getLogger("mailtls.facts")
RECENT = 20_000
"""Messages, peers and alarms that are kept in hand."""
WAITING = 10_000
MOST_PER_S = 1_000
TURN = 20
OF_ONE_PEER = 16
"""Sessions of a peer that may wait for the log to tell of their end."""
SESSION_LASTS = timedelta(hours=1)
"""From a message to the end of its session in the log."""
TOLD_AGAIN = timedelta(minutes=10)


@dataclass(slots=True)
class _Negotiated:
    """What one session of a peer had, as its messages told."""

    at: datetime
    door: Door
    port: int | None
    tls_version: str
    cipher: str | None


class FactsDesk:
    """Takes facts. `snapshot` gives what verdicts go by now; `changed` is called when something new was proven."""

    def __init__(
        self,
        memory: Memory,
        metrics: MessageMetrics,
        announcer: Announcer,
        clock: Callable[[], datetime],
        snapshot: Callable[[], Snapshot],
        proofs: Proofs,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._memory = memory
        self._metrics = metrics
        self._announcer = announcer
        self._clock = clock
        self._snapshot = snapshot
        self._proofs = proofs
        self._changed = changed
        self._waiting: deque[tuple[SmtpFacts, Verdict] | bytes] = deque()
        self._messages: OrderedDict[tuple[str, str, Stage], None] = OrderedDict()
        self._unnamed: OrderedDict[tuple[str, str, Stage], int] = OrderedDict()
        self._sessions: OrderedDict[str, list[_Negotiated]] = OrderedDict()
        self._told: OrderedDict[tuple[str, Ground], datetime] = OrderedDict()

    def take(self, facts: SmtpFacts, verdict: Verdict) -> None:
        """Put aside what was told of a message, and what was answered; users that have logged in are no peers."""
        if facts.authenticated or (facts.protocol_state is not Stage.DATA and verdict.answer is Answer.DUNNO):
            return
        if len(self._waiting) >= WAITING:
            self._metrics.dropped += 1
            return
        self._waiting.append((facts, verdict))

    def take_unread(self, question: bytes) -> None:
        """Put aside a question of the policy protocol that passed at DATA (core/glance.py)."""
        if len(self._waiting) >= WAITING:
            self._metrics.dropped += 1
            return
        self._waiting.append(question)

    async def run(self) -> None:
        """Take in what was put aside, until cancelled; then the rest of it."""
        try:
            while True:
                await asyncio.sleep(TURN / MOST_PER_S)
                self.settle(TURN)
        finally:
            self.settle(WAITING)

    def settle(self, most: int = WAITING) -> None:
        """Take in at most so many of those that wait."""
        if not self._waiting:
            return
        now, ports = self._clock(), self._snapshot().ports
        for _ in range(min(most, len(self._waiting))):
            told = self._waiting.popleft()
            facts, verdict = told if isinstance(told, tuple) else (read_request(told.removesuffix(END)), DUNNO)
            if not isinstance(facts, Malformed) and not self._is_known(facts):
                self._take(facts, verdict, facts.door(ports), now)

    def _take(self, facts: SmtpFacts, verdict: Verdict, door: Door, now: datetime) -> None:
        counted = facts.protocol_state is Stage.DATA
        arrival = arrival_of(facts, verdict, door, now, self._prove(facts, door, now, counted=counted), counted=counted)
        if counted:
            self._metrics.message(door.value, arrival.kind.tls_version)
            self._negotiated(arrival, door)
        if verdict.answer is not Answer.DUNNO:
            self._alarm(arrival, verdict, now)
        self._memory.add_arrival(arrival)

    def _is_known(self, facts: SmtpFacts) -> bool:
        """Tell whether somebody else told of this already. Before a content filter there is no queue id."""
        ip, name = facts.client_address[:LONGEST_ADDRESS], facts.queue_id or facts.instance
        if name:
            key = ip, name[:LONGEST_ADDRESS], facts.protocol_state
            if key in self._messages:
                return True
            _keep(self._messages, key, None)
        return not facts.queue_id and self._is_matched(ip, facts)

    def _is_matched(self, ip: str, facts: SmtpFacts) -> bool:
        """Tell whether this is the other interface's word of a message without a queue id.

        Only the policy service knows an instance. Both tell of each message of a session: whoever is behind the other
        says nothing new.
        """
        if port_of(facts) is None:
            return False
        key = ip, facts.client_port, facts.protocol_state
        ahead = self._unnamed.get(key, 0)
        one = 1 if facts.instance else -1
        _keep(self._unnamed, key, ahead + one)
        return ahead * one < 0

    def _prove(self, facts: SmtpFacts, door: Door, now: datetime, *, counted: bool) -> Standing:
        version = facts.version
        unknown = facts.encrypted and version is None
        if door is not Door.STRICT or unknown or not counted:
            return self._proofs.standing(facts.ip)
        standing, news = self._proofs.take(facts.ip, version, port_of(facts), now)
        if news:
            self._changed()
        return standing

    # --- alarms ----------------------------------------------------------------------------------------------

    def _alarm(self, arrival: Arrival, verdict: Verdict, now: datetime) -> None:
        self._metrics.verdict(verdict.ground, verdict.answer)
        key = arrival.peer.ip, verdict.ground
        last = self._told.get(key)
        if last is not None and now - last < TOLD_AGAIN:
            return
        _keep(self._told, key, now)
        LOG.log(logging.WARNING if verdict.ground is Ground.DOWNGRADE else logging.INFO, "%s", verdict.reason)
        what, peer = f"{verdict.answer} ({verdict.ground}): {verdict.reason}", arrival.peer
        self._announcer.tell(lambda: Happening(at=now, kind="verdict", ip=peer.ip, name=peer.name, what=what))

    # --- sessions of the log ---------------------------------------------------------------------------------

    def _negotiated(self, arrival: Arrival, door: Door) -> None:
        if arrival.kind.tls_version is None:
            return
        ip = arrival.peer.ip
        known = self._sessions.pop(ip, [])
        known = [each for each in known if each.port is None or each.port != arrival.port][-OF_ONE_PEER + 1 :]
        known.append(_Negotiated(arrival.at, door, arrival.port, arrival.kind.tls_version, arrival.kind.cipher))
        _keep(self._sessions, ip, known)

    def complete(self, session: Session) -> Session:
        """Fill in what a session negotiated, where the log does not tell and a message in it did."""
        if session.peer is None or session.outcome is not Outcome.TLS_OK:
            return session
        self.settle(TURN)
        waiting = self._sessions.get(session.peer.ip)
        if not waiting:
            return session
        now = self._clock()
        found = next((each for each in waiting if _is_of(each, session, now)), None)
        if found is None:
            return session
        waiting.remove(found)
        if not waiting:
            del self._sessions[session.peer.ip]
        if session.tls_version is not None:
            return session
        return replace(session, tls_version=found.tls_version, cipher=found.cipher)


def _is_of(told: _Negotiated, session: Session, now: datetime) -> bool:
    """Tell whether these messages came in this session.

    Without ports it is the first of its door that fits, and sessions of one peer end in the order in which they came,
    or nearly so.
    """
    if told.door is not session.door or now - told.at > SESSION_LASTS:
        return False
    if session.port is not None and told.port is not None:
        return session.port == told.port
    at = session.at
    return at is None or at.tzinfo is None or abs(at - told.at) <= SESSION_LASTS


def _keep(room: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    room[key] = value
    room.move_to_end(key)
    if len(room) > RECENT:
        room.popitem(last=False)
