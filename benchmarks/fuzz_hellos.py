#!/usr/bin/env python3
"""Fuzz the reader of hellos, what is predicted of them, and the reader of captures; prints the rate and every failure.

    benchmarks/fuzz_hellos.py [--hellos 200000] [--captures 20000] [--seed 1]

Random hellos (edge/randomhello.py) and captures of them are changed in up to four places. A failure is an
exception, a prediction without words, a JA4 of another form, a hello that no door takes without advice for the peer, or
one that takes longer than `SLOWEST` seconds. It is printed with its bytes. Exit status 1 when there was any.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.core.captures import ACK, SYN, ip, linked, pcap, pcapng, tcp

from mailtls.core.capture import CaptureReader
from mailtls.core.clienthello import read_hello
from mailtls.core.doorchoice import choose, doors_of
from mailtls.core.fingerprint import fingerprint
from mailtls.core.hellofinder import HelloFinder
from mailtls.core.postfixview import Offering, PostfixSettings
from mailtls.core.segment import LINKS, read_segment
from mailtls.core.suite import KeyType
from mailtls.edge.randomhello import random_hello
from mailtls.errors import InputError

SLOWEST = 0.25
PRINTED = 20
JA4 = re.compile(r"t(00|s2|s3|10|11|12|13)[di]\d{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}")
STRICT = Offering(
    versions=("TLSv1.2", "TLSv1.3"), certificates=(KeyType.ECDSA,), ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",)
)
DOORS = doors_of(PostfixSettings(strict=STRICT)) or {}


def mutated(data: bytes, chance: Random) -> bytes:
    """Change up to four places: a byte, a cut, a piece twice, a number of two bytes that is far off."""
    for _ in range(chance.randrange(5)):
        place, other = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)
        start, end = min(place, other), max(place, other)
        data = chance.choice(
            (
                data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :],
                data[:start] + data[end:] if chance.random() < 0.3 else data[:end],
                data[:end] + data[start:end][:200] + data[end:],
                data[:place] + chance.choice((b"\0\0", b"\xff\xff", b"\0\1")) + data[place + 2 :],
            )
        )
    return data


def check_hello(data: bytes) -> str | None:
    """Read, name, judge; give what is wrong."""
    hello = read_hello(data)
    if hello is None:
        return None
    if JA4.fullmatch(fingerprint(hello)) is None:
        return f"JA4 is {fingerprint(hello)}"
    choice = choose(hello, DOORS)
    if (choice.narrowest is None) != bool(choice.changes):
        return f"narrowest {choice.narrowest}, advice {choice.changes}"
    words = [str(answer) for answer in choice.tried.values()]
    return next((f"a prediction without words: {word}" for word in words if word.startswith("reason 0x")), None)


def capture(chance: Random) -> bytes:
    """Write a capture of a few connections, on any kind of link, in pieces of any size."""
    link, frames = chance.choice(sorted(LINKS)), []
    for peer in range(chance.randrange(1, 4)):
        stream = b"EHLO client.test\r\nSTARTTLS\r\n" + random_hello(chance)
        size = chance.choice((1460, 100, 17))
        pieces = [(999, b"", SYN), *((1000 + at, stream[at : at + size], ACK) for at in range(0, len(stream), size))]
        source = chance.choice((f"192.0.2.{peer}", f"2001:db8::{peer}"))
        target = "2001:db8:1::1" if ":" in source else "198.51.100.1"
        frames += [linked(link, ip(source, target, tcp(40000, 25, at, data, flags))) for at, data, flags in pieces]
    return chance.choice((pcap, pcapng))(frames, link, chance.choice("<>"))


def check_capture(data: bytes) -> str | None:
    """Read all hellos of a capture; give what is wrong."""
    reader, finder = CaptureReader(), HelloFinder()
    found = []
    try:
        for frame in reader.feed(data):
            segment = read_segment(frame)
            found += finder.feed(segment) if segment is not None else []
        reader.close()
    except InputError as error:
        return "an error of several lines" if "\n" in str(error) else None
    found += finder.close()
    return next((f"JA4 is {name}" for one in found if not JA4.fullmatch(name := fingerprint(one.hello))), None)


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
