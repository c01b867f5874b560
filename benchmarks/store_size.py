#!/usr/bin/env python3
"""What a million known peers and 10,000 waivers cost mailtlsd's memory: bytes per peer, time to open, commit and ask.

    benchmarks/store_size.py [--peers 1000000] [--waivers 10000] [--keep FILE] [--json]

Makes a database as months of a busy site leave it: 70% peers that always get through, 20% strangers that never did, 10%
that failed; each seen on three days. Then opens it in a fresh process, and measures there. Figures of one run, no test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.conduct import Conduct, Series
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.level import Level
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.core.waiver import Origin
from mailtls.edge.store import Change, Position, Store

NOW = datetime.now(UTC)
DAYS = 3
BATCH = 10_000
LINES = (
    "Nov 21 03:07:12 mx postfix/smtpd[3320018]: SSL_accept error from {}[{}]: -1",
    "Nov 21 03:07:12 mx postfix/smtpd[3320018]: warning: TLS library problem: error:1417A0C1:SSL routines:"
    "tls_post_process_client_hello:no shared cipher:../ssl/statem/statem_srvr.c:2283:",
)


def ip_of(number: int) -> str:
    """Spread peers over the address space, as the world does; every tenth has IPv6."""
    spread = number * 2_654_435_761 % 2**32
    if number % 10 == 9:
        return f"2001:db8:{spread >> 16:x}:{spread & 0xFFFF:x}::{number & 0xFF:x}"
    return f"{spread >> 24}.{spread >> 16 & 255}.{spread >> 8 & 255}.{spread & 255}"


def name_of(number: int) -> str:
    return "unknown" if number % 10 in (7, 8) else f"mail-{number % 1000}.customer{number}.example.com"


def session_of(number: int, at: datetime) -> Session:
    """One session of a peer: its number decides how it fares."""
    peer, kind = Peer(ip_of(number), name_of(number)), number % 10
    if kind in (7, 8):
        return Session(at, peer, Service.SMTPD, Door.STRICT, Outcome.NO_STARTTLS, Cause.NONE)
    if kind == 6:
        lines = tuple(line.format(peer.name, peer.ip) for line in LINES)
        return Session(
            at, peer, Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, Cause.NO_SHARED_CIPHER,
            "no shared cipher", 0x0C1, lines=lines,
        )  # fmt: skip
    return Session(
        at, peer, Service.SMTPD, Door.STRICT, Outcome.TLS_OK, Cause.NONE,
        tls_version=("TLSv1.3", "TLSv1.2")[number % 2], cipher="TLS_AES_256_GCM_SHA384", delivered=True,
    )  # fmt: skip


def conduct_of(session: Session) -> Conduct:
    """What a decider remembers of such a peer."""
    peer = session.peer
    assert peer is not None and session.at is not None
    if session.outcome is Outcome.NO_STARTTLS:
        return Conduct(name=peer.name)
    if session.outcome is Outcome.TLS_OK:
        return Conduct(name=peer.name, good=session.tls_version, used_to_succeed=True, mailed=True)
    times = [session.at - timedelta(minutes=11 * number) for number in range(4)]
    series = {(session.cause, session.reason_number): Series(times, 4, session.at)}
    return Conduct(name=peer.name, series=series, evidence=list(session.lines))


def change_of(numbers: list[int], at: datetime) -> Change:
    sessions = [session_of(number, at + timedelta(seconds=number % 80_000)) for number in numbers]
    conducts = {each.peer.ip: conduct_of(each) for each in sessions if each.peer is not None}
    return Change(sessions, conducts, positions={"mail.log": Position("x" * 200, "[]", at)})


def waiver_of(number: int) -> LiveWaiver:
    return LiveWaiver(
        id=f"policy-{number}", network=ip_of(number * 10 + 6), level=Level.LEGACY,
        owner="policy", reason="no shared cipher",
        granted=NOW, until=NOW + timedelta(days=30), latest=NOW + timedelta(days=180), origin=Origin.POLICY,
    )  # fmt: skip


async def build(path: Path, peers: int, waivers: int) -> float:
    """Fill the database; return sessions per second."""
    store = await Store.open(path)
    begin = time.perf_counter()
    for day in range(DAYS):
        at = NOW - timedelta(days=DAYS - day)
        for start in range(0, peers, BATCH):
            await store.commit(change_of(list(range(start, min(start + BATCH, peers))), at))
    await store.commit(Change(waivers=tuple(map(waiver_of, range(waivers)))))
    taken = time.perf_counter() - begin
    await store.close()
    return peers * DAYS / taken


async def milliseconds(what: Callable[[], Awaitable[object]], rounds: int) -> dict[str, float]:
    """Median and worst of some rounds."""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        await what()
        taken.append((time.perf_counter() - begin) * 1000)
    return {"median": round(statistics.median(taken), 2), "worst": round(max(taken), 2)}


async def measure(path: Path, peers: int) -> dict[str, object]:
    """Open it and use it, as a mailtlsd that was just started does."""
    before = resident()
    begin = time.perf_counter()
    store = await Store.open(path)
    opening = time.perf_counter() - begin
    opened = resident()
    chance = random.Random(1)

    def some(number: int) -> list[int]:
        return [chance.randrange(peers) for _ in range(number)]

    async def recall() -> None:
        await store.conducts([ip_of(number) for number in some(100)])

    async def commit(number: int) -> None:
        await store.commit(change_of(some(number), NOW - timedelta(days=1)))

    one = ip_of(some(1)[0])
    figures: dict[str, object] = {
        "open_ms": round(opening * 1000, 1),
        "conducts_of_100_ms": await milliseconds(recall, 200),
        "commit_of_10_ms": await milliseconds(lambda: commit(10), 100),
        "commit_of_1000_ms": await milliseconds(lambda: commit(1000), 50),
        "commit_of_10000_ms": await milliseconds(lambda: commit(10_000), 5),
        "latest_1000_peers_ms": await milliseconds(store.peers, 5),
        "failing_1000_peers_ms": await milliseconds(lambda: store.peers(failing=True), 5),
        "peers_by_domain_ms": await milliseconds(lambda: store.peers(whom=".customer77.example.com"), 3),
        "one_peer_ms": await milliseconds(lambda: store.peer(one), 20),
        "days_of_one_ms": await milliseconds(lambda: store.days(one), 20),
        "history_ms": await milliseconds(store.history, 20),
        "counts_ms": await milliseconds(store.counts, 5),
        "waivers_ms": await milliseconds(store.waivers, 3),
    }
    figures["counts"] = await store.counts()
    figures["resident_mb"] = {"program": before, "opened": opened, "used": resident()}
    figures["forget_nothing_ms"] = await milliseconds(
        lambda: store.forget(NOW, timedelta(days=400), timedelta(days=30)), 2
    )
    begin = time.perf_counter()
    gone = await store.forget(NOW + timedelta(days=31), timedelta(days=400), timedelta(days=30))
    figures["forgotten_strangers"] = gone
    figures["forgotten_per_second"] = round(gone / (time.perf_counter() - begin))
    await store.close()
    return figures


def resident() -> float:
    """Resident set of this process in MB."""
    return round(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6, 1)


def size_of(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.glob(path.name + "*"))


def main() -> None:
    """Build, measure in a fresh process, print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--peers", type=int, default=1_000_000)
    options.add_argument("--waivers", type=int, default=10_000)
    options.add_argument("--keep", type=Path, help="leave the database here, or use the one that is here")
    options.add_argument("--json", action="store_true")
    options.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.measure:
        print(json.dumps(asyncio.run(measure(given.measure, given.peers))))
        return
    with tempfile.TemporaryDirectory() as directory:
        path = given.keep or Path(directory) / "mailtls.db"
        figures: dict[str, object] = {"peers": given.peers, "waivers": given.waivers}
        if not path.exists():
            figures["built_sessions_per_second"] = round(asyncio.run(build(path, given.peers, given.waivers)))
        figures["megabytes"] = round(size_of(path) / 1e6, 1)
        figures["bytes_per_peer"] = round(size_of(path) / given.peers)
        command = [sys.executable, __file__, "--measure", str(path), "--peers", str(given.peers)]
        figures |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ).stdout)
        figures["megabytes_after_forgetting"] = round(size_of(path) / 1e6, 1)
    for name, value in figures.items():
        print(f"{name:32} {value}") if not given.json else None
    if given.json:
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
