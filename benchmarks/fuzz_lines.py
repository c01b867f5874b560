#!/usr/bin/env python3
"""Fuzz the reader of lines: real lines, mutated, a million of them; prints the rate and every failure.

    benchmarks/fuzz_lines.py [--lines 1000000] [--seed 1] [--corpus DIR]

A failure is an exception, a field of a session that a terminal would obey or that is too long, a line that is not
counted, or a line that takes longer than `SLOWEST` seconds. The line that failed is printed as a Python literal, so
that it can be made a test. Exit status 1 when there was any; the same seed gives the same lines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from mailtls.core.assembler import Assembler
from mailtls.core.printable import LONGEST, printable
from mailtls.core.session import Session
from mailtls.core.stamp import Calendar

CORPUS = Path(__file__).parent.parent / "tests" / "corpus"
SLOWEST = 0.25  # seconds for one line; a backtracking pattern takes minutes
PRINTED = 20  # failures
RENEWED = 50_000  # lines to one assembler: state goes wrong too
LONG_LINE = 1 << 20

PIECES = (
    b"\x00", b"\x1b[2J", b"\xff\xfe", b"\r", b"\t", b" ", b"\\026\\003", b"[", b"]", b"[]", b"]: ", b":", b"(", b"<",
    b">", b'"', b"rip=", b", TLS", b"TLS handshaking", b"error:", b"error:0A000102:SSL routines::", b"starttls=0/1",
    b"starttls=", b"postfix/smtpd[1]: ", b"Nov 21 00:42:35 ", b"2024-11-21T00:42:35Z ", b"user=<", b"session=<", b"{",
    b'{"MESSAGE":"', b"| ", b"stdout F ", b"1" * 40, b"A" * 300, b"\xe2\x80\xae", b"\xe2\x80\xa8", b"%s%n", b"../../",
)  # fmt: skip


@dataclass
class Result:
    """What a run found. `failures`: the line, and what was wrong with it."""

    lines: int = 0
    sessions: int = 0
    seconds: float = 0.0
    failures: list[tuple[bytes, str]] = field(default_factory=list)


def corpus_lines(directory: Path) -> list[bytes]:
    """Every different line of the real logs."""
    return sorted({line for path in directory.glob("*.log") for line in path.read_bytes().splitlines()})


def mutated(lines: list[bytes], chance: Random, count: int) -> Iterator[bytes]:
    """Yield lines, each changed in up to three places; one in 20,000 has a megabyte."""
    for number in range(count):
        line = chance.choice(lines)
        for _ in range(chance.randrange(4)):
            line = _mutate(line, lines, chance)
        if number % 20_000 == 19_999:
            line = (line + chance.choice(PIECES) * LONG_LINE)[:LONG_LINE]
        yield line


def _mutate(line: bytes, lines: list[bytes], chance: Random) -> bytes:
    place, other = chance.randrange(len(line) + 1), chance.randrange(len(line) + 1)
    start, end = min(place, other), max(place, other)
    match chance.randrange(7):
        case 0:
            return line[:start] + line[end:]
        case 1:
            return line[:place] + chance.choice(PIECES) + line[place:]
        case 2:
            return line[:place] + bytes([chance.randrange(256)]) + line[place + 1 :]
        case 3:
            return line[:place] + chance.choice(lines)[other:]
        case 4:
            return line[:end] + line[start:end] + line[end:]
        case 5:
            return line[:place]
        case _:
            return line[start:]


def wrong_with(session: Session) -> str | None:
    """Say what is wrong with a session; None where nothing is."""
    peer = session.peer
    texts = [session.reason, session.tls_version, session.cipher, session.commands, *session.lines]
    texts += [peer.ip, peer.name] if peer is not None else []
    for text in texts:
        if text is not None and (text != printable(text) or len(text) > LONGEST):
            return f"not fit for a terminal: {text!r}"
    return None if session.lines else "no line that proves it"


def fuzz(lines: list[bytes], count: int, seed: int) -> Result:
    """Feed `count` mutated lines to assemblers, and look at all that comes out."""
    result = Result()
    reader = Assembler(Calendar(datetime(2026, 1, 1, tzinfo=UTC)))
    begun = time.perf_counter()
    for line in mutated(lines, Random(seed), count):
        result.lines += 1
        if result.lines % RENEWED == 0:
            _look_at(result, line, reader.finish())
            reader = Assembler(Calendar(datetime(2026, 1, 1, tzinfo=UTC)))
        before = time.perf_counter()
        try:
            _look_at(result, line, reader.feed(line))
        except Exception as exc:  # noqa: BLE001  (to find any is what this is for)
            result.failures.append((line, repr(exc)))
            reader = Assembler(Calendar(datetime(2026, 1, 1, tzinfo=UTC)))
        took = time.perf_counter() - before
        if took > SLOWEST:
            result.failures.append((line, f"took {took:.2f} s"))
        counted = reader.lines
        if counted.read != counted.understood + counted.ignored + counted.unknown:
            result.failures.append((line, f"not counted: {counted}"))
            reader = Assembler(Calendar(datetime(2026, 1, 1, tzinfo=UTC)))
    result.seconds = time.perf_counter() - begun
    return result


def _look_at(result: Result, line: bytes, sessions: list[Session]) -> None:
    result.sessions += len(sessions)
    for session in sessions:
        wrong = wrong_with(session)
        if wrong is not None:
            result.failures.append((line, wrong))


def main() -> int:
    """Run from the command line."""
    cli = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    cli.add_argument("--lines", type=int, default=1_000_000)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--corpus", type=Path, default=CORPUS)
    args = cli.parse_args()
    lines = corpus_lines(args.corpus)
    if not lines:
        print(f"{args.corpus} holds no *.log: give the directory of the real logs with --corpus.", file=sys.stderr)
        return 2
    result = fuzz(lines, args.lines, args.seed)
    rate = result.lines / result.seconds if result.seconds else 0.0
    print(
        f"{result.lines} lines mutated from {len(lines)}, {result.sessions} sessions, {len(result.failures)} failures,"
        f" {rate:,.0f} lines/s in {result.seconds:.1f} s (seed {args.seed})"
    )
    for line, wrong in result.failures[:PRINTED]:
        print(f"{wrong}\n    {line[:2_000]!r}")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
