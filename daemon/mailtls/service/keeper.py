"""The keeper: its list is the authority for live waivers; what Postfix reads and nftables does are kept equal to it.

It works in rounds. A round takes every request that waits, holds the ledger's lock, ends what is over, judges the
requests (core/mandate.py), writes what happened to the ledger, makes the remedies say it, proves it by look-ups, and
only then answers. Requests that arrive during a round are one round together, so that many changes are one build.

What cannot be written to the ledger did not happen, and is refused. What cannot be brought into the tables is on the
list and not live: a fault says why, and every few seconds it is tried again.

SECURITY: reads policy and view, never main.cf or master.cf; talks to nobody but the doors of this machine; decides
nothing, it only refuses.
DIAGNOSTICS: each step of a waiver's life is logged, and each fault when it appears and when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import assert_never

from mailtls.core import mandate
from mailtls.core.keeperprotocol import Event, Grant, Health, ListWaivers, LiveWaiver, Renew, Reply, Step, Withdraw
from mailtls.core.knownlegacy import NOBODY
from mailtls.core.level import Level
from mailtls.core.listedpeers import listed_changes, not_served
from mailtls.core.mandate import Refusal
from mailtls.core.objection import Bounds, Requester
from mailtls.core.printable import printable
from mailtls.core.register import CLOCK, KNOWN_LEGACY, Register, is_from_file
from mailtls.edge.conntrack import conntrack_ratio
from mailtls.edge.ledger import Ledger
from mailtls.edge.standingwill import StandingWill
from mailtls.errors import StoreError
from mailtls.service.faults import Faults
from mailtls.service.remedies import MENDING, Remedies

LOG = logging.getLogger("mailtls.keeper")
TICK_S = 5.0  # at most so long until a changed file, or a clock that was set, is noticed
COMPARE_S = 30.0  # between comparisons of the tables with the list
LOCK_PATIENCE_S = 5.0  # for --expire-once to be done
HUNG_S = 60.0  # without a round
MOST_AT_ONCE = 500  # requests in one round

UNDONE = Reply(ok=False, refused="The keeper was stopped meanwhile; see what was done: mailtlsctl waivers.")

Change = Grant | Renew | Withdraw


@dataclass(frozen=True, slots=True)
class Means:
    """What the keeper works with."""

    ledger: Ledger
    remedies: Remedies
    will: StandingWill


@dataclass(slots=True)
class _Job:
    requester: Requester
    request: Change
    arrived: float
    answer: asyncio.Future[Reply]
    outcome: Reply = UNDONE
    peers: tuple[str, ...] = ()


class Keeper:
    """Keeps the list and the tables. `clock` gives the time with its offset."""

    def __init__(self, means: Means, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._means = means
        self._clock = clock
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._fresh: list[Event] = []
        self._committed = 0
        self._faults = Faults()
        self._compared = float("-inf")
        self._since = clock()
        self._news = asyncio.Event()
        self._beat = monotonic()
        self._adopted: tuple[object, ...] = ()
        means.remedies.watch.changed = self.wake

    @property
    def register(self) -> Register:
        """The list."""
        return self._means.ledger.register

    # --- what is asked -----------------------------------------------------------------------------------------

    async def change(self, requester: Requester, request: Change) -> Reply:
        """Do what is asked, or refuse it; returns when it is proved to be so, or cannot be made so."""
        if isinstance(request, Grant):
            await self._means.remedies.ready(request.level)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(requester, request, monotonic(), answer))
        return await answer

    def standing(self) -> tuple[LiveWaiver, ...]:
        """Give every waiver that stands; entries of the file first."""
        return _file_first(self.register.standing.values())

    def listed(self, ask: ListWaivers) -> Reply:
        """Answer with every waiver that stands, or with those that have to do with one peer."""
        if ask.about is None:
            return Reply(waivers=self.standing())
        peer = mandate.canonical_network(ask.about)
        if isinstance(peer, Refusal):
            return _refused(peer.sentence)
        return Reply(waivers=_file_first(self.register.about(peer)))

    def events(self, since: int, limit: int) -> tuple[Event, ...]:
        """Give what happened after this event and is on the disk, the oldest first."""
        return tuple(event for event in self.register.since(since, limit) if event.number <= self._committed)

    async def news(self) -> None:
        """Wait until something happens."""
        await self._news.wait()

    def health(self) -> Health:
        """Say how the keeper fares."""
        counts = dict.fromkeys(Level, 0)
        for waiver in self.register.standing.values():
            counts[waiver.level] += 1
        return Health(
            since=self._since, waivers=counts, last_event=self._committed, tables=self._means.remedies.names,
            policy=str(self._means.will.path), faults=self._faults.all(),
            doors=self._means.remedies.watch.states(), conntrack=conntrack_ratio(),
        )  # fmt: skip

    def is_right(self) -> bool:
        """Tell whether list and tables are what they should be; other faults are the operator's to mend."""
        return not self._in_trouble()

    def is_alive(self) -> bool:
        """Tell whether rounds are being done; systemd starts a keeper anew that hangs."""
        return monotonic() - self._beat < HUNG_S

    def status_line(self) -> str:
        """Say in one line how the keeper fares."""
        faults = "; ".join(fault.sentence for fault in self._faults.all())
        return f"{len(self.register.standing)} waivers stand{f'; {faults}' if faults else ''}"

    # --- rounds ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._beat = monotonic()
            jobs = await self._next_jobs()
            if jobs or self._is_due():
                await self.round(jobs)

    def look_again(self) -> None:
        """Look at files and doors now: a person said so."""
        self._means.remedies.watch.wake()
        self.wake()

    def wake(self) -> None:
        """Look at files, clock and nftables now: somebody said that they have changed."""
        self._compared = float("-inf")
        self._jobs.put_nowait(None)

    async def _next_jobs(self) -> list[_Job]:
        """Wait for requests, at most until the next waiver ends or something has to be looked at."""
        try:
            first = await asyncio.wait_for(self._jobs.get(), self._patience())
        except TimeoutError:
            return []
        jobs = [first]
        while not self._jobs.empty() and len(jobs) < MOST_AT_ONCE:
            jobs.append(self._jobs.get_nowait())
        return [job for job in jobs if job is not None]

    def _patience(self) -> float:
        end = self.register.next_end()
        left = (end - self._clock()).total_seconds() if end is not None else TICK_S
        return min(TICK_S, max(1.0 if self._in_trouble() else 0.001, left))

    def _in_trouble(self) -> bool:
        return self._faults.has(("ledger", *MENDING))

    def _is_due(self) -> bool:
        end = self.register.next_end()
        over = end is not None and end <= self._clock()
        late = self._is_late() or self._in_trouble()
        changed = self._means.remedies.refresh(), self._means.will.refresh(), self._means.ledger.stale()
        return over or late or any(changed)

    def _is_late(self) -> bool:
        return monotonic() - self._compared >= COMPARE_S

    async def round(self, jobs: Iterable[_Job] = ()) -> None:
        """Do one round; also without requests, for what is over and what has changed."""
        jobs = list(jobs)
        try:
            await self._hold()
        except StoreError as error:
            self._refuse(jobs, error)
            return
        try:
            await self._do(jobs)
            self._means.ledger.release()  # not when cancelled: a thread may still write until the process ends
        finally:
            self._fresh.clear()
            self._answer(jobs)

    async def _hold(self) -> None:
        deadline = monotonic() + LOCK_PATIENCE_S
        while not self._means.ledger.try_hold():
            if monotonic() > deadline:
                raise StoreError("another mailtls-keeper holds the ledger; see: systemctl status mailtls-expire")
            await asyncio.sleep(0.01)

    async def _do(self, jobs: list[_Job]) -> None:
        now = self._clock()
        self._means.will.refresh()
        self._means.remedies.refresh()
        for waiver in self.register.over(now):
            self._happen(
                Step.EXPIRED, waiver, CLOCK, f"its time was over at {waiver.until.isoformat(timespec='seconds')}", now
            )
        self._adopt_the_file(now)
        for job in jobs:
            self._judge(job, now)
        try:
            if self._fresh:
                await asyncio.to_thread(self._means.ledger.append, tuple(self._fresh))
        except StoreError as error:
            self._fresh.clear()
            self._refuse(jobs, error)
            await self._bring([], now)
            return
        self._log_what_happened()
        await self._bring(jobs, now)
        self._announce()
        if self._means.ledger.worth_compacting():
            await self._compact()

    def _log_what_happened(self) -> None:
        self._faults.tell("ledger", None)
        self._faults.tell("ledger_damaged", " ".join(self._means.ledger.damage) or None)
        for event in self._fresh:
            waiver = event.waiver
            LOG.info(
                "%s: %s %s until %s by %s: %s",
                waiver.network, event.step, waiver.level, waiver.until.isoformat(timespec="seconds"), event.by,
                event.why,
            )  # fmt: skip

    def _announce(self) -> None:
        """Show what happened to those who ask for events: it is on the disk, and in the tables if that can be."""
        if self.register.last != self._committed:
            self._committed = self.register.last
            self._news.set()
            self._news = asyncio.Event()

    async def _compact(self) -> None:
        try:
            await asyncio.to_thread(self._means.ledger.compact)
        except StoreError as error:
            self._faults.tell("ledger", str(error))

    def _refuse(self, jobs: Iterable[_Job], error: StoreError) -> None:
        self._faults.tell("ledger", str(error))
        for job in jobs:
            if job.outcome.ok or job.outcome is UNDONE:
                job.outcome, job.peers = _refused(str(error)), ()
        self._answer(jobs)

    def _answer(self, jobs: Iterable[_Job]) -> None:
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(job.outcome)

    # --- what happens to the list ------------------------------------------------------------------------------

    def _happen(self, step: Step, waiver: LiveWaiver, by: str, why: str, now: datetime) -> None:
        event = Event(number=self.register.last + 1, at=now, step=step, waiver=waiver, by=by, why=why[:500])
        self.register.apply(event)
        self._fresh.append(event)

    def _adopt_the_file(self, now: datetime) -> None:
        """Make the list hold the known-legacy entries that stand, and no others."""
        will = self._means.will
        self._faults.tell("policy", will.fault)
        adopted = (will.will, self.register, self._means.remedies.settings)
        if will.will is None or (self._adopted and all(map(operator.is_, adopted, self._adopted))):
            return
        self._adopted = adopted
        known = will.will.known
        for step, waiver in listed_changes(known, self.register, self._bounds(), now):
            self._happen(step, waiver, KNOWN_LEGACY, "", now)
        self._faults.tell("not_served", not_served(known, self._bounds(), now))

    def _bounds(self, *, for_network: bool = False) -> Bounds:
        will, remedies = self._means.will.will, self._means.remedies
        return Bounds(
            policy=will.policy if will is not None else None,
            known=will.known if will is not None else NOBODY,
            encrypt=remedies.encrypt,
            opaque=remedies.cleartext.opaque() if for_network else None,
            served=remedies.served, closed=remedies.closed(), own=remedies.doors.own,
        )  # fmt: skip

    def _judge(self, job: _Job, now: datetime) -> None:
        match job.request:
            case Grant():
                self._grant(job, job.request, now)
            case Renew():
                self._renew(job, job.request, now)
            case Withdraw():
                self._withdraw(job, job.request, now)
            case _:
                assert_never(job.request)

    def _grant(self, job: _Job, ask: Grant, now: datetime) -> None:
        made = mandate.repeated(ask, self.register)
        if made is None:
            made = mandate.grant(job.requester, ask, self._bounds(for_network="/" in ask.network), self.register, now)
            if isinstance(made, LiveWaiver) and not ask.dry_run:
                for old in self.register.of(made.network):
                    if not is_from_file(old):
                        self._happen(Step.WITHDRAWN, old, job.requester.name, f"replaced by {made.id}", now)
                self._happen(Step.GRANTED, made, job.requester.name, made.reason, now)
        self._decided(job, made, () if ask.dry_run else None)

    def _renew(self, job: _Job, ask: Renew, now: datetime) -> None:
        waiver = self.register.standing.get(ask.id)
        if waiver is not None and (waiver.generation, waiver.until) == (ask.generation + 1, ask.until):
            self._decided(job, waiver)  # asked a second time
            return
        renewed = mandate.renew(job.requester, ask, self._bounds(), self.register, now)
        if isinstance(renewed, LiveWaiver):
            self._happen(Step.RENEWED, renewed, job.requester.name, "it is used", now)
        self._decided(job, renewed)

    def _withdraw(self, job: _Job, ask: Withdraw, now: datetime) -> None:
        ended = mandate.withdraw(job.requester, ask, self.register)
        if isinstance(ended, Refusal):
            self._decided(job, ended)
            return
        for waiver in ended:
            self._happen(Step.WITHDRAWN, waiver, job.requester.name, printable(ask.why or ask.rule or "", 500), now)
        self._decided(job, ended[0] if ended else self.register.ever(ask.id or ""))

    def _decided(self, job: _Job, made: LiveWaiver | Refusal | None, peers: tuple[str, ...] | None = None) -> None:
        if isinstance(made, Refusal):
            LOG.warning("%s asked for %s: refused: %s", job.requester.name, job.request.op, made.sentence)
            job.outcome = _refused(made.sentence)
            return
        job.outcome = Reply(waiver=made)
        job.peers = peers if peers is not None else ((made.network,) if made is not None else ())

    # --- what Postfix and nftables do --------------------------------------------------------------------------

    async def _bring(self, jobs: list[_Job], now: datetime) -> None:
        """Make the remedies equal to the list, and prove to each request what it asked for."""
        asked, late = tuple(peer for job in jobs for peer in job.peers), self._is_late() or self._in_trouble()
        brought = await asyncio.to_thread(self._means.remedies.bring, self.register, now, asked, compare=late)
        for kind, sentence in brought.faults.items():
            self._faults.tell(kind, sentence)
        if late and not self._in_trouble():
            self._compared = monotonic()
        for job in jobs:
            live = bool(job.peers) and brought.unproved.isdisjoint(job.peers)
            spent = (monotonic() - job.arrived) * 1000
            job.outcome = job.outcome.model_copy(update={"live": live, "milliseconds": spent if live else None})


def _file_first(waivers: Iterable[LiveWaiver]) -> tuple[LiveWaiver, ...]:
    return tuple(sorted(waivers, key=lambda waiver: not is_from_file(waiver)))


def _refused(sentence: str) -> Reply:
    return Reply(ok=False, refused=sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else "."))
