"""What `setup`, `unsetup`, `edit` and `reload` have in common: which Postfix, who may, and what is said in the end.

The work itself is done in `service/apply*`, in this process, by root: there is no daemon that anybody could ask to
change Postfix's configuration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailtls.config import Places, read_config
from mailtls.core.keeperprotocol import Message
from mailtls.core.level import Level
from mailtls.ctl import REFUSED, output
from mailtls.ctl.screen import Screen
from mailtls.edge.credentials import gid_of
from mailtls.edge.gatewayunits import GatewayUnits
from mailtls.edge.noticeboard import OF_APPLY, NoticeBoard
from mailtls.edge.postconf import Postconf
from mailtls.edge.postmap import Postmap
from mailtls.edge.posttable import SUFFIX, PostTables
from mailtls.edge.reloadpace import LEAST_S
from mailtls.errors import ConfigError, MailtlsError, PostfixError, RefusedError
from mailtls.service.applyderive import Derive, Derived, derive
from mailtls.service.applydoors import DOORS, DoorWishes
from mailtls.service.applygateway import GatewayMeans
from mailtls.service.applyhooks import HookWishes
from mailtls.service.applyplan import NAMES, Site
from mailtls.service.applysetup import SetupRoom

WORKPLACE = "/var/lib/mailtls-apply"
RECORD = "setup.json"
OWN_CERTIFICATES = "/etc/mailtls/doors"
OBSERVER_ENABLED = "/etc/systemd/system/mailtls.target.wants/mailtls-observer.service"
LEAVING_S = 120.0
"""So long the sessions at a door that goes may take; a mail rarely takes longer."""
PATIENCE_S = 90.0
"""So long another transaction is waited for; one takes some seconds."""


class ChangePage(Message):
    """What a command answers with `--json`. `refused`: why nothing was changed, or all was taken back; null: done."""

    command: str
    refused: str | None = None
    notes: tuple[str, ...] = ()
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the commands have in common: which mailtls.toml, which Postfix, and how to answer."""

    config: str | None = None
    directory: str | None = None
    as_json: bool = False


def carry_out(command: str, asked: Asked, work: Callable[[], ChangePage]) -> int:
    """Do the work and tell of it; with `--json` also of a refusal, which is said on standard error in any case."""
    try:
        page = work()
    except PostfixError as error:
        page = ChangePage(command=command, refused=f"nothing was changed: {error}")
    except RefusedError as error:
        page = ChangePage(command=command, refused=str(error), diff=getattr(error, "diff", ""))
    if asked.as_json:
        output.write_json(page.model_dump_json(indent=1))
    else:
        view = Screen()
        output.write((page.diff,) if page.diff else ())
        output.write(view.prose(note) for note in page.notes)
    if page.refused is None:
        return 0
    output.complain(page.refused)
    return REFUSED


def site_of(config: str | None, directory: str | None) -> Site:
    """Find the Postfix that is meant: `--config-dir`, else what mailtls.toml says. Raises ConfigError, RefusedError."""
    return _site(read_config(config).places, directory)


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """What the commands say of doors, and of who is asked about messages.

    `levels`: those that are wanted, separated by commas, or `none`; None: as before. `now`: cut who is there.
    `policy_service`: whether Postfix shall ask mailtlsd; `milter`: whether it shall tell mailtls-milter; None: as
    before.
    """

    levels: str | None = None
    self_signed: bool = False
    now: bool = False
    policy_service: bool | None = None
    milter: bool | None = None

    def wishes(self, places: Places) -> DoorWishes:
        """Read them. Raises ConfigError."""
        return DoorWishes(
            _levels(self.levels), places.config.doors.ports, places.under(OWN_CERTIFICATES), places.root,
            self_signed=self.self_signed, gateway=_gateway(places),
        )  # fmt: skip


def _gateway(places: Places) -> GatewayMeans:
    """Say what there is for the sslv3 door; systemd's units are those of the machine, not of an instance elsewhere."""
    config = places.config
    units = GatewayUnits() if places.root.resolve() == Path("/") else None
    return GatewayMeans(config.gateway, units, by_the_site=config.doors.sslv3_served_by == "site")


def _levels(written: str | None) -> tuple[Level, ...] | None:
    if written is None:
        return None
    words = [word for word in written.replace(",", " ").split() if word]
    known = [level.value for level in DOORS]
    if words != ["none"] and (not words or not set(words) <= set(known)):
        raise ConfigError(f"--doors {written}: doors are {', '.join(known)}; name them with a comma, or write none")
    return tuple(level for level in DOORS if level.value in words)


def room_of(
    config: str | None, directory: str | None, services: Iterable[str] = (), doors: DoorOptions | None = None
) -> SetupRoom:
    """Find all that setup works with. Raises ConfigError, RefusedError, PostfixError."""
    doors = doors or DoorOptions()
    places = read_config(config).places
    site = _site(places, directory)
    kind = _table_type(site, places.config.postfix.table_type)
    tables = PostTables(site.configuration / "mailtls", places.root, kind, Postmap(site.workplace / "postmap"))
    named = _under_root(site.configuration, places.root)
    record = site.workplace / RECORD
    return SetupRoom(
        site, tables, places.postfix_view, record, named, tuple(services), doors.wishes(places),
        0.0 if doors.now else LEAVING_S,
        HookWishes(doors.policy_service, places.policy_socket, places.config.policy_service.listen, doors.milter),
        observed=places.under(OBSERVER_ENABLED).is_symlink(),
    )  # fmt: skip


def derive_for(asked: Asked, site: Site) -> Derive:
    """Say what edit and reload do about what setup made; where it cannot be told, a note says so, and no more."""

    def derived(contents: Mapping[str, bytes]) -> Derived:
        if not (site.workplace / RECORD).is_file():
            return Derived()
        try:
            return derive(room_of(asked.config, asked.directory), contents)
        except MailtlsError as error:
            why = f"{error}".removeprefix("nothing was changed: ").rstrip(".")
            return Derived(notes=(f"The doors were not derived again: {why}; to do that: mailtlsctl setup",))

    return derived


def workplace_of(config: str | None) -> Path:
    """Say where transactions are kept. Raises ConfigError, RefusedError."""
    places = read_config(config).places
    _be_root()
    return places.under(WORKPLACE)


def _site(places: Places, directory: str | None) -> Site:
    _be_root()
    usual = places.under(places.config.postfix.config_directory)
    configuration = Path(directory).absolute() if directory is not None else usual
    if not any((configuration / name).is_file() for name in NAMES):  # one that is gone can be put back
        raise ConfigError(f"{configuration}: there is no main.cf; name Postfix's directory with --config-dir")
    return Site(
        configuration, places.under(WORKPLACE), places.logs, board_of(places), PATIENCE_S, LEAST_S, output.complain
    )


def board_of(places: Places) -> NoticeBoard:
    """Find the board that mailtlsd reads; nobody else needs to: what Postfix says may quote main.cf."""
    return NoticeBoard(places.under(OF_APPLY), gid_of(places.config.users.daemon) or 0)


def _be_root() -> None:
    if os.geteuid() != 0:
        raise RefusedError("Postfix's configuration is changed by root only; run this with sudo")


def _under_root(directory: Path, root: Path) -> str:
    try:
        return f"/{directory.resolve().relative_to(root.resolve())}"
    except ValueError:
        raise ConfigError(f"{directory} is not under {root}, the root that mailtls.toml names") from None


def _table_type(site: Site, wanted: str) -> str:
    known = Postconf(site.configuration).table_types()
    return next((kind for kind in (wanted, *SUFFIX) if kind in known), wanted)
