"""A whole small world: a private Postfix, and mailtls-keeper and mailtlsd watching it, as real processes.

The Postfix's directory is mailtls' `root`. The tables stand with `-o` on the port-25 service only, as the
operators' documents ask; the submission service offers AUTH behind STARTTLS. mailtlsd runs as a user that exists
nowhere, the keeper as root. Everything ends with the `with` block.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.tabletypes import KIND

from mailtls.core.controlprotocol import AskStatus
from mailtls.core.keeperprotocol import KeeperStatus
from mailtls.ctl.inquiry import ask_daemon, ask_keeper, places_of
from mailtls.errors import MailtlsError

from .authserver import AuthServer
from .configuration import Settings
from .conversation import Conversation, Server
from .instance import PrivatePostfix, reserved_ports, wait_until
from .programs import Service, program

NOBODY_HAS_IT = 61999
"""Number of mailtlsd's user and group; there is no such user."""

NO_GROUP = "mailtls-test-nobody"

POLICY = """\
[causes.not_tls]
action = "waive"
level_floor = "cleartext"
after = { sessions = 3, within = "1h" }
lifetime = "1d"
longest = "7d"

[limits]
automatic = ["cleartext"]
per_day = 50
"""
"""Lets down by itself who goes on in plain SMTP after STARTTLS; there is no time to wait ten minutes here."""

CONFIGURATION = """\
root = "{root}"

[log]
files = ["/log/mail.log"]

[users]
daemon = "{uid}"
admins = "{admins}"

[postfix]
config_directory = "/etc/postfix"
table_type = "{table_type}"

[metrics]
listen = "127.0.0.1:{port}"
"""


def with_doors_of_mailtls() -> Settings:
    """Say how the private Postfix is to be set up: this is what an operator does by hand once."""
    tables = (
        f"{KIND}:{{directory}}/etc/postfix/mailtls/discard,cidr:{{directory}}/etc/postfix/mailtls/discard.cidr"
    )
    return Settings(
        options={
            "smtp": (f"smtpd_discard_ehlo_keyword_address_maps={tables}",),
            "submission": (
                "smtpd_tls_auth_only=yes",
                "smtpd_sasl_auth_enable=yes",
                "smtpd_sasl_type=dovecot",
                "smtpd_sasl_path={directory}/auth.sock",
            ),
        }
    )


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one command: exit status, standard output, standard error."""

    status: int
    said: str
    complained: str


class World:
    """Postfix, keeper and mailtlsd for the time of a `with` block, with this `policy`.

    `address` is where clients connect: `door()` the port-25 service, `door("submission")` the other.
    """

    def __init__(self, policy: str = POLICY) -> None:
        self.postfix = PrivatePostfix(with_doors_of_mailtls())
        self._policy = policy
        self._stack = ExitStack()

    def __enter__(self) -> World:
        """Start all three; returns when each of them answers."""
        try:
            self._stack.enter_context(self.postfix)
            self.root = self.postfix.directory
            self._lay_out()
            self._stack.enter_context(AuthServer(self.root / "auth.sock"))
            self.keeper.start()
            self._stack.callback(self.keeper.stop)
            self.await_keeper()
            self.daemon.start()
            self._stack.callback(self.daemon.stop)
            self.await_daemon()
        except BaseException as error:
            if hasattr(self, "daemon"):
                error.add_note(self.words())
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all three, and remove every file."""
        self._stack.close()

    def _lay_out(self) -> None:
        """Write what mailtls is told; mailtlsd's directories are its own, everything else is root's."""
        for name in ("etc/mailtls/policies", "var/lib/mailtls-keeper", "run/mailtls-keeper"):
            (self.root / name).mkdir(parents=True)
        for name in ("var/lib/mailtls", "run/mailtls"):
            (self.root / name).mkdir(parents=True)
            os.chown(self.root / name, NOBODY_HAS_IT, NOBODY_HAS_IT)
        with ExitStack() as reservation:
            (self._port,) = reserved_ports(1, reservation)
        self.policy = self.root / "etc/mailtls/policies/default.toml"
        self.policy.write_text(self._policy)
        self.config = self.root / "etc/mailtls/mailtls.toml"
        self.config.write_text(
            CONFIGURATION.format(
                root=self.root, uid=NOBODY_HAS_IT, admins=NO_GROUP, table_type=KIND, port=self._port
            )
        )
        self.environment = {**os.environ, "MAILTLS_CONFIG": str(self.config), "COLUMNS": "80"}
        log = self.root / "log"
        self.keeper = Service("mailtls-keeper", (), self.environment, log / "keeper.log")
        self.daemon = Service("mailtlsd", (), self.environment, log / "mailtlsd.log", uid=NOBODY_HAS_IT)

    # --- readiness ---------------------------------------------------------------------------------------------

    def await_keeper(self) -> None:
        """Wait until the keeper answers."""
        places = places_of(str(self.config))
        self._await(self.keeper, lambda: ask_keeper(places, KeeperStatus()).ok)

    def await_daemon(self) -> None:
        """Wait until mailtlsd answers, follows the log and has the keeper's list."""
        places = places_of(str(self.config))

        def is_ready() -> bool:
            status = ask_daemon(places, AskStatus()).status
            return status is not None and status.keeper and all(s.state == "following" for s in status.sources)

        self._await(self.daemon, is_ready)

    def _await(self, service: Service, is_ready: Callable[[], bool]) -> None:
        def settled() -> bool:
            with suppress(MailtlsError):
                return is_ready() or not service.running
            return not service.running

        if not wait_until(settled) or not service.running:
            raise TimeoutError(f"{service.name} does not answer; it said:\n{self.words()}")

    def words(self) -> str:
        """Give all that keeper and mailtlsd said, for whoever looks for a fault."""
        said = [
            f"--- {each.name}\n{each.words.read_text()}" for each in (self.keeper, self.daemon) if each.words.exists()
        ]
        return "\n".join(said)

    # --- asking ------------------------------------------------------------------------------------------------

    def run(self, name: str, *arguments: str) -> Ran:
        """Run one of the programs to its end, as root."""
        command = [program(name), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, env=self.environment, stdin=subprocess.DEVNULL)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def ctl(self, *arguments: str) -> Ran:
        """Run mailtlsctl."""
        return self.run("mailtlsctl", *arguments)

    def asked(self, *arguments: str) -> dict[str, Any]:
        """Run mailtlsctl with --json, and read its answer; a RuntimeError has its words if there is none."""
        ran = self.ctl(*arguments, "--json")
        if ran.status or not ran.said:
            raise RuntimeError(f"mailtlsctl {' '.join(arguments)}: exit status {ran.status}: {ran.complained}")
        answer: dict[str, Any] = json.loads(ran.said)
        return answer

    def history(self, address: str) -> list[dict[str, Any]]:
        """Give what was decided and done about an address, the latest first."""
        steps: list[dict[str, Any]] = self.asked("history", address)["history"]
        return steps

    def metrics(self) -> str:
        """Ask as Prometheus does."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as page:
            text: str = page.read().decode()
        return text

    # --- what Postfix reads ------------------------------------------------------------------------------------

    @property
    def tables(self) -> tuple[str, str]:
        """The tables of the port-25 service, as Postfix names them."""
        place = self.postfix.configuration / "mailtls"
        return f"{KIND}:{place / 'discard'}", f"cidr:{place / 'discard.cidr'}"

    def entry(self, address: str) -> str:
        """Ask the tables as smtpd does; an empty text where neither has an entry."""
        for table in self.tables:
            command = ["/usr/sbin/postmap", "-c", self.postfix.configuration, "-q", address, table]
            found = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if found.stderr:
                raise RuntimeError(f"postmap -q {address} {table}: {found.stderr}")
            if found.returncode == 0:
                return found.stdout.strip()
        return ""

    def await_entry(self, address: str, *, there: bool) -> None:
        """Wait until the tables have an entry for an address, or none."""
        self.await_(lambda: bool(self.entry(address)) is there, f"{address} is {'' if there else 'not '}in the tables")

    def await_step(self, address: str, **wanted: str) -> dict[str, Any]:
        """Wait until the history of an address has a step with these fields, and give it."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            steps = (step for step in self.history(address) if wanted.items() <= step.items())
            found[:] = [step for step, _ in zip(steps, range(1), strict=False)]
            return bool(found)

        self.await_(is_there, f"the history of {address} has {wanted}")
        return found[0]

    def await_(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so; a TimeoutError says what, and what mailtls said."""
        if not wait_until(condition):
            raise TimeoutError(f"it did not come true that {what}\n{self.words()}")

    # --- clients -----------------------------------------------------------------------------------------------

    def door(self, way_in: str = "smtp") -> Server:
        """Say where clients connect."""
        return Server(self.postfix.address, self.postfix.ports[way_in])

    def offers(self, address: str, way_in: str = "smtp") -> frozenset[str]:
        """Greet from this address, and give the keywords that are announced to it.

        It goes without QUIT: EHLO and QUIT is how a peer behaves that refuses cleartext.
        """
        with Conversation(address, self.door(way_in)) as conversation:
            conversation.greet()
        return conversation.keywords
