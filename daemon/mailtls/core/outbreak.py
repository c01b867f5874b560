"""Outbreaks: several peers that used to succeed begin to fail for the same reason within minutes.

Strangers do not change their software at the same minute: what changed is here. Three peers of different owners
are enough for a reason that OpenSSL gave; cut connections, which happen everywhere and all day, need ten. On a
busy server some peers begin to fail in any ten minutes, so an outbreak must also stand out against the rest of the log.

SECURITY: an attacker with many addresses could stage one; it leads to an alarm, and to nobody's waiver.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from mailtls.core.cause import Cause, Service
from mailtls.core.history import FAILED, History, PeerHistory, Tally, Verdict
from mailtls.core.trouble import DEVICES, PORT_25, succeeded, total
from mailtls.core.visitor import is_scanner

WINDOW = timedelta(minutes=10)
PEERS = 3
PEERS_FOR_WEAK_CAUSES = 10
TIMES_THE_USUAL = 4
_WEAK = frozenset({Cause.NETWORK_CUT, Cause.TIMEOUT, Cause.UNKNOWN})
_KINDS = (("port 25", PORT_25), ("the mailbox and submission ports", DEVICES))


@dataclass(frozen=True, slots=True)
class Onset:
    """One peer that had worked and began to fail. `worked_again`: its last success came after that."""

    at: datetime
    ip: str
    owner: str
    worked_again: bool


@dataclass(frozen=True, slots=True)
class Outbreak:
    """Many onsets at once. `where`: the ports; `peers`: addresses, sorted; `had_worked`: peers seen to work before."""

    where: str
    cause: Cause
    since: datetime
    until: datetime
    peers: tuple[str, ...]
    had_worked: int


def outbreaks(history: History) -> list[Outbreak]:
    """Find the outbreaks of a history, earliest first; without stamps there are none to find."""
    found = [outbreak for where, services in _KINDS for outbreak in _outbreaks_at(where, services, history)]
    return sorted(found, key=attrgetter("since", "where", "cause"))


@dataclass(frozen=True, slots=True)
class _Lives:
    """What one peer did on one kind of service."""

    peer: PeerHistory
    worked: Tally
    failed: Mapping[Cause, Tally]


def _outbreaks_at(where: str, services: frozenset[Service], history: History) -> Iterator[Outbreak]:
    first_successes: list[datetime] = []
    lives: list[_Lives] = []
    for peer in history.peers.values():
        here = [item for item in peer.verdicts.items() if item[0].service in services]
        worked = total(tally for verdict, tally in here if succeeded(verdict))
        if worked.first is None:
            continue
        first_successes.append(worked.first)
        if peer.failing and not is_scanner(peer):
            lives.append(_Lives(peer, worked, _failed(here)))
    for cause in sorted({cause for life in lives for cause in life.failed}):
        onsets = _onsets(cause, lives)
        peak = _densest(onsets)
        if not peak:
            continue
        since = peak[0].at
        had_worked = sum(1 for first in first_successes if first < since)
        if _stands_out(cause, peak, onsets, had_worked, history):
            hit = [onset for onset in onsets if onset.at >= since and not onset.worked_again]
            ips = {onset.ip for onset in (*peak, *hit)}
            yield Outbreak(where, cause, since, peak[-1].at, tuple(sorted(ips)), had_worked)


def _failed(here: Iterable[tuple[Verdict, Tally]]) -> dict[Cause, Tally]:
    failed: dict[Cause, Tally] = {}
    for verdict, tally in here:
        if verdict.outcome in FAILED:
            failed.setdefault(verdict.cause, Tally()).add(tally.count, tally.first, tally.last)
    return failed


def _onsets(cause: Cause, lives: Iterable[_Lives]) -> list[Onset]:
    """List the peers that worked before they failed for this cause, earliest failure first."""
    found = []
    for life in lives:
        failed, worked = life.failed.get(cause), life.worked
        if failed is None or failed.first is None or worked.first is None or worked.first >= failed.first:
            continue
        again = worked.last is not None and failed.last is not None and worked.last > failed.last
        found.append(Onset(failed.first, life.peer.ip, owner_of(life.peer), again))
    return sorted(found, key=attrgetter("at", "ip"))


def _densest(onsets: Sequence[Onset]) -> Sequence[Onset]:
    """Cut out the ten minutes in which most peers began to fail; the earliest of several such."""
    best: Sequence[Onset] = ()
    left = 0
    for right, onset in enumerate(onsets):
        while onset.at - onsets[left].at > WINDOW:
            left += 1
        if right - left + 1 > len(best):
            best = onsets[left : right + 1]
    return best


def _stands_out(
    cause: Cause, peak: Sequence[Onset], onsets: Sequence[Onset], had_worked: int, history: History
) -> bool:
    """Tell whether so many onsets at once are no chance: most peers are hit, or many times more than usual."""
    owners = len({onset.owner for onset in peak})
    if owners < (PEERS_FOR_WEAK_CAUSES if cause in _WEAK else PEERS):
        return False
    if len(peak) * 2 >= had_worked:
        return True
    usual = len(onsets) * (WINDOW / max(_span(history), WINDOW))
    return len(peak) >= TIMES_THE_USUAL * usual


def _span(history: History) -> timedelta:
    """Measure from the first to the last session that the history knows of."""
    tallies = [tally for peer in history.peers.values() for tally in peer.verdicts.values()]
    whole = total(tallies)
    return whole.last - whole.first if whole.first and whole.last else timedelta()


def owner_of(peer: PeerHistory) -> str:
    """Say to whom an address belongs, roughly: the last two labels of its name, else its /24 or /48."""
    labels = [label for label in (peer.name or "").lower().split(".") if label]
    if len(labels) > 1:
        return ".".join(labels[-2:])
    try:
        address = ipaddress.ip_address(peer.ip)
    except ValueError:
        return peer.ip
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))
