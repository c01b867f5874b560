#!/usr/bin/env python3
"""How long `mailtlsctl report` takes on a large log, against the operators' two classic pipelines.

    benchmarks/report_speed.py [--size 1g] [--pairs 5] [--ts bsd|iso|mixed] [--log FILE] [--json] [--stages]

Makes the log with ../shared/perf/gen.py (or takes --log), then runs both ways in turn, so that a busy machine slows
both, and prints medians, the least, and their ratios; figures of one run, no test. The ratio of wall clock times needs
an idle machine with two cores: both ways are several processes. The ratio of processor seconds (user and system, all
processes) holds better beside other work. Memory is the largest resident set of any one process, and the sum of both
processes' at their largest. With --stages: the processor time of each stage in one process. Without stringzilla in the
environment this is the way with Debian's packages only. The program runs from compiled files, as an installed one does.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
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
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATOR = HERE.parent.parent / "shared" / "perf" / "gen.py"
PIPELINES = r"""
egrep "SSL_accept error" "$1" | awk '{printf("%s %s %s\n", $9, $10, $11)}' | sort | uniq -c | sort -
egrep "TLS connection established from.*with cipher" "$1" | awk '{printf("%s %s %s %s\n", $12, $13, $14, $15)}' \
  | sort | uniq -c | sort -
"""


Times = tuple[float, float]  # seconds that passed, and those of the processors


def seconds(command: list[str]) -> Times:
    """Run it with its output thrown away; return the seconds it took, and those of the processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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


STAGES = (
    ("mailtls.edge.halves", None, "places_of", "finding blocks"),
    ("mailtls.core.marks", "Marker", "_find_logins", "logins of Dovecot"),
    ("mailtls.core.marks", "Marker", "_find_failures", "lines of failures and odd lines"),
    ("mailtls.core.skim", "Skim", "_find_failures", "failures put together, with both above"),
    ("mailtls.core.follower", "Follower", "_follow_successes", "successes by version and cipher, and of listed peers"),
    ("mailtls.core.follower", "Follower", "_follow_ends", "ends of sessions, and of listed peers"),
    ("mailtls.edge.skimming", "Skimming", "_skimmed", "FIRST PASS, with reading"),
    ("mailtls.edge.skimming", "Skimming", "_understand", "verdicts of the listed peers: failures"),
    ("mailtls.edge.skimming", "Skimming", "_follow", "SECOND PASS, with reading"),
    ("mailtls.edge.skimming", "Skimming", "_settle", "verdicts of the listed peers: successes"),
    ("mailtls.core.diagnosis", None, "diagnose", "diagnosis"),
    ("mailtls.ctl.output", None, "write", "printing"),
)


def stages(log: str) -> None:
    """Print the share of processor time of each stage in one process."""
    from mailtls import ctl
    from mailtls.edge import halves, skimming

    halves.SPLIT = 1 << 62
    spent: dict[str, float] = {}
    for module_name, owner_name, name, words in STAGES:
        module = importlib.import_module(module_name)
        owner = module if owner_name is None else getattr(module, owner_name)
        setattr(owner, name, timed(getattr(owner, name), words, spent))
    skimming.places_of = halves.places_of
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ctl.run(["report", log])
    whole = time.process_time() - start
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    counting = children.ru_utime + children.ru_stime - before.ru_utime - before.ru_stime
    print(f"\nshare of processor time, one process, {whole:.2f} s, and beside it {counting:.2f} s of wc for the lines:")
    for *_, words in STAGES:
        print(f"  {spent.get(words, 0) / whole:6.1%}  {words}")


def timed(function: Callable[..., object], words: str, spent: dict[str, float]) -> Callable[..., object]:
    """Add the processor time of every call to `spent`."""

    def run(*arguments: object, **named: object) -> object:
        start = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[words] = spent.get(words, 0.0) + time.process_time() - start

    return run


def compare(pairs: list[tuple[Times, Times]], pick: Callable[[Iterator[float]], float], words: str) -> None:
    """Print one figure of all pairs, and its ratio: the median, or the least, which others at work change less."""
    them, us, cpu_them, cpu_us = (pick(pair[way][unit] for pair in pairs) for unit in (0, 1) for way in (0, 1))
    print(f"{words:7} pipelines {them:5.2f} s, report {us:5.2f} s, ratio {us / them:.2f};", end=" ")
    print(f"processors {cpu_them:5.2f} s and {cpu_us:5.2f} s, ratio {cpu_us / cpu_them:.2f}")


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
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(directory, "compiled")
        log = order.log or os.path.join(directory, "mail.log")
        if not order.log:
            made = [sys.executable, str(GENERATOR), "--size", order.size, "--seed", "1", "--ts", order.ts, log]
            subprocess.run(made, check=True)
        ours = [sys.executable, "-m", "mailtls.ctl", "report", *(["--format", "json"] if order.json else []), log]
        pipelines = ["bash", "-c", PIPELINES, "-", log]
        seconds(["cat", log])
        seconds(ours)
        pairs = [(seconds(pipelines), seconds(ours)) for _ in range(order.pairs)]
        fast = importlib.util.find_spec("stringzilla") is not None
        print(f"log: {Path(log).stat().st_size / 2**20:.0f} MB, {order.ts} stamps; {order.pairs} pairs")
        print(f"python {sys.version.split()[0]}, stringzilla: {'yes' if fast else 'no (Debian packages only)'}")
        print(f"others at work: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, our own included")
        compare(pairs, statistics.median, "median")
        compare(pairs, min, "least")
        largest, together = memory(ours)
        print(f"memory: {largest} MB the largest process, {together} MB all processes together")
        if order.stages:
            stages(log)


if __name__ == "__main__":
    main()
