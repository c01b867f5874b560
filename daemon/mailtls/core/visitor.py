"""Visitors: scanners and monitors, which connect but never bring mail. Nothing needs doing about either.

A scanner shows many different failures within minutes, in bursts, and keeps no rhythm of retries; its name alone proves
nothing, because anybody can name his machine so. A monitor completes the handshake and leaves, or looks in at even
intervals. A mail server that is refused comes back one connection at a time, for hours, with the same failure.

SECURITY: whoever wants to be taken for a scanner can be: the price is only that nobody lets him down to a
weaker level.
BUGS: for a monitor that never fails the times of its sessions are not kept, so that its rhythm cannot be checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from mailtls.core.cause import Cause, Outcome
from mailtls.core.history import FAILED, PeerHistory
from mailtls.core.trouble import PORT_25, succeeded

BURST = timedelta(minutes=10)
PER_BURST = 3
KINDS_OF_A_SCANNER = 3
KINDS_OF_A_NAMED_SCANNER = 2
KINDS_WITH_SUITES = 4
LOOKS_OF_A_MONITOR = 3
EVEN_LOOKS = 8
# Domains of services that scan the Internet, seen in public logs: supporting evidence, never proof.
SCANNER_DOMAINS = (
    "academyforinternetresearch.org",
    "binaryedge.ninja",
    "censys-scanner.com",
    "censys.io",
    "checktls.com",
    "internet-census.org",
    "internet-measurement.com",
    "internet.nl",
    "leakix.net",
    "leakix.org",
    "onyphe.net",
    "shadowserver.org",
    "shodan.io",
    "ssllabs.com",
    "stretchoid.com",
)
# These tell nothing about who the peer is: together they count as one kind of failure.
_WEAK = frozenset({Cause.NETWORK_CUT, Cause.TIMEOUT, Cause.UNKNOWN})


def named_like_a_scanner(peer: PeerHistory) -> bool:
    """Tell whether the peer's name, forward-confirmed as Postfix prints it, is that of a known scanning service."""
    name = f".{(peer.name or '').lower().rstrip('.')}"
    return any(name.endswith(f".{domain}") for domain in SCANNER_DOMAINS)


def is_scanner(peer: PeerHistory) -> bool:
    """Tell whether the failures are a scanner's: several kinds at once, in bursts, and no mail ever."""
    if peer.mail.count or not peer.failing:
        return False
    kinds = _kinds_of_failure(peer)
    if named_like_a_scanner(peer) and (_at_once(kinds.values(), KINDS_OF_A_NAMED_SCANNER) or _has_a_burst(peer)):
        return True
    if _at_once(kinds.values(), KINDS_OF_A_SCANNER):
        return _comes_in_bursts(peer)
    return _at_once([*kinds.values(), *_suites(peer).values()], KINDS_WITH_SUITES) and _comes_in_bursts(peer)


def is_monitor(peer: PeerHistory) -> bool:
    """Tell whether the peer only looks in: handshakes done and dropped, or cut at even intervals, and no mail."""
    if peer.mail.count or any(v.outcome in FAILED and v.cause not in _WEAK for v in peer.verdicts):
        return False
    dropped = sum(tally.count for verdict, tally in peer.verdicts.items() if verdict.cause is Cause.DROPPED_AFTER_TLS)
    used = sum(tally.count for verdict, tally in peer.verdicts.items() if succeeded(verdict))
    failed = peer.tally(*FAILED).count
    if dropped >= LOOKS_OF_A_MONITOR and dropped >= used and dropped >= failed:
        return True
    return not used and keeps_even_intervals(peer.failed_at)


def keeps_even_intervals(times: Sequence[datetime]) -> bool:
    """Tell whether these times, eight or more, have the even gaps of a program on a timer: a tenth of each other."""
    ordered = sorted(times)
    gaps = sorted(later - earlier for earlier, later in pairwise(ordered))
    if len(ordered) < EVEN_LOOKS or gaps[0] < timedelta(seconds=10):
        return False
    # One missed look may stand among them, so the longest gap is left out.
    return gaps[-2] <= gaps[0] * 1.1


def _kinds_of_failure(peer: PeerHistory) -> dict[str, datetime | None]:
    """Give each different reason with the first time that it was seen."""
    kinds: dict[str, datetime | None] = {}
    for verdict, tally in peer.verdicts.items():
        if verdict.outcome is not Outcome.TLS_FAILED:
            continue
        kind = "cut" if verdict.cause in _WEAK else (verdict.reason or verdict.cause)
        kinds[kind] = _earlier(kinds.get(kind), tally.first)
    return kinds


def _suites(peer: PeerHistory) -> dict[tuple[str | None, str | None], datetime | None]:
    """Give each different version and cipher that succeeded at port 25: a scanner tries them all, a server has one."""
    suites: dict[tuple[str | None, str | None], datetime | None] = {}
    if not _kinds_of_failure(peer):
        return suites
    for verdict, tally in peer.verdicts.items():
        if verdict.outcome is Outcome.TLS_OK and verdict.service in PORT_25 and verdict.cipher:
            suite = (verdict.tls_version, verdict.cipher)
            suites[suite] = _earlier(suites.get(suite), tally.first)
    return suites


def _at_once(firsts: Iterable[datetime | None], wanted: int) -> bool:
    """Tell whether so many different things were first seen within `BURST`; without stamps, whether there are any."""
    known = list(firsts)
    times = sorted(first for first in known if first is not None)
    if len(known) >= wanted and not times:
        return True
    return any(late - early <= BURST for early, late in zip(times, times[wanted - 1 :], strict=False))


def _has_a_burst(peer: PeerHistory) -> bool:
    times = sorted(peer.failed_at)
    return any(late - early <= BURST for early, late in zip(times, times[PER_BURST - 1 :], strict=False))


def _comes_in_bursts(peer: PeerHistory) -> bool:
    """Tell whether failures come at least three at a time: a refused mail server tries once or twice, and waits."""
    times = sorted(peer.failed_at)
    bursts = 1 + sum(1 for early, late in pairwise(times) if late - early > BURST)
    return len(times) < PER_BURST or len(times) >= PER_BURST * bursts


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
