"""A keeper of one's own, below a temporary root: as an object in this process, or as the real program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.tabletypes import KIND

from mailtls.config import Config, read_config
from mailtls.core.keeperprotocol import Reply
from mailtls.edge.postmap import Postmap

DAEMON_UID, ADMINS_GID, STRANGER_UID = 65_533, 65_532, 65_531
PATIENCE_S = 20.0

POLICY = """
[causes.peer_too_old]
action = "waive"
level_floor = "cleartext"
after = { sessions = 3, within = "24h", spread = "10m" }
lifetime = "30d"
longest = "180d"
[limits]
automatic = ["legacy", "cleartext"]
waivers = 50
per_day = 20
[never]
networks = ["10.0.0.0/8"]
"""

ASK_AS = """
import json, os, socket, sys
place, uid, gid, groups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
os.setgroups(groups), os.setgid(gid), os.setuid(uid)
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect(place)
reading = client.makefile()
for line in sys.stdin:
    try:
        client.sendall(line.encode())
    except OSError:
        pass  # whoever is refused may read why
    print(reading.readline(), end="", flush=True)
"""


class KeeperHouse:
    """A root with its places, a policy, and a configuration; `program` runs the keeper in it."""

    def __init__(self, settings: str = "", policy: str = POLICY, known: str = "") -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mailtls-keeper-"))
        self.root.chmod(0o755)
        self.policies = self.root / "etc" / "mailtls" / "policies"
        self.policies.mkdir(parents=True)
        (self.root / "etc" / "postfix").mkdir()
        self.write_policy(policy)
        self.write_known(known)
        self.toml = self.root / "etc" / "mailtls" / "mailtls.toml"
        self.toml.write_text(
            f'root = "{self.root}"\n[users]\ndaemon = "{DAEMON_UID}"\nadmins = "{ADMINS_GID}"\n'
            f'[postfix]\ntable_type = "{KIND}"\n{settings}'
        )
        self.words = self.root / "keeper.log"
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> KeeperHouse:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def config(self) -> Config:
        return read_config(str(self.toml), as_set_up=False)

    @property
    def socket(self) -> Path:
        return self.config.places.keeper_socket

    @property
    def names(self) -> tuple[str, str]:
        """Both tables, as main.cf names them."""
        place = self.config.places.tables
        return f"{KIND}:{place}/discard", f"cidr:{place}/discard.cidr"

    def write_policy(self, text: str) -> None:
        _replace(self.policies / "default.toml", text)

    def write_known(self, text: str) -> None:
        _replace(self.policies / "known-legacy.toml", text)

    # --- the program -------------------------------------------------------------------------------------------

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "mailtls.keeper", "--config", str(self.toml), *options]

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*options), capture_output=True, text=True, timeout=60)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Start the keeper and return when it answers."""
        with self.words.open("a") as words:
            process = subprocess.Popen(self.command(), stderr=words, text=True, env={**os.environ, **environment})
        self.processes.append(process)
        wait_until(lambda: process.poll() is not None or self._answers())
        assert process.poll() is None, self.words.read_text()
        return process

    def _answers(self) -> bool:
        try:
            self.ask({"op": "status"})
        except OSError:
            return False
        return True

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    # --- what is said ------------------------------------------------------------------------------------------

    def ask(self, *requests: dict[str, Any]) -> Reply:
        """Ask as root; give the last reply."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(self.socket))
            reading = client.makefile()
            for request in requests:
                client.sendall(json.dumps(request).encode() + b"\n")
                line = reading.readline()
            if not line:
                raise ConnectionError("the keeper closed")
            return Reply.model_validate_json(line)

    def ask_as(
        self, uid: int, *requests: dict[str, Any], gid: int = STRANGER_UID, groups: tuple[int, ...] = ()
    ) -> list[Reply]:
        """Ask as another user, in a process of its own."""
        answered = subprocess.run(
            [sys.executable, "-I", "-c", ASK_AS, str(self.socket), str(uid), str(gid), json.dumps(groups)],
            input="".join(json.dumps(each) + "\n" for each in requests), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return [Reply.model_validate_json(line) for line in answered.stdout.splitlines()]

    def ask_as_daemon(self, *requests: dict[str, Any]) -> list[Reply]:
        """Ask as mailtlsd, who is in the operators' group because of the socket."""
        return self.ask_as(DAEMON_UID, *requests, gid=DAEMON_UID, groups=(ADMINS_GID,))

    def looked_up(self, *keys: str) -> dict[str, str]:
        """Ask the tables, as smtpd does."""
        return Postmap(self.root / "asking").answers(self.names, keys)


def grant(network: str = "192.0.2.7", /, **changes: Any) -> dict[str, Any]:
    """A person's request."""
    request = {
        "op": "grant", "id": f"person-{network.replace('/', '-')}", "network": network, "level": "cleartext",
        "until": later(days=7), "reason": "old copier",
    }  # fmt: skip
    return {**request, **changes}


def automatic(network: str = "192.0.2.7", /, **changes: Any) -> dict[str, Any]:
    """mailtlsd's request, when all is in order."""
    request = {"id": f"policy-{network}", "until": later(days=30), "latest": later(days=180), "cause": "peer_too_old"}
    return grant(network, **{**request, **changes})


def later(**lengths: float) -> str:
    return (datetime.now(UTC) + timedelta(**lengths)).isoformat()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)
