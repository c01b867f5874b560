"""mailtls.toml: what the operator sets, and the places that follow from it.

`root` moves every place at once, so that a private instance runs beside the real one. Nothing is asked of the file:
without one the defaults hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, PrivateAttr

from mailtls.core import milterentry
from mailtls.core.doorsettings import DoorSettings
from mailtls.core.gatewayrule import GatewaySettings
from mailtls.core.observersettings import ObserverSettings
from mailtls.core.operatorfile import parse_operator_file
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.rule import Duration, Table
from mailtls.edge.operatortext import read_operator_text

PLACE = "/etc/mailtls/mailtls.toml"
VARIABLE = "MAILTLS_CONFIG"
LARGEST = 1024 * 1024  # bytes
ADVICE: Mapping[type[OSError], str] = {
    FileNotFoundError: f"there is no such file; check --config and {VARIABLE}",
    IsADirectoryError: f"this is a directory; name the file in it with --config or {VARIABLE}",
    PermissionError: "it may not be read by this user; run as root",
}


class LogSettings(Table):
    """Where the mail log is. Both may be used; without `files` and with `journal = false` nothing is followed."""

    files: tuple[str, ...] = ("/var/log/mail.log",)
    """Files to follow, through rotation; they need not exist yet."""
    journal: bool = False
    """Follow the systemd journal as well (`journalctl -f`), for machines without a log file."""
    journal_match: tuple[str, ...] = ("SYSLOG_FACILITY=2",)
    """Matches for journalctl(1); the mail facility."""
    silent_after: Duration = timedelta(hours=1)
    """A log that says nothing for so long is reported as silent."""


class StoreSettings(Table):
    """How long is remembered what."""

    peers: Duration = timedelta(days=400)
    """Addresses that were not seen for so long are forgotten, with their counts and decisions."""
    strangers: Duration = timedelta(days=30)
    """Addresses that never got mail or a handshake through are forgotten so long after they were last seen."""


class MetricsSettings(Table):
    """Where Prometheus asks."""

    listen: str = "127.0.0.1:9811"
    """Address and port; empty: nowhere."""


class PolicyServiceSettings(Table):
    """Where Postfix asks about messages (`mailtlsctl setup --policy-service`)."""

    socket: str = "/var/spool/postfix/mailtls/policy"
    """Under `root`; in Postfix's queue directory, so that a chrooted smtpd finds it. Made by mailtls-policy.socket."""
    listen: str = ""
    """Address and port on loopback, for a Postfix that cannot reach the socket; empty: none."""


class UserSettings(Table):
    """Who is who on the keeper's socket: names, or numbers as text."""

    daemon: str = "mailtls"
    admins: str = "mailtls-admin"


class Config(Table):
    """The whole file."""

    root: str = "/"
    policy: str = "/etc/mailtls/policies/default.toml"
    """Under `root`."""
    log: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    metrics: MetricsSettings = MetricsSettings()
    users: UserSettings = UserSettings()
    postfix: PostfixSettings = PostfixSettings()
    gateway: GatewaySettings = GatewaySettings()
    observer: ObserverSettings = ObserverSettings()
    doors: DoorSettings = DoorSettings()
    policy_service: PolicyServiceSettings = PolicyServiceSettings()
    quiet: Annotated[bool, Field(strict=True)] = False
    """Log only what needs a person."""
    _section: PostfixSettings | None = PrivateAttr(default=None)

    @property
    def section(self) -> PostfixSettings:
        """[postfix] as mailtls.toml says it: what holds again when there is no file of `setup` any more."""
        return self._section if self._section is not None else self.postfix

    @property
    def places(self) -> Places:
        """Every path that is used, under `root`."""
        return Places(Path(self.root), self)


@dataclass(frozen=True, slots=True)
class Places:
    """The paths; all follow from `root`."""

    root: Path
    config: Config

    def under(self, path: str) -> Path:
        """Put an absolute path under the root."""
        return self.root / path.lstrip("/")

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.under(self.config.policy)

    @property
    def state(self) -> Path:
        """mailtlsd's own directory."""
        return self.under("/var/lib/mailtls")

    @property
    def database(self) -> Path:
        """mailtlsd's memory."""
        return self.state / "mailtls.db"

    @property
    def run(self) -> Path:
        """mailtlsd's sockets."""
        return self.under("/run/mailtls")

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.run / "control.sock"

    @property
    def milter(self) -> Path:
        """The directory that mailtlsd shares with the milter: group mailtls-milter enters, only mailtlsd writes."""
        return self.run / "milter"

    @property
    def verdicts(self) -> Path:
        """What a verdict knows, for the milter (core/snapshotfile.py)."""
        return self.milter / "verdicts"

    @property
    def facts(self) -> Path:
        """The datagram socket that the milter tells its facts to."""
        return self.milter / "facts.sock"

    @property
    def milter_socket(self) -> Path:
        """Where Postfix finds the milter, by a path from its queue directory."""
        return self.under("/var/spool/postfix") / milterentry.SOCKET

    @property
    def policy_socket(self) -> Path:
        """Where Postfix asks about messages."""
        return self.under(self.config.policy_service.socket)

    @property
    def hellos(self) -> Path:
        """The datagram socket that the observer tells hellos to."""
        return self.under("/run/mailtls-observer") / "hellos.sock"

    @property
    def keeper_state(self) -> Path:
        """The keeper's own directory: its ledger, and last good copies."""
        return self.under("/var/lib/mailtls-keeper")

    @property
    def keeper_socket(self) -> Path:
        """The keeper's socket."""
        return self.under("/run/mailtls-keeper") / "keeper.sock"

    @property
    def tables(self) -> Path:
        """The directory of the tables that Postfix reads; owned by root, with every parent."""
        return self.under(self.config.postfix.config_directory) / "mailtls"

    @property
    def postfix_view(self) -> Path:
        """What `setup` found that Postfix does by itself; it stands in place of [postfix]."""
        return self.under("/etc/mailtls/postfix.toml")

    @property
    def logs(self) -> tuple[Path, ...]:
        """The log files."""
        return tuple(self.under(path) for path in self.config.log.files)


def read_config(path: str | None = None, *, as_set_up: bool = True) -> Config:
    """Read the file that is named, or that `MAILTLS_CONFIG` names, or the usual one if it is there.

    A file that is named must exist. What `setup` wrote about Postfix stands in place of [postfix], unless `as_set_up`
    is False: the keeper follows that file by itself, and has waivers to end while it is broken. Raises ConfigError
    with one sentence.
    """
    named = path or os.environ.get(VARIABLE)
    place = Path(named or PLACE)
    used = not (named is None and not place.exists())
    config = parse_operator_file(Config, _text(place), str(place)) if used else Config()
    return _as_set_up(config) if as_set_up else config


def _as_set_up(config: Config) -> Config:
    view = config.places.postfix_view
    try:
        if not view.is_file():
            return config
    except OSError:
        return config  # not for this user; those who need it are root
    found = config.model_copy(update={"postfix": parse_operator_file(PostfixSettings, _text(view), str(view))})
    found._section = config.postfix
    return found


def _text(place: Path) -> str:
    return read_operator_text(place, LARGEST, "configuration", ADVICE)
