"""A private Postfix that asks a real mailtlsd about messages, as `setup --policy-service` made it, doors and all."""

from __future__ import annotations

import grp
import os
import re
import sqlite3
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mailtls.config import read_config
from mailtls.core.controlprotocol import AskExplain, AskStatus
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.tablepair import TablePair
from mailtls.ctl.inquiry import ask_daemon, places_of
from mailtls.errors import MailtlsError
from mailtls.service.applydoors import DoorWishes
from mailtls.service.applyhooks import HookWishes
from mailtls.service.applysetup import SetupRoom, setup

from .applying import room_of
from .configuration import ADDRESS, Settings
from .conversation import Conversation, Handshake, Server
from .instance import PrivatePostfix, reserved_ports, wait_until
from .programs import Service, program
from .world import NOBODY_HAS_IT

LISTED = "127.8.0.1"
SMTP_SOURCE = "/usr/sbin/smtp-source"
CONFIGURATION = """\
root = "{root}"
[log]
files = ["/log/mail.log"]
[users]
daemon = "{uid}"
admins = "mailtls-test-nobody"
[metrics]
listen = "127.0.0.1:{port}"
[policy_service]
socket = "/queue/mailtls/policy"
"""


class PolicyWorld:
    """Postfix and mailtlsd for the time of a `with` block.

    Without a keeper whoever is LISTED may use the doors; with one there are none, and it gives `cleartext`.
    """

    def __init__(self, settings: Settings, policy: str = "", *, keeper: bool = False) -> None:
        self.postfix = PrivatePostfix(settings)
        self._policy = policy
        self._has_keeper = keeper
        self._stack = ExitStack()

    def __enter__(self) -> PolicyWorld:
        """Start both, and set Postfix up; returns when mailtlsd answers Postfix."""
        try:
            self._stack.enter_context(self.postfix)
            self.root = self.postfix.directory
            self._lay_out()
            self.room = self._room()
            self.before = (self.postfix.configuration / "master.cf").read_bytes()
            setup(self.room)
            for level in (Level.LEGACY_RSA, Level.LEGACY):
                if self.view.door(level) is not None:
                    self.room.tables.beside(level.value).put(TablePair({LISTED: "mailtls_waived"}))
            if self._has_keeper:
                self.keeper.start()
                self._stack.callback(self.keeper.stop)
            self.start()
            self._stack.callback(self.daemon.stop)
        except BaseException as error:
            if hasattr(self, "daemon"):
                error.add_note(self.words())
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End both, and remove every file."""
        self._stack.close()

    def _lay_out(self) -> None:
        for name in ("etc/mailtls/policies", "var/lib/mailtls-keeper", "run/mailtls-keeper"):
            (self.root / name).mkdir(parents=True)
        for name in ("var/lib/mailtls", "run/mailtls", "queue/mailtls"):
            (self.root / name).mkdir(parents=True)
            os.chown(self.root / name, NOBODY_HAS_IT, NOBODY_HAS_IT)
        # Who is not root cannot give a socket to Postfix's group; the directory does.
        os.chown(self.socket.parent, NOBODY_HAS_IT, grp.getgrnam("postfix").gr_gid)
        self.socket.parent.chmod(0o2755)
        with ExitStack() as reservation:
            (self._port,) = reserved_ports(1, reservation)
        self.policy = self.root / "etc/mailtls/policies/default.toml"
        self.policy.write_text(self._policy)
        self.config = self.root / "etc/mailtls/mailtls.toml"
        self.config.write_text(CONFIGURATION.format(root=self.root, uid=NOBODY_HAS_IT, port=self._port))
        self._environment = {**os.environ, "MAILTLS_CONFIG": str(self.config), "COLUMNS": "200"}
        self._places = places_of(str(self.config))
        log = self.root / "log" / "mailtlsd.log"
        self.keeper = Service("mailtls-keeper", (), self._environment, self.root / "log" / "keeper.log")
        self.daemon = Service("mailtlsd", (), self._environment, log, uid=NOBODY_HAS_IT)

    def _room(self) -> SetupRoom:
        with ExitStack() as reservation:
            rsa, legacy = reserved_ports(2, reservation)
        ports = {Level.LEGACY_RSA: rsa, Level.LEGACY: legacy}
        own = self.root / "etc/mailtls/doors"
        doors = DoorWishes(() if self._has_keeper else None, ports, own, self.root, self_signed=True)
        hooks = HookWishes(policy=True, socket=self.socket)
        return replace(room_of(self.postfix), doors=doors, patience_s=20.0, hooks=hooks)

    @property
    def socket(self) -> Path:
        """Where Postfix asks."""
        return self.root / "queue/mailtls/policy"

    @property
    def view(self) -> PostfixSettings:
        """What `setup` wrote for mailtlsd."""
        return read_config(str(self.config)).postfix

    def port(self, door: str) -> int:
        """Where a door listens, or the port-25 service (`strict`)."""
        if door == "strict":
            return self.postfix.ports["smtp"]
        found = self.view.door(Level(door))
        assert found is not None, f"there is no door {door}"
        return found.port

    # --- mailtlsd ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start mailtlsd; returns when it answers over its control socket, and listens for Postfix."""
        self.daemon.start()

        def is_ready() -> bool:
            with suppress(MailtlsError):
                status = ask_daemon(self._places, AskStatus()).status
                knows = status is not None and (status.keeper or not self._has_keeper)
                return knows and self.socket.is_socket()
            return not self.daemon.running

        if not wait_until(is_ready) or not self.daemon.running:
            raise TimeoutError(f"mailtlsd does not answer; it said:\n{self.words()}")

    def obey(self, policy: str) -> None:
        """Let mailtlsd judge by another policy; returns when it says that it does."""
        self.policy.write_text(policy)
        told = self.words().count("is followed from now on")
        os.kill(self.daemon.process, 1)
        assert wait_until(lambda: self.words().count("is followed from now on") > told), self.words()

    def words(self) -> str:
        """Give all that mailtlsd said."""
        return self.daemon.words.read_text() if self.daemon.words.exists() else ""

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run mailtlsctl."""
        command = [program("mailtlsctl"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=self._environment, stdin=subprocess.DEVNULL, check=False
        )

    def explained(self, peer: str) -> dict[str, Any]:
        """Ask mailtlsd for all that it remembers of a peer; nothing where it knows none."""
        found = ask_daemon(self._places, AskExplain(whom=peer)).explained
        return found[0].model_dump(mode="json") if found else {}

    def metric(self, name: str) -> float:
        """Give one figure as Prometheus would see it; 0 where it is not told."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as page:
            text = page.read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """Hold the database, so that nothing can be written to it or read from it."""
        path = self.root / "var/lib/mailtls/mailtls.db"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    # --- mail ----------------------------------------------------------------------------------------------------

    @contextmanager
    def conversation(self, source: str, door: str = "strict") -> Iterator[Conversation]:
        """Connect to the port-25 service or a door."""
        with Conversation(source, Server(ADDRESS, self.port(door))) as conversation:
            yield conversation

    def delivers(
        self, source: str, handshake: Handshake | None = None, door: str = "strict", sender: str = "a@peer.test",
        recipients: tuple[str, ...] = ("b@example.test",), body: str = "Subject: test\r\n\r\ntest\r\n",
    ) -> str:  # fmt: skip
        """Send one mail; give the first answer that is neither yes nor go on, or else the last."""
        with self.conversation(source, door) as conversation:
            conversation.greet()
            if handshake is not None:
                conversation.secure(handshake)
            commands = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in recipients), "DATA", f"{body}."]
            answer = ""
            for command in commands:
                answer = conversation.say(command)
                if answer[:1] not in "23":
                    return answer
            conversation.quit()
            return answer

    def flood(self, messages: int, at_once: int = 20) -> subprocess.CompletedProcess[str]:
        """Deliver so many mails, as Postfix's own load generator does; it ends at the first that is refused."""
        command = [
            SMTP_SOURCE, "-m", str(messages), "-s", str(at_once), "-f", "a@peer.test", "-t", "b@example.test",
            f"{ADDRESS}:{self.port('strict')}",
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    def taken(self) -> int:
        """Count the mails that went through the queue to their end."""
        return sum("status=sent" in line for line in self.postfix.lines())


def with_certificate(directory: Path) -> Handshake:
    """Shake hands with TLS 1.3 and a certificate of one's own, that of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(directory / "ecdsa.crt", directory / "ecdsa.key")
    return context.wrap_socket
