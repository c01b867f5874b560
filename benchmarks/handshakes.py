#!/usr/bin/env python3
"""Compare predicted handshakes with a real Postfix, tens of thousands of them; time parser and prediction.

    sudo benchmarks/handshakes.py [--hellos 2000] [--seed 1]

So many random hellos go to each of twelve profiles (keys, versions, ciphers, groups, preference) at private Postfixes
on loopback; the answer on the wire and the reason in the log must be what was predicted. Every difference is printed,
with the hello. Exit status 1 when there was any. Needs root, Postfix and the openssl command.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.postfix.comparing import compare, make_keys
from tests.postfix.instance import PrivatePostfix, why_not
from tests.postfix.profiles import PROFILES, WAYS, settings_for

from mailtls.core.clienthello import read_hello
from mailtls.core.fingerprint import fingerprint
from mailtls.core.handshake import predict
from mailtls.core.handshaketrial import Trial
from mailtls.edge.randomhello import random_hello

PRINTED = 20
LOT = 500  # hellos to one instance: its log is read at the end of each


def compare_all(hellos: list[bytes]) -> list[Trial]:
    """Send every hello to every profile."""
    found: list[Trial] = []
    for start in range(0, len(PROFILES), len(WAYS)):
        settings, chosen = settings_for(PROFILES[start : start + len(WAYS)])
        for lot in range(0, len(hellos), LOT):
            with PrivatePostfix(settings) as postfix:
                make_keys(postfix.directory)
                found += compare(postfix, chosen, hellos[lot : lot + LOT])
    return found


def per_second(count: int, seconds: float) -> str:
    """Write a rate."""
    return f"{count / seconds:,.0f}/s"


def measure(hellos: list[bytes]) -> None:
    """Print how fast hellos are read, named and predicted, on one core."""
    start = time.process_time()
    read = [hello for data in hellos if (hello := read_hello(data)) is not None]
    parsed = time.process_time()
    for hello in read:
        fingerprint(hello)
    named = time.process_time()
    server = PROFILES[0].server
    predicted = time.process_time()
    for hello in read:
        predict(hello, server)
    end = time.process_time()
    print(f"read {per_second(len(hellos), parsed - start)}, JA4 {per_second(len(read), named - parsed)}, "
          f"predicted {per_second(len(read), end - predicted)} (CPU)")  # fmt: skip


def main() -> int:
    """Compare, print, and tell whether all agreed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hellos", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if (reason := why_not()) is not None:
        print(f"not run: {reason}", file=sys.stderr)
        return 2
    chance = Random(options.seed)
    hellos = [random_hello(chance) for _ in range(options.hellos)]
    measure(hellos)
    start = time.monotonic()
    compared = compare_all(hellos)
    wrong = [one for one in compared if not one.agrees]
    print(f"{len(compared) - len(wrong)} of {len(compared)} handshakes as predicted, "
          f"{sum(one.answer.cipher is not None for one in compared)} of them accepted, "
          f"{len({one.reason for one in compared})} different reasons; {time.monotonic() - start:.0f} s")  # fmt: skip
    for profile, count in Counter(one.service for one in wrong).most_common():
        print(f"  {profile}: {count} differ")
    for one in wrong[:PRINTED]:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
