#!/usr/bin/env python3
"""How fast a log is followed: a backlog, a line's way from write() to the reader, and the cost of a quiet log.

    benchmarks/follow_speed.py [--size 100m] [--lines 2000] [--quiet 10] [--log FILE]

Makes the log with ../shared/perf/gen.py (or takes --log). The backlog is read by our follower and by `tail -n +1`, in
turn, and the medians of both are printed with their ratio: both hand whole lines to a Python program that counts them.
The latency is that of single lines, written a few milliseconds apart by another process, each with its time in it; the
same is measured for `tail -F`. The quiet log is followed for some seconds, and the CPU time of all of it is counted.
Figures of one run on one machine, no test.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mailtls.edge.follow import Follower

HERE = Path(__file__).resolve().parent
GENERATOR = HERE.parent.parent / "shared" / "perf" / "gen.py"
PAIRS = 5
WRITER = """
import os, sys, time
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for _ in range(int(sys.argv[2])):
    os.write(descriptor, b"Nov 21 00:42:35 mail postfix/smtpd[1]: at %.6f\\n" % time.monotonic())
    time.sleep(0.003)
"""


def cpu() -> float:
    """CPU seconds of this process and its children that ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


async def read_backlog(log: Path) -> tuple[int, float, float]:
    """Follow from the first line until caught up: lines, seconds, the longest time between two batches."""
    follower = Follower(log, from_start=True)
    lines, longest = 0, 0.0
    start = last = time.perf_counter()
    async for batch in follower.batches():
        lines += len(batch.lines)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        if batch.lines and not batch.behind:
            await follower.close()
    return lines, time.perf_counter() - start, longest


def tail_backlog(log: Path) -> tuple[int, float]:
    """Read the same through tail(1), in the same blocks."""
    start = time.perf_counter()
    with subprocess.Popen(["tail", "-n", "+1", log], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = 0
        rest = b""
        while block := os.read(child.stdout.fileno(), 1 << 18):
            found = (rest + block).split(b"\n")
            rest = found.pop()
            lines += len(found)
    return lines, time.perf_counter() - start


def start_writer(log: Path, count: int) -> subprocess.Popen[bytes]:
    """Start the process that writes lines with their time in them."""
    return subprocess.Popen([sys.executable, "-c", WRITER, log, str(count)])


async def follow_lines(log: Path, count: int) -> list[float]:
    """Milliseconds from write() to the batch, of lines that another process writes."""
    follower = Follower(log)
    latencies: list[float] = []
    writer: subprocess.Popen[bytes] | None = None
    async for batch in follower.batches():
        now = time.monotonic()
        latencies += [(now - float(line.rpartition(b" ")[2])) * 1e3 for line in batch.lines]
        if writer is None:
            writer = start_writer(log, count)
        if len(latencies) >= count:
            await follower.close()
    assert writer is not None
    writer.wait()
    return latencies


def tail_lines(log: Path, count: int) -> list[float]:
    """The same through tail -F."""
    child = subprocess.Popen(["tail", "-n", "0", "-F", log], stdout=subprocess.PIPE)
    assert child.stdout is not None
    time.sleep(0.5)
    writer = start_writer(log, count)
    latencies: list[float] = []
    while len(latencies) < count:
        block = os.read(child.stdout.fileno(), 1 << 18)
        now = time.monotonic()
        latencies += [(now - float(line.rpartition(b" ")[2])) * 1e3 for line in block.splitlines()]
    writer.wait()
    child.kill()
    child.wait()
    return latencies


async def rest(log: Path, seconds: float) -> float:
    """The share of a core that a quiet log costs."""
    follower = Follower(log)
    ended: asyncio.Task[None] | None = None
    before = 0.0

    async def end() -> None:
        await asyncio.sleep(seconds)
        await follower.close()

    async for _ in follower.batches():
        if ended is None:
            before = cpu()
            ended = asyncio.create_task(end())
    return (cpu() - before) / seconds


def quantiles(values: list[float]) -> str:
    """Median and p99, in words."""
    ordered = sorted(values)
    return f"median {statistics.median(ordered):.2f} ms, p99 {ordered[int(len(ordered) * 0.99)]:.2f} ms"


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", default="100m")
    options.add_argument("--lines", type=int, default=2000)
    options.add_argument("--quiet", type=float, default=10.0)
    options.add_argument("--log")
    order = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailtls-benchmark-") as directory:
        log = Path(order.log or os.path.join(directory, "mail.log"))
        if not order.log:
            made = [sys.executable, str(GENERATOR), "--size", order.size, "--seed", "1", "--ts", "iso", str(log)]
            subprocess.run(made, check=True)
        tail_backlog(log)
        pairs = [(asyncio.run(read_backlog(log)), tail_backlog(log)) for _ in range(PAIRS)]
        lines = pairs[0][0][0]
        us = statistics.median(pair[0][1] for pair in pairs)
        them = statistics.median(pair[1][1] for pair in pairs)
        longest = max(pair[0][2] for pair in pairs)
        print(f"backlog: {log.stat().st_size / 2**20:.0f} MB, {lines} lines; medians of {PAIRS} pairs")
        print(
            f"  followed: {us:.3f} s, {lines / us / 1e6:.2f} M lines/s; longest time in the loop {longest * 1e3:.1f} ms"
        )
        print(f"  tail:     {them:.3f} s, {lines / them / 1e6:.2f} M lines/s; ratio {us / them:.2f}")
        live = Path(directory) / "live.log"
        live.touch()
        print(f"latency of {order.lines} single lines, write() to reader")
        print(f"  followed: {quantiles(asyncio.run(follow_lines(live, order.lines)))}")
        print(f"  tail -F:  {quantiles(tail_lines(live, order.lines))}")
        print(f"quiet log: {asyncio.run(rest(live, order.quiet)):.3%} of a core over {order.quiet:.0f} s")


if __name__ == "__main__":
    main()
