#!/usr/bin/env python3
"""How long `mailtlsctl report` takes on a large log, against the operators' two classic pipelines.

    benchmarks/report_speed.py [--size 1g] [--pairs 5] [--ts bsd|iso|mixed] [--log FILE] [--json] [--stages]

Makes the log with ../shared/perf/gen.py (or takes --log), then runs both ways in turn, so that a busy machine slows
both, and prints medians and their ratio; figures of one run, no test. Memory is the largest resident set of any one
process, and the sum of both processes' at their largest. With --stages: the share of time of each stage, by a profile
of one process. Without stringzilla in the environment this is the way with Debian's packages only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATOR = HERE.parent.parent / "shared" / "perf" / "gen.py"
PIPELINES = r"""
egrep "SSL_accept error" "$1" | awk '{printf("%s %s %s\n", $9, $10, $11)}' | sort | uniq -c | sort -
egrep "TLS connection established from.*with cipher" "$1" | awk '{printf("%s %s %s %s\n", $12, $13, $14, $15)}' \
  | sort | uniq -c | sort -
"""


def seconds(command: list[str]) -> float:
    """Run it with its output thrown away; return the seconds it took."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def resident(pid: int) -> int:
    """Resident set of a process and its children, in kB."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, KeyError, ValueError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if int(fields["PPid"]) == pid or int(fields["Pid"]) == pid:
                total += int(fields["VmRSS"].split()[0])
    return total


def memory(command: list[str]) -> tuple[int, int]:
    """The largest resident set of one process, and of all together, in MB."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    together = 0
    done = threading.Event()
    waiter = threading.Thread(target=lambda: (child.wait(), done.set()))
    waiter.start()
    while not done.wait(0.02):
        together = max(together, resident(child.pid))
    waiter.join()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, together // 1024


def stages(log: str) -> None:
    """Print the share of each stage in one process."""
    import cProfile
    import pstats

    from mailtls.edge import halves

    halves.SPLIT = 1 << 62
    from mailtls import ctl

    names = {
        "find_failures": "first pass: failures, Dovecot, odd lines",
        "count_successes": "second pass: successes, ends of sessions",
        "settle_these": "sessions of the peers listed",
        "diagnose": "diagnosis",
        "begin_block": "counting lines",
        "_pieces": "reading",
        "_pieces_of_report": "printing",
        "write": "printing",
    }
    profile = cProfile.Profile()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        profile.runcall(ctl.run, ["report", log])
    stats = pstats.Stats(profile)
    whole = stats.total_tt  # type: ignore[attr-defined]
    print("\nshare of time, one process (a profile: calls weigh more than they do):")
    for (_, _, name), (_, _, _, cumulative, _) in stats.stats.items():  # type: ignore[attr-defined]
        if name in names and cumulative > whole / 200:
            print(f"  {cumulative / whole:6.1%}  {names[name]} ({name})")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", default="1g")
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--ts", default="bsd", choices=("bsd", "iso", "mixed"))
    options.add_argument("--log")
    options.add_argument("--json", action="store_true", help="measure --format json instead of text")
    options.add_argument("--stages", action="store_true")
    order = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailtls-benchmark-") as directory:
        log = order.log or os.path.join(directory, "mail.log")
        if not order.log:
            made = [sys.executable, str(GENERATOR), "--size", order.size, "--seed", "1", "--ts", order.ts, log]
            subprocess.run(made, check=True)
        ours = [sys.executable, "-m", "mailtls.ctl", "report", *(["--format", "json"] if order.json else []), log]
        pipelines = ["bash", "-c", PIPELINES, "-", log]
        seconds(["cat", log])
        pairs = [(seconds(pipelines), seconds(ours)) for _ in range(order.pairs)]
        them, us = (statistics.median(side) for side in zip(*pairs, strict=True))
        fast = importlib.util.find_spec("stringzilla") is not None
        print(f"log: {Path(log).stat().st_size / 2**20:.0f} MB, {order.ts} stamps; {order.pairs} pairs, medians")
        print(f"python {sys.version.split()[0]}, stringzilla: {'yes' if fast else 'no (Debian packages only)'}")
        print(f"pipelines {them:6.2f} s")
        print(f"report    {us:6.2f} s   ratio {us / them:.2f}")
        largest, together = memory(ours)
        print(f"memory: {largest} MB the largest process, {together} MB all processes together")
        if order.stages:
            stages(log)


if __name__ == "__main__":
    main()
