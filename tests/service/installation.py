"""mailtlsd and mailtls-keeper as real processes, in an installation of their own that nobody else sees.

Everything lies under one temporary directory. Programs are born by a nursery, a process that has read their modules
and forks: so one is there within some milliseconds, and can be killed and born again fifty times in a test. It is the
same `main` that the programs run, in a process of its own, as the user whom it has in real life.

The directory belongs to root, and mailtlsd's user is a number that nobody has: it needs root.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.edge.tables import needs
from tests.tabletypes import KIND

from ctl.program import mailtlsctl
from mailtls.config import Places, read_config
from mailtls.core.controlprotocol import Answer, AskPeers, AskStatus, AskWaivers, KnownPeer, Question
from mailtls.core.keeperprotocol import ListWaivers, LiveWaiver, Reply, Request
from mailtls.edge.controlsocket import ControlSocket
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.errors import MailtlsError

UID = 61_999
PATIENCE_S = 20.0
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


def trial(test: Callable[[], None]) -> Callable[[], None]:
    """Mark a test that needs real processes of both kinds."""
    root = pytest.mark.skipif(os.geteuid() != 0, reason="the keeper needs root")
    return pytest.mark.slow(root(needs(KIND)(test)))


# Reads one word a line: a program; forks it, and prints its pid. `uid` is given to mailtlsd only.
_NURSERY = """
import os, signal, sys
import mailtls.daemon, mailtls.keeper, mailtls.service.memory
import bz2, gzip, lzma  # what is read late is read now: Python may lie where mailtlsd's user cannot read
import aiosqlite, encodings.idna, encodings.utf_8_sig, encodings.latin_1, encodings.ascii, sqlalchemy.dialects.sqlite.aiosqlite
config, uid, every = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
mailtls.service.memory.EVERY = every
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if line.strip() == "mailtlsd":
        os.setgroups([]), os.setgid(uid), os.setuid(uid)
        status = mailtls.daemon.main(["--config", config])
    else:
        status = mailtls.keeper.main(["--config", config])
    sys.stderr.flush()
    os._exit(status)
"""


class Life:
    """One process from its birth to its death."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    @property
    def is_over(self) -> bool:
        return self.ends_within(0)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, at most so long."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, and wait until it is over; a second time is nothing."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)
        assert self.ends_within(PATIENCE_S), f"process {self.pid} outlives {number.name}"

    def resident_mb(self) -> float:
        """Give the memory that it holds, in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


class Installation:
    """A root directory with configuration, policy, log, and the two programs."""

    def __init__(self, root: Path, policy: str = POLICY, metrics: str = "", every: float = 0.1) -> None:
        """Lay it out. `every`: seconds between mailtlsd's commits."""
        self.root = root
        root.chmod(0o755)
        for name in ("etc/mailtls/policies", "etc/postfix", "var/log", "var/lib/mailtls-keeper", "run/mailtls-keeper"):
            (root / name).mkdir(parents=True)
        for name in ("var/lib/mailtls", "run/mailtls"):
            (root / name).mkdir(parents=True)
            os.chown(root / name, UID, UID)
        self.config = root / "etc/mailtls/mailtls.toml"
        self.config.write_text(
            f'root = "{root}"\n[users]\ndaemon = "{UID}"\nadmins = "no-such-group"\n'
            f'[metrics]\nlisten = "{metrics}"\n[postfix]\ntable_type = "{KIND}"\n'
        )
        (root / "etc/mailtls/policies/default.toml").write_text(policy)
        self.places: Places = read_config(str(self.config)).places
        self.log = self.places.logs[0]
        self.log.touch()
        self.said = root / "said"
        self._lives: list[Life] = []
        self._nursery = self._nursery_with(every)

    def _nursery_with(self, every: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _NURSERY, str(self.config), str(UID), str(every)]
        with self.said.open("w") as said:
            nursery = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, cwd="/"
            )
        assert nursery.stdout is not None
        assert nursery.stdout.readline() == "ready\n", self.said.read_text()
        return nursery

    def close(self) -> None:
        """End everybody, and remove everything."""
        for life in self._lives:
            life.kill()
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        self._nursery.wait()
        shutil.rmtree(self.root)

    # --- lives -----------------------------------------------------------------------------------------------

    def born(self, program: str) -> Life:
        """Start `mailtlsd` or `mailtls-keeper`; it is not ready yet."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{program}\n")
        self._nursery.stdin.flush()
        life = Life(int(self._nursery.stdout.readline()))
        self._lives = [other for other in self._lives if not other.is_over] + [life]
        return life

    def keeper(self) -> Life:
        """Start the keeper, and wait until it answers."""
        life = self.born("mailtls-keeper")
        self.until(lambda: self._answers(self.places.keeper_socket), "the keeper answers")
        self.until(lambda: self.standing() is not None, "the keeper lists")
        return life

    def daemon(self) -> Life:
        """Start mailtlsd, and wait until it answers and has taken up its log."""
        life = self.born("mailtlsd")
        self.until(lambda: self._answers(self.places.control), "mailtlsd answers")
        self.until(self._follows, "mailtlsd follows its log")
        return life

    def _answers(self, socket: Path) -> bool:
        return socket.exists() and any(not life.is_over for life in self._lives)

    def _follows(self) -> bool:
        with suppress(MailtlsError):
            status = self.ask(AskStatus()).status
            return status is not None and status.sources[0].state == "following"
        return False

    def until(self, holds: Callable[[], bool], what: str = "it holds", patience_s: float = PATIENCE_S) -> None:
        """Wait until this is so; if it never is, show what the programs said."""
        deadline = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"not so within {patience_s:.0f} s: {what}\n{self.said.read_text()[-4000:]}")
            time.sleep(0.02)

    # --- asking ----------------------------------------------------------------------------------------------

    def ask(self, question: Question) -> Answer:
        """Ask mailtlsd."""
        return asyncio.run(_once(ControlSocket(self.places.control, PATIENCE_S).ask(question)))

    def request(self, request: Request) -> Reply:
        """Ask the keeper, as root."""
        return asyncio.run(_once(KeeperSocket(self.places.keeper_socket, PATIENCE_S).ask(request)))

    def standing(self) -> dict[str, LiveWaiver] | None:
        """Give the keeper's list by network; None where it does not answer."""
        with suppress(MailtlsError):
            return {waiver.network: waiver for waiver in self.request(ListWaivers()).waivers}
        return None

    def peers(self) -> dict[str, KnownPeer]:
        """Give everybody whom mailtlsd knows, by address."""
        answer = self.ask(AskPeers(limit=100_000))
        assert answer.peers is not None
        return {peer.ip: peer for peer in answer.peers}

    def waivers_told(self) -> set[str]:
        """Give the networks that mailtlsd says are waived."""
        return {waiver.network for waiver in self.ask(AskWaivers()).waivers or ()}

    def has_begun(self) -> bool:
        """Tell whether the place is stored where mailtlsd began to read its log: what is written from now on counts."""
        place = f"file:{self.places.database}?mode=ro"
        with suppress(sqlite3.Error), closing(sqlite3.connect(place, timeout=1, uri=True)) as database:
            return bool(database.execute("SELECT count(*) FROM positions").fetchone()[0])
        return False

    def ctl(self, *words: str, **environment: str) -> str:
        """Run mailtlsctl, and give what it printed; it must succeed."""
        done = mailtlsctl(*words, MAILTLS_CONFIG=str(self.config), **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def waits_until_it_knows(self, ip: str, sessions: int = 1, patience_s: float = 3 * PATIENCE_S) -> None:
        """Wait until mailtlsd has counted so many sessions of this peer: all that stands before them was read."""

        def known() -> bool:
            with suppress(MailtlsError):
                answer = self.ask(AskPeers(whom=ip))
                return bool(answer.peers) and sum(peer.sessions for peer in answer.peers or ()) >= sessions
            return False

        self.until(known, f"{ip} is known", patience_s)


async def _once(asked: object) -> object:
    return await asked  # type: ignore[misc]


@contextmanager
def installed(policy: str = POLICY, metrics: str = "", every: float = 0.1) -> Iterator[Installation]:
    """An installation for one test; shows what its programs said if the test fails."""
    installation = Installation(Path(tempfile.mkdtemp(prefix="mailtls-trial-")), policy, metrics, every)
    try:
        yield installation
    except BaseException:
        print(installation.said.read_text()[-6000:])
        raise
    finally:
        installation.close()


def reported(*logs: Path) -> dict[str, Counter[str]]:
    """What `mailtlsctl report` counts in these files, by address: sessions, failures."""
    done = mailtlsctl("report", "--format", "json", *map(str, logs))
    counted: dict[str, Counter[str]] = {}
    for verdict in json.loads(done.stdout)["verdicts"]:
        if verdict["peer_ip"] is not None:
            of = counted.setdefault(verdict["peer_ip"], Counter())
            of["sessions"] += verdict["count"]
            of["failures"] += verdict["count"] * (verdict["outcome"] == "tls_failed")
    return counted
