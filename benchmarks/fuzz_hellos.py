#!/usr/bin/env python3
"""Fuzz the reader of hellos, what is predicted of them, and the reader of captures; prints the rate and every failure.

    benchmarks/fuzz_hellos.py [--hellos 200000] [--captures 20000] [--seed 1]

Random hellos (edge/randomhello.py) and captures of them are changed in up to four places. A failure is an
exception, a prediction without words, a JA4 of another form, a hello that no door takes without advice for the peer, or
one that takes longer than `SLOWEST` seconds. It is printed with its bytes. Exit status 1 when there was any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.core.fuzzchecks import capture, check_capture, check_hello, mutated

from mailtls.edge.randomhello import random_hello

SLOWEST = 0.25
PRINTED = 20


def fuzz(count: int, make: Callable[[Random], bytes], check: Callable[[bytes], str | None], chance: Random) -> int:
    """Try so many; print the rate and the failures, and give how many there were."""
    failures, begun = 0, time.process_time()
    for _ in range(count):
        data = mutated(make(chance), chance)
        start = time.process_time()
        try:
            wrong = check(data)
        except Exception as error:  # noqa: BLE001  this is what is looked for
            wrong = f"{type(error).__name__}: {error}"
        if wrong is None and time.process_time() - start > SLOWEST:
            wrong = f"took {time.process_time() - start:.2f} s"
        if wrong is not None:
            failures += 1
            if failures <= PRINTED:
                print(f"{check.__name__}: {wrong}: {data.hex()}")
    taken = time.process_time() - begun
    print(f"{check.__name__}: {count:,} tried, {failures} failures, {count / taken:,.0f}/s, making them included (CPU)")
    return failures


def main() -> int:
    """Fuzz both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hellos", type=int, default=200_000)
    parser.add_argument("--captures", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = Random(options.seed)
    failures = fuzz(options.hellos, random_hello, check_hello, chance)
    failures += fuzz(options.captures, capture, check_capture, chance)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
