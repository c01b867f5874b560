#!/usr/bin/env python3
"""Fuzz what reads strangers' bytes, guided by coverage (libFuzzer by atheris), for a bounded time each.

    pip install atheris
    benchmarks/fuzz_guided.py [--seconds 60] [--corpus DIR] [CHECK ...]

The checks are those of tests/core/fuzzchecks.py: hello, gateway, record, frame, capture, answer, policy, facts. Each
begins with fifty inputs of the kind it is about, and keeps whatever reaches a new branch of mailtls/core; with --corpus
also for the next time. A failure is what a check says, an exception, or an input that takes longer than five seconds;
its bytes are kept in the current directory and named. Exit status 1 when there was any, 2 without atheris.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
SLOWEST_S = 5
LONGEST = 4096
SEEDS = 50
COVERED = re.compile(r"^#(\d+)\s+(INITED|DONE)\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
RATE = re.compile(r"^stat::average_exec_per_sec:\s+(\d+)", re.MULTILINE)


def main() -> int:
    """Run each check in a process of its own: libFuzzer ends the one it runs in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("not run: atheris is not installed (pip install atheris)", file=sys.stderr)
        return 2
    if options.one is not None:
        fuzz(options.one, options.seconds, options.corpus)
    sys.path.insert(0, str(ROOT))
    from tests.core.fuzzchecks import CHECKS

    with tempfile.TemporaryDirectory(prefix="mailtls-fuzz-") as place:
        found = [run(name, options.seconds, options.corpus or Path(place)) for name in options.checks or CHECKS]
    return 1 if any(found) else 0


def run(name: str, seconds: int, corpus: Path) -> bool:
    """Fuzz with one check; print what came of it, and tell whether anything was found."""
    from tests.core.fuzzchecks import SEEDS as MAKERS

    own, chance = corpus / name, Random(name)
    own.mkdir(parents=True, exist_ok=True)
    for number in range(SEEDS):
        (own / f"seed-{number}").write_bytes(MAKERS[name](chance))
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds), "--corpus", str(own)]
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    marks = {word: (int(runs), int(covered)) for runs, word, covered, *_ in COVERED.findall(ran.stderr)}
    rate = RATE.search(ran.stderr)
    if ran.returncode or "DONE" not in marks:
        print(f"{name}: FAILED\n{ran.stderr[-3000:]}")
        return True
    runs, covered = marks["DONE"]
    begun = marks.get("INITED", (0, 0))[1]
    speed = rate[1] if rate else "?"
    print(f"{name:8} {runs:>10,} tried, {speed:>6}/s, edges covered {begun} -> {covered}, no failure")
    return False


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Hand one check to libFuzzer, which does not come back."""
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["mailtls.core"]):
        from tests.core.fuzzchecks import CHECKS
    check = CHECKS[name]

    def one_input(data: bytes) -> None:
        wrong = check(data)
        if wrong is not None:
            raise AssertionError(wrong)

    words = [f"-max_total_time={seconds}", f"-timeout={SLOWEST_S}", f"-max_len={LONGEST}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *words, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
