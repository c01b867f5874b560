#!/usr/bin/env python3
"""How fast the policy service answers, beside others, and what asking it costs Postfix.

    sudo PYTHONPATH=. benchmarks/policy.py [--seconds 4] [--connections 20] [--rounds 3] [--mails 2000] [--json]
                                           [--postgrey FILE] [--postfwd FILE]

One client in C (policy_load.c, compiled here) asks each server over a UNIX socket, one question at a time on each
connection, as Postfix does: mailtlsd itself, with a policy and a memory; the least server that asyncio allows; the
same in C; postgrey and postfwd where they are installed. In turns, medians of the rounds; percentiles in microseconds,
and the kernel's count of each server's processor time, which other work on the machine changes little.
Then a private Postfix (tests/postfix) takes mail from smtp-source with and without `setup --policy-service`, in turns.
Figures of one run, no test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.postfix.configuration import Settings
from tests.postfix.instance import wait_until, why_not
from tests.postfix.policyworld import PolicyWorld
from tests.postfix.programs import program

from mailtls.service.applysetup import setup

HERE = Path(__file__).resolve().parent
POLICY = """
[require]
domains = { "bank.example" = {}, ".clinic.example" = { floor = "any" } }
peers = { "192.0.2.0/24" = {}, ".partner.example" = { floor = "TLSv1.3" } }
[[phase_out]]
below = "TLSv1.2"
stages = [{ on = 2020-01-01, percent = 5 }]
"""
CONFIGURATION = """\
root = "{root}"
quiet = true
[log]
files = ["/mail.log"]
[metrics]
listen = ""
[policy_service]
socket = "/queue/policy"
"""
FIGURES = ("per_second", "p50", "p99", "processor")
Start = Callable[[Path, Path], list[str]]


def mailtlsd(_: Path, place: Path) -> list[str]:
    """Lay out a private root, and start the daemon in it."""
    for name in ("etc/mailtls/policies", "var/lib/mailtls", "run/mailtls", "queue"):
        (place / name).mkdir(parents=True)
    (place / "mail.log").touch()
    (place / "etc/mailtls/policies/default.toml").write_text(POLICY)
    config = place / "mailtls.toml"
    config.write_text(CONFIGURATION.format(root=place))
    return [program("mailtlsd"), "--config", str(config)]


def echo(path: Path, _: Path) -> list[str]:
    """Answer DUNNO to whatever ends with an empty line, and do nothing else."""
    return [sys.executable, __file__, "--echo", str(path)]


def least_in_c(path: Path, place: Path) -> list[str]:
    """The same in C."""
    return [str(place.parent / "load"), "server", str(path)]


def postgrey(path: Path, place: Path, binary: str = "") -> list[str]:
    """Greylisting in Perl, with its database on the disk."""
    place.mkdir()
    return [binary, f"--unix={path}", f"--dbdir={place}", "--user=root", "--group=root", "--delay=1"]


def postfwd(path: Path, place: Path, binary: str = "") -> list[str]:
    """A rule engine in Perl, with one rule; it serves only as a daemon that leaves whoever started it."""
    rule = "id=ONE; client_address==192.0.2.1; action=REJECT"
    pid = place.with_suffix(".pid")
    return [
        binary, "-d", "--proto=unix", f"--port={path}", f"--pidfile={pid}", f"--rule={rule}", "--user=root",
        "--group=root", "--perfmon",
    ]  # fmt: skip


async def _echo(path: str) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if data.endswith(b"\n\n"):
                self.transport.write(b"action=DUNNO\n\n")  # type: ignore[attr-defined]

    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    await server.serve_forever()


@contextmanager
def serving(start: Start, place: Path) -> Iterator[tuple[Path, int]]:
    """Start a server, and end it with the block; give its socket and its process."""
    path = place / "queue/policy" if start is mailtlsd else place.with_suffix(".sock")
    command = start(path, place)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            if not wait_until(path.is_socket):
                raise RuntimeError(f"{' '.join(command)} does not listen at {path}")
            time.sleep(0.5)  # some make the socket before they listen
            pid = place.with_suffix(".pid")
            yield path, int(pid.read_text()) if pid.exists() else server.pid
        finally:
            server.terminate()
            pid = place.with_suffix(".pid")
            if pid.exists():
                os.kill(int(pid.read_text()), signal.SIGTERM)


def processor_s(process: int) -> float:
    """Give the processor time that a process has used so far, all its threads; proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(start: Start, place: Path, load: Path, connections: int, seconds: float) -> tuple[float, ...]:
    """Give questions a second, the 50th and 99th percentile, and microseconds of processor time for each question."""
    with serving(start, place) as (path, process):
        before = processor_s(process)
        command = [load, "client", path, str(connections), str(seconds)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        used = processor_s(process) - before
    answered, taken, p50, p99 = map(float, said)
    return answered / taken, p50, p99, used / answered * 1e6


def questions(asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Ask all servers in turns."""
    servers: dict[str, Start] = {"mailtlsd": mailtlsd, "asyncio, the least": echo, "C, the least": least_in_c}
    for name, start, binary in (("postgrey", postgrey, asked.postgrey), ("postfwd", postfwd, asked.postfwd)):
        if binary is not None:
            servers[name] = lambda path, place, start=start, binary=binary: start(path, place, binary)  # type: ignore[misc]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory(prefix="mailtls-policy-") as directory:
        load = Path(directory) / "load"
        subprocess.run(["cc", "-O2", "-o", load, HERE / "policy_load.c"], check=True)
        for number in range(asked.rounds):
            for name, start in servers.items():
                place = Path(directory) / f"{number}-{len(found[name])}-{list(servers).index(name)}"
                found[name].append(measure(start, place, load, asked.connections, asked.seconds))
    return {
        name: dict(zip(FIGURES, map(statistics.median, zip(*rows, strict=True)), strict=True))
        for name, rows in found.items()
    }


def deliveries(asked: argparse.Namespace) -> dict[str, float]:
    """Give mails a second, with and without the policy service."""
    found: dict[str, list[float]] = {"with": [], "without": []}
    with PolicyWorld(Settings(loglevel=0)) as world:
        for _ in range(asked.rounds):
            for name, rates in found.items():
                setup(replace(world.room, hooks=replace(world.room.hooks, policy=name == "with")))
                world.flood(100)
                began = time.monotonic()
                if world.flood(asked.mails).returncode:
                    raise RuntimeError("a mail was refused")
                rates.append(asked.mails / (time.monotonic() - began))
    return {name: statistics.median(rates) for name, rates in found.items()}


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="How fast the policy service answers, and what asking it costs.")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each server in each round")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mails", type=int, default=2000, help="0: leave Postfix out")
    parser.add_argument("--postgrey", default=shutil.which("postgrey"), help="where it is, if not on the PATH")
    parser.add_argument("--postfwd", default=shutil.which("postfwd1") or shutil.which("postfwd"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--echo", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.echo:
        asyncio.run(_echo(asked.echo))
    figures = questions(asked)
    ours = figures["mailtlsd"]
    mails = deliveries(asked) if asked.mails and why_not() is None else {}
    if asked.json:
        print(json.dumps({"questions": figures, "deliveries": mails}, indent=1))
        return 0
    for name, row in figures.items():
        ratios = [ours["per_second"] / row["per_second"], row["processor"] / ours["processor"]]
        print(
            f"{name:20} {row['per_second']:7,.0f}/s  p50 {row['p50']:6,.0f} us  p99 {row['p99']:7,.0f} us  "
            f"{row['processor']:6,.1f} us of processor time; mailtlsd: {ratios[0]:.2f}, by processor {ratios[1]:.2f}"
        )
    if mails:
        kept = mails["with"] / mails["without"]
        print(f"Postfix: {mails['without']:,.0f} mails/s without, {mails['with']:,.0f} with it: keeps {kept:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
