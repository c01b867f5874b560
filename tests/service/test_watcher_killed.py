"""kill -9 at random moments, fifty times: what was written is counted once, what was granted stands."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailtls.core.keeperprotocol import Grant
from mailtls.core.level import Level

from .installation import Installation, installed, reported, trial
from .traffic import Traffic
from .world import Keeper, Server, World, listening, running

SENTINEL = "203.0.113.99"
COUNTS = ("sessions", "failures", "mails")


def a_grant(ip: str, number: int = 0) -> Grant:
    """What a person asks for."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    return Grant(id=f"p-{ip}-{number}", network=ip, level=Level.CLEARTEXT, until=until, reason="an old copier")


def known_to(installation: Installation) -> dict[str, Counter[str]]:
    """What mailtlsd counted, by address."""
    return {
        ip: Counter({name: getattr(peer, name) for name in COUNTS})
        for ip, peer in installation.peers().items()
        if peer.sessions
    }


async def test_where_a_log_is_begun_is_kept_before_anything_is_read(tmp_path: Path) -> None:
    """Killed before the first commit, the next one would begin at a later end, and miss what came between."""
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(World(tmp_path, keeper), commits=False) as world:
            world.write(*Server().succeeds("198.51.100.1"))
            await world.until(lambda: world.sessions == 1)
            store = world.memory.store
            assert store is not None
            async with asyncio.timeout(10):
                while await store.position(f"file:{world.log}") is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)


@trial
def test_mailtlsd_killed_fifty_times_counts_every_session_once() -> None:
    draw = random.Random(2026)
    with installed() as place:
        keeper = place.keeper()
        for number in range(20):
            assert place.request(a_grant(f"192.0.2.{number + 1}")).live
        traffic = Traffic(place.log, seed=7)
        daemon = place.daemon()
        place.until(place.has_begun, "the place where the log was begun is kept")
        for _ in range(50):
            moment = time.monotonic() + draw.choice((0.02, 0.15, 0.3, 0.6, 1.2)) * draw.random() + 0.01
            while time.monotonic() < moment:
                traffic.write(draw.choice((1, 5, 50, 400)))
                time.sleep(0.005)
            if draw.random() < 0.4:
                traffic.rotate()
            daemon.kill()
            if draw.random() < 0.3:  # things go on while it is down
                traffic.write(2_000)
                traffic.rotate()
                traffic.write(10)
            daemon = place.born("mailtlsd")
        traffic.finish(SENTINEL)
        place.waits_until_it_knows(SENTINEL)

        assert traffic.lines > 20_000
        assert len(traffic.rotations) == 4, "every way of rotating"
        assert known_to(place) == traffic.counted
        standing = place.standing()
        assert standing is not None
        assert {f"192.0.2.{number + 1}" for number in range(20)} <= standing.keys()
        assert place.waivers_told() == standing.keys(), "mailtlsd tells the keeper's list"
        assert not daemon.is_over and not keeper.is_over


@trial
def test_what_the_log_grew_by_while_mailtlsd_was_down_is_counted_as_report_counts_it() -> None:
    megabytes = int(os.environ.get("MAILTLS_TRIAL_MB", "10"))
    with installed() as place:
        daemon = place.daemon()
        place.until(place.has_begun, "the place where the log was begun is kept")
        daemon.kill()
        traffic = Traffic(place.log, seed=3)
        for half in range(2):
            while place.log.stat().st_size < megabytes * 500_000:
                traffic.write(5_000)
            if not half:
                traffic.rotate()
        traffic.finish(SENTINEL)
        logs = sorted(place.log.parent.iterdir(), key=lambda log: log.stat().st_mtime)
        place.born("mailtlsd")
        place.waits_until_it_knows(SENTINEL)
        counted = reported(*logs)
        assert {
            ip: Counter(sessions=of["sessions"], failures=of["failures"]) for ip, of in known_to(place).items()
        } == counted
        assert {ip: of["sessions"] for ip, of in counted.items()} == {
            ip: of["sessions"] for ip, of in traffic.counted.items()
        }
