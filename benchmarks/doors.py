#!/usr/bin/env python3
"""What many waivers of doors cost: to apply, to live with, and to add one more.

    sudo PYTHONPATH=. benchmarks/doors.py [--waivers 10000] [--rounds 5] [--connections 200] [--json]

A private Postfix with its doors, keeper and mailtlsd run in a network namespace, clients in others (tests/postfix).
The waivers are entries of known-legacy.toml, half of them IPv6. Look-ups are compared in turns with a table that has
none: by bare TCP connections to a port that does nothing else, by whole sessions at the strict door, and by whole
sessions of a waived peer. Medians; figures of one run, no test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.postfix.clients import TLS10_ONLY, TLS13_MODERN, insists
from tests.postfix.doors_world import BY_HAND, DoorWorld
from tests.postfix.netns import SERVER4, network, why_no_namespaces

from mailtls.core.keeperprotocol import KeeperStatus
from mailtls.ctl.inquiry import ask_keeper, places_of

PEER, STRANGER = "198.51.100.7", "203.0.113.9"
IDLE_PORT = 2525
PATIENCE_S = 300.0


def known(count: int) -> str:
    """Write a list of so many peers, half of them IPv6."""
    until = (datetime.now(UTC) + timedelta(days=30)).date()
    rest = f'level = "legacy"\nreason = "benchmark"\nowner = "kim"\nuntil = {until}\n'
    ipv4 = (f"100.{64 + each // 65536}.{each // 256 % 256}.{each % 256}" for each in range(count - count // 2))
    ipv6 = (f"2001:db8:99::{each:x}" for each in range(1, count // 2 + 1))
    return "".join(f'[[peer]]\nnetwork = "{address}"\n{rest}' for address in (*ipv4, *ipv6))


def elements(world: DoorWorld) -> int:
    """Count what nftables has in the sets of the doors; a plain listing, because JSON is slower to read."""
    with suppress(RuntimeError):
        return world.network.server.run("nft", "list", "table", "inet", "mailtls").count(" expires ")
    return 0


def standing(world: DoorWorld) -> int:
    """Ask the keeper how many waivers stand."""
    health = ask_keeper(places_of(str(world.config)), KeeperStatus()).health
    return sum(health.waivers.values()) if health is not None else 0


def apply(world: DoorWorld, count: int) -> float:
    """Make the list have so many entries; give the seconds until nftables has them and the keeper says so."""
    listed = world.policy.parent / "known-legacy.toml"
    fresh = listed.with_suffix(".new")
    fresh.write_text(known(count))
    started = time.perf_counter()
    fresh.rename(listed)
    world.keeper.signal(1)
    while not (standing(world) >= count and elements(world) >= count):
        if time.perf_counter() - started > PATIENCE_S:
            raise TimeoutError(f"nftables has {elements(world)} of {count} after {PATIENCE_S:.0f} s\n{world.words()}")
        time.sleep(0.01)
    return time.perf_counter() - started


def one_more(world: DoorWorld, rounds: int) -> dict[str, float]:
    """Let one more in, and out again: milliseconds by the keeper, by the whole command, and of the first session."""
    own, whole, end, spent = [], [], [], []
    for _ in range(rounds):
        time.sleep(1)  # so that nothing is left of what was before
        before, started = processor_seconds(world), time.perf_counter()
        ran = world.ctl("allow-legacy", PEER, "--level", "legacy")
        whole.append(time.perf_counter() - started)
        spent.append(processor_seconds(world) - before)
        said = re.search(r"live after ([\d.,]+) ms", ran.said)
        if ran.status or said is None:
            raise RuntimeError(f"allow-legacy: {ran}")
        own.append(float(said[1].replace(",", "")))
        if not world.internet.meet(insists(TLS10_ONLY), PEER).delivered:
            raise RuntimeError("it is said to be live, and is not")
        started = time.perf_counter()
        world.ctl("revoke", PEER)
        end.append(time.perf_counter() - started)
    return {
        "live_ms": statistics.median(own), "live_ms_least": min(own), "live_ms_worst": max(own),
        "keeper_processor_ms": 1000 * statistics.mean(spent),
        "command_ms": 1000 * statistics.median(whole), "revoke_command_ms": 1000 * statistics.median(end),
    }  # fmt: skip


def processor_seconds(world: DoorWorld) -> float:
    """Give the processor time of the keeper and of the programs that it ran, from proc(5)."""
    fields = Path(f"/proc/{world.keeper.process}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def serve_idly(world: DoorWorld) -> None:
    """Accept on a port of the mail server and close at once, until the process ends."""
    listener = socket.create_server((SERVER4, IDLE_PORT), backlog=256)

    def accept() -> None:
        while True:
            listener.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()


def cost(world: DoorWorld, connections: int) -> dict[str, float]:
    """Time connections of three kinds, in microseconds: the median of each."""

    def knocked() -> None:
        world.internet.knock(STRANGER, IDLE_PORT, SERVER4)

    def delivered(address: str) -> Callable[[], None]:
        return lambda: void(world.internet.meet(insists(TLS13_MODERN), address).delivered)

    return {
        "tcp_us": timed(knocked, connections * 5),
        "strict_session_us": timed(delivered(STRANGER), connections // 4),
        "door_session_us": timed(delivered(PEER), connections // 4),
    }


def void(delivered: bool) -> None:
    """Make sure that what was timed went through."""
    if not delivered:
        raise RuntimeError("a session failed, so its time says nothing")


def timed(act: Callable[[], None], times: int) -> float:
    """Give the median time of an act, in microseconds."""
    found = []
    for _ in range(times):
        started = time.perf_counter_ns()
        act()
        found.append((time.perf_counter_ns() - started) / 1000)
    return statistics.median(found)


def main() -> int:
    """Measure, and print."""
    asked = _parser().parse_args()
    if why := why_no_namespaces():
        print(f"doors.py: {why}", file=sys.stderr)
        return 2
    with network() as net, net.server, DoorWorld(net, BY_HAND) as world:
        serve_idly(world)
        figures: dict[str, object] = {"waivers": asked.waivers, "one_more_among_none": one_more(world, asked.rounds)}
        world.allow(PEER, "--level", "legacy")
        empty = [cost(world, asked.connections) for _ in range(2)]
        figures["apply_s"] = apply(world, asked.waivers)
        full = [cost(world, asked.connections) for _ in range(2)]
        figures["empty"] = {kind: min(each[kind] for each in empty) for kind in empty[0]}
        figures["full"] = {kind: min(each[kind] for each in full) for kind in full[0]}
        world.ctl("revoke", PEER)
        figures["one_more_among_all"] = one_more(world, asked.rounds)
        figures["one_gone_s"] = apply_fewer(world, asked.waivers - 1)
    print(json.dumps(figures, indent=1))
    return 0


def apply_fewer(world: DoorWorld, count: int) -> float:
    """Take entries out of the list; give the seconds until nftables has no more than the rest."""
    listed = world.policy.parent / "known-legacy.toml"
    fresh = listed.with_suffix(".new")
    fresh.write_text(known(count))
    started = time.perf_counter()
    fresh.rename(listed)
    world.keeper.signal(1)
    while elements(world) > count and time.perf_counter() - started < PATIENCE_S:
        time.sleep(0.01)
    return time.perf_counter() - started


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--waivers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=200)
    return parser


if __name__ == "__main__":
    sys.exit(main())
