#!/usr/bin/env python3
"""What mailtls-observer costs: bulk mail and dialogue with it and without it, and the observer's own time per hello.

    sudo python benchmarks/observer.py [--megabytes 200] [--rounds 25]

In a network namespace of its own, over loopback, to port 25. With and without are tried in turns, the order changing
from round to round, and the ratio of the medians is printed: of processor time (of sender and receiver, in which the
kernel's work for their packets is counted, the filter's too), because time on the clock tells of the other load.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.core.hellotexts import MODERN, message, record
from tests.postfix.netns import made

from mailtls.core.hellorecord import Sighting, Tally, read_record
from mailtls.edge.hellosocket import HelloReceiver

PORT = 25
PIECE = b"A line of mail as it goes over the wire, seventy-two characters long.\r\n" * 900
HELLO = record(message(0x0303, [0x1301, 0x1302, 0xC02F, 0xC030, 0x002F], MODERN))
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--megabytes", type=int, default=200)
    asked.add_argument("--rounds", type=int, default=25)
    asked.add_argument("--hellos", type=int, default=20_000)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailtls-bench-") as place, made("the bench") as inside, inside:
        root = Path(place)
        (root / "run/mailtls-observer").mkdir(parents=True)
        (root / "mailtls.toml").write_text(f'root = "{root}"\n')
        receiver = HelloReceiver(root / "run/mailtls-observer/hellos.sock")
        listening = socket.create_server(("127.0.0.1", PORT))
        compare("bulk mail", "ms/MB", given, root, lambda: bulk(listening, given.megabytes) * 1000 / given.megabytes)
        compare("dialogue", "us/line", given, root, lambda: dialogue(listening, 20_000) * 1e6 / 20_000)
        with observing(root) as process:
            own_time(process, listening, receiver, given.hellos)
    return 0


def compare(what: str, unit: str, given: argparse.Namespace, root: Path, measure: Callable[[], float]) -> None:
    """Measure in turns with and without an observer."""
    measure()
    taken: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(given.rounds):
        for observed in (turn % 2 == 0, turn % 2 == 1):
            if observed:
                with observing(root):
                    taken[True].append(measure())
            else:
                taken[False].append(measure())
    without, with_it = median(taken[False]), median(taken[True])
    spread = (max(taken[False]) - min(taken[False])) / without
    print(
        f"{what}: {without:.3f} {unit} without, {with_it:.3f} with (CPU, medians of {given.rounds}): ratio "
        f"{with_it / without:.3f}, of the least {min(taken[True]) / min(taken[False]):.3f}; without it they differ by "
        f"up to {spread:.0%}"
    )


@contextmanager
def observing(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the observer; it is there when it says so."""
    program = [sys.executable, "-m", "mailtls.observer", "--config", str(root / "mailtls.toml")]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "sees hellos" in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)


def bulk(listening: socket.socket, megabytes: int) -> float:
    """Send so much over one connection; give the processor time of both ends."""
    with socket.create_connection(("127.0.0.1", PORT)) as near, listening.accept()[0] as far:
        reader = threading.Thread(target=_read, args=(far,))
        begun = time.process_time()
        reader.start()
        for _ in range(megabytes * 1_000_000 // len(PIECE)):
            near.sendall(PIECE)
        near.shutdown(socket.SHUT_WR)
        reader.join()
        return time.process_time() - begun


def _read(far: socket.socket) -> None:
    while far.recv(1 << 18):
        pass


def dialogue(listening: socket.socket, lines: int) -> float:
    """Say lines, each answered before the next: every packet is a small one."""
    with socket.create_connection(("127.0.0.1", PORT)) as near, listening.accept()[0] as far:
        for each in (near, far):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.process_time()
        for _ in range(lines):
            near.send(b"NOOP\r\n")
            far.recv(64)
            far.send(b"250 2.0.0 Ok\r\n")
            near.recv(64)
        return time.process_time() - begun


def own_time(process: subprocess.Popen[str], listening: socket.socket, receiver: HelloReceiver, hellos: int) -> None:
    """Send hellos one by one at no more than it may tell; say what the observer itself needed for each."""
    before, told, tally = cpu(process.pid), 0, Tally()
    with socket.create_connection(("127.0.0.1", PORT)) as near, listening.accept()[0] as far:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(hellos):
            near.send(HELLO)
            far.recv(4096)
            if number % 10 == 9:
                time.sleep(0.006)
            told, tally = _count(receiver, told, tally)
    while tally.told + tally.dropped + tally.lost < hellos:  # it tells its tally every few seconds
        time.sleep(0.1)
        told, tally = _count(receiver, told, tally)
    spent = cpu(process.pid) - before
    print(
        f"hellos: {told:,} of {hellos:,} told, {spent / hellos * 1e6:.0f} us of the observer each (CPU); "
        f"of {tally.passed:,} packets passed {tally.lost} were lost and {tally.dropped} dropped"
    )


def _count(receiver: HelloReceiver, told: int, tally: Tally) -> tuple[int, Tally]:
    while (datagram := receiver.receive()) is not None:
        read = read_record(datagram)
        told += isinstance(read, Sighting)
        tally = read if isinstance(read, Tally) else tally
    return told, tally


def cpu(process: int) -> float:
    """Give the processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    sys.exit(main())
