#!/usr/bin/env python3
"""How fast mailtlsd and the keeper are beside a live log: lines a second, a quiet log, reaction, memory, start-up.

    sudo benchmarks/live_speed.py [--lines 100m] [--grants 200] [--waivers 10000] [--quiet 30] [--database FILE]
                                  [--flood 0] [--json]

Both programs run as processes of their own, in an installation under a temporary directory. Seconds of processor time
are the kernel's count for mailtlsd (all its threads), so that a busy machine changes them little. `--database`: one
made by store_size.py --keep, so that mailtlsd knows a million peers. `--flood`: so many distinct strangers fail once
each, at the end. A reaction is the time from the write of the line that decides to the moment when the table that
Postfix reads was swapped; a look-up with postmap proves each. Figures of one run, no test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailtls.config import read_config
from mailtls.core.controlprotocol import AskStatus
from mailtls.core.keeperprotocol import Event, LiveWaiver, Step
from mailtls.core.level import Level
from mailtls.core.waiver import Origin
from mailtls.edge.controlsocket import ControlSocket
from mailtls.edge.ledger import Ledger
from mailtls.edge.postmap import Postmap
from mailtls.errors import MailtlsError

HERE = Path(__file__).resolve().parent
GENERATOR = HERE.parent.parent / "shared" / "perf" / "gen.py"
PROGRAMS = Path(sys.executable).parent
UID = 61_999
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 1800.0
POLICY = """
[causes.not_tls]
action = "waive"
level_floor = "cleartext"
after = { sessions = 3, within = "24h" }
lifetime = "30d"
[limits]
automatic = ["cleartext"]
waivers = 100000
per_day = 100000
"""
REASON = "error:0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:354:"


def table_type() -> str:
    """lmdb where this Postfix has it."""
    types = subprocess.run(["/usr/sbin/postconf", "-m"], capture_output=True, text=True, check=True).stdout.split()
    return "lmdb" if "lmdb" in types else "hash"


class Program:
    """One of the two programs, running; `ready_s`: from its start to the moment when it said that it is ready."""

    def __init__(self, name: str, root: Path, uid: int | None) -> None:
        notify = root / f"{name}.notify"
        who = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"] if uid is not None else []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(notify))
            notify.chmod(0o777)
            listener.settimeout(120)
            started = time.monotonic()
            self.process = subprocess.Popen(
                [*who, PROGRAMS / name, "--config", root / "etc/mailtls/mailtls.toml"],
                env={**os.environ, "NOTIFY_SOCKET": str(notify)}, stderr=(root / f"{name}.said").open("a"), cwd="/",
            )  # fmt: skip
            while b"READY=1" not in listener.recv(4096):
                pass
            self.ready_s = time.monotonic() - started
        notify.unlink()

    def seconds(self) -> float:
        """Processor time of the process and its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def megabytes(self, which: str = "VmHWM") -> int:
        """Memory: VmRSS now, VmHWM at its largest."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(which):
                return int(line.split()[1]) // 1024
        return 0

    def stop(self) -> float:
        """End it; give the seconds that it took."""
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        return time.monotonic() - started


class Installation:
    """The places of both programs under one directory."""

    def __init__(self, root: Path, waivers: int, database: Path | None) -> None:
        self.root, self.kind = root, table_type()
        root.chmod(0o755)
        for name in ("etc/mailtls/policies", "etc/postfix", "var/log", "var/lib/mailtls-keeper", "run/mailtls-keeper"):
            (root / name).mkdir(parents=True)
        config = root / "etc/mailtls/mailtls.toml"
        config.write_text(
            f'root = "{root}"\nquiet = true\n[users]\ndaemon = "{UID}"\nadmins = "0"\n[metrics]\nlisten = ""\n'
            f'[postfix]\ntable_type = "{self.kind}"\n'
        )
        (root / "etc/mailtls/policies/default.toml").write_text(POLICY)
        self.places = read_config(str(config)).places
        self.log = self.places.logs[0]
        self.log.touch()
        for place in (self.places.state, self.places.run):
            place.mkdir(parents=True)
            os.chown(place, UID, UID)
        if database is not None:
            shutil.copyfile(database, self.places.database)
            os.chown(self.places.database, UID, UID)
        self._grant_beforehand(waivers)

    def _grant_beforehand(self, number: int) -> None:
        """Write waivers into the keeper's ledger, as if they had been granted long ago."""
        ledger = Ledger(self.places.keeper_state)
        assert ledger.try_hold()
        now = datetime.now(UTC).replace(microsecond=0)
        until = now + timedelta(days=90)
        events = []
        for count in range(1, number + 1):
            ip = f"198.18.{count >> 8}.{count & 255}"
            waiver = LiveWaiver(
                id=f"before-{count}", network=ip, level=Level.CLEARTEXT, owner="root", reason="old copier", granted=now,
                until=until, latest=until, origin=Origin.PERSON,
            )  # fmt: skip
            events.append(Event(number=count, at=now, step=Step.GRANTED, waiver=waiver, by="root", why="old copier"))
            ledger.register.apply(events[-1])
        ledger.append(events)
        ledger.close()

    @property
    def table(self) -> Path:
        """The file of the table of addresses."""
        return self.places.tables / ("discard.lmdb" if self.kind == "lmdb" else "discard.db")

    def finds(self, ip: str) -> bool:
        """Ask the table as Postfix does."""
        return bool(Postmap(self.root / "postmap").answers([f"{self.kind}:{self.places.tables / 'discard'}"], [ip]))

    def write(self, *lines: str) -> None:
        """Append lines to the log in one write."""
        with self.log.open("ab", buffering=0) as log:
            log.write("".join(f"{line}\n" for line in lines).encode())

    async def lines_read(self) -> int:
        """Lines that mailtlsd has understood since its start, or 0 where it does not answer."""
        with suppress(MailtlsError):
            control = ControlSocket(self.places.control, 60)
            status = (await control.ask(AskStatus())).status
            await control.close()
            return sum(source.lines for source in status.sources) if status is not None else 0
        return 0

    async def has_read(self, lines: int, every: float) -> None:
        """Wait until so many lines are read."""
        deadline = time.monotonic() + PATIENCE_S
        while await self.lines_read() < lines:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{lines} lines were not read within {PATIENCE_S:.0f} s")
            await asyncio.sleep(every)


def run(*command: str) -> str:
    """Run it to its end; give what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def failing(ip: str, pid: int) -> list[str]:
    """A session that breaks on STARTTLS, as rsyslog writes it just now."""
    head = f"{datetime.now().astimezone().isoformat(timespec='microseconds')} mx postfix/smtpd[{pid}]: "
    who = f"copier.example.net[{ip}]"
    return [
        f"{head}connect from {who}",
        f"{head}SSL_accept error from {who}: -1",
        f"{head}warning: TLS library problem: {REASON}",
        f"{head}lost connection after STARTTLS from {who}",
        f"{head}disconnect from {who} ehlo=1 starttls=0/1 commands=1/2",
    ]


# --- what is measured --------------------------------------------------------------------------------------------


async def follow(place: Installation, daemon: Program, size: str) -> dict[str, object]:
    """Let a busy MX's log grow by so much at once; and read the same with tail and grep."""
    source = place.root / "generated.log"
    run(sys.executable, str(GENERATOR), "--size", size, "--seed", "1", "--ts", "iso", str(source))
    lines = int(run("wc", "-l", str(source)).split()[0])
    before, cpu, started = await place.lines_read(), daemon.seconds(), time.monotonic()
    with source.open("rb") as full, place.log.open("ab") as log:
        shutil.copyfileobj(full, log, 1 << 20)
    await place.has_read(before + lines, 0.25)
    wall, cpu = time.monotonic() - started, daemon.seconds() - cpu
    usage = os.times()
    run("/bin/sh", "-c", f"tail -n +1 {source} | grep -c 'SSL_accept error'")
    used = os.times()
    grep = used.children_user + used.children_system - usage.children_user - usage.children_system
    source.unlink()
    return {
        "lines": lines, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "lines_per_cpu_second": round(lines / cpu),
        "tail_grep_cpu_s": round(grep, 2),
    }  # fmt: skip


async def react(place: Installation, grants: int) -> dict[str, object]:
    """Let peers break three times, one after the other, and time the last line to the swapped table."""
    took, unproved = [], 0
    for number in range(grants):
        ip, pid = f"100.64.{number >> 8}.{number & 255}", 5000 + number
        first, second, third = (failing(ip, pid) for _ in range(3))
        place.write(*first, *second, *third[:-1])
        await asyncio.sleep(0.03 + 0.011 * (number % 7))
        before = place.table.stat().st_ino, place.table.stat().st_mtime_ns
        started = time.monotonic()
        place.write(third[-1])
        while (place.table.stat().st_ino, place.table.stat().st_mtime_ns) == before:
            await asyncio.sleep(0.0002)
            if time.monotonic() > started + 30:
                raise TimeoutError(f"{ip} was not waived within 30 s")
        took.append((time.monotonic() - started) * 1000)
        unproved += not place.finds(ip)
    took.sort()
    return {
        "grants": grants, "median_ms": round(statistics.median(took), 1), "p99_ms": round(took[int(grants * 0.99)], 1),
        "largest_ms": round(took[-1], 1), "without_proof": unproved,
    }  # fmt: skip


async def flood(place: Installation, daemon: Program, strangers: int) -> dict[str, object]:
    """Let so many strangers fail once each."""
    before, cpu, started = await place.lines_read(), daemon.seconds(), time.monotonic()
    for start in range(0, strangers, 1000):
        ips = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(start, start + 1000))
        place.write(*(line for pid, ip in enumerate(ips) for line in failing(ip, pid % 90)))
        if start % 50_000 == 0:
            await place.has_read(before + (start - 100_000) * 5, 0.5)
    await place.has_read(before + strangers * 5, 1)
    return {
        "strangers": strangers, "wall_s": round(time.monotonic() - started), "cpu_s": round(daemon.seconds() - cpu),
        "daemon_mb": daemon.megabytes("VmRSS"), "daemon_largest_mb": daemon.megabytes(),
        "database_mb": place.places.database.stat().st_size >> 20,
    }  # fmt: skip


async def quiet(programs: dict[str, Program], seconds: float) -> dict[str, object]:
    """Let nothing happen."""
    before = {name: program.seconds() for name, program in programs.items()}
    await asyncio.sleep(seconds)
    return {
        f"{name}_percent": round((program.seconds() - before[name]) / seconds * 100, 2)
        for name, program in programs.items()
    } | {"seconds": seconds}


async def measure(place: Installation, given: argparse.Namespace) -> dict[str, object]:
    """Everything, in its order."""
    keeper = Program("mailtls-keeper", place.root, None)
    daemon = Program("mailtlsd", place.root, UID)
    figures: dict[str, object] = {
        "ready_s": {"mailtlsd": round(daemon.ready_s, 2), "keeper": round(keeper.ready_s, 2)},
        "at_start_mb": {"mailtlsd": daemon.megabytes("VmRSS"), "keeper": keeper.megabytes("VmRSS")},
    }
    try:
        await asyncio.sleep(2)
        figures["reaction"] = await react(place, given.grants)
        await asyncio.sleep(2)
        figures["quiet"] = await quiet({"mailtlsd": daemon, "keeper": keeper}, given.quiet)
        figures["followed"] = await follow(place, daemon, given.lines)
        figures["largest_mb"] = {"mailtlsd": daemon.megabytes(), "keeper": keeper.megabytes()}
        if given.flood:
            figures["flood"] = await flood(place, daemon, given.flood)
    finally:
        figures["stop_s"] = {"mailtlsd": round(daemon.stop(), 2), "keeper": round(keeper.stop(), 2)}
    return figures


def main() -> None:
    """Read the options, measure, print."""
    options = argparse.ArgumentParser(description="Speed of mailtlsd beside a live log")
    options.add_argument("--lines", default="100m", help="size of the log that it catches up with")
    options.add_argument("--grants", type=int, default=200)
    options.add_argument("--waivers", type=int, default=10_000)
    options.add_argument("--quiet", type=float, default=30.0, metavar="SECONDS")
    options.add_argument("--database", type=Path, help="made by store_size.py --keep")
    options.add_argument("--flood", type=int, default=0, metavar="STRANGERS")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("live_speed.py: the keeper needs root; run it with sudo")
    root = Path(tempfile.mkdtemp(prefix="mailtls-speed-"))
    try:
        figures = asyncio.run(measure(Installation(root, given.waivers, given.database), given))
    except BaseException:
        for said in root.glob("*.said"):
            sys.stderr.write(said.read_text()[-2000:])
        raise
    finally:
        shutil.rmtree(root)
    if given.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:12} {figure}")


if __name__ == "__main__":
    main()
