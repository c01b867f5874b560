"""`setup` and `unsetup`: Postfix is told of the tables of waivers, and the keeper of what Postfix does by itself.

Three files change in one transaction: master.cf, the keeper's view of the service, and the record of what was inserted.
The tables are there before Postfix hears of them: a missing one is a 421 for every client (facts 1.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mailtls.core.mapentry import Insertion, tables_of
from mailtls.core.mastercf import MasterCf, parse_master_cf
from mailtls.core.serviceconduct import ASKED, MAPS, ServiceConduct, conduct_of, conduct_text
from mailtls.core.setupplan import Place, Written, mx_services, places, sweep, unwrite, write
from mailtls.edge.postconf import Postconf, Reading
from mailtls.edge.posttable import PostTables
from mailtls.edge.swapfile import content_of
from mailtls.errors import PostfixError, RefusedError
from mailtls.service.applychange import Done, carry_out
from mailtls.service.applyplan import FileChange, Order, Site

NOTHING = "Postfix is set up for mailtls already; nothing was changed."
KEEPER = "Restart the keeper, so that it learns what Postfix does by itself: systemctl try-restart mailtls-keeper"


@dataclass(frozen=True, slots=True)
class SetupRoom:
    """What setup works with.

    `view` is the keeper's view of the service, `config_directory` the directory as mailtls.toml calls it, under `root`;
    `services` are those that the operator named, none: every one on port 25.
    """

    site: Site
    tables: PostTables
    view: Path
    record: Path
    config_directory: str
    services: tuple[str, ...] = ()


class Record(BaseModel):
    """What was inserted, on the disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: str
    tables: tuple[str, str]
    insertions: tuple[tuple[str, str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What setup or unsetup would do: an order, the notes beside it, and what postconf may show differently."""

    order: Order
    notes: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Tell whether every file is already as it shall be."""
        return all(each.old == each.new for each in self.order.changes)

    def diff(self) -> str:
        """Give what would change, as a unified diff."""
        return "".join(_diff(each) for each in self.order.changes)


def setup(room: SetupRoom, observe: Callable[[str], None] = lambda _: None) -> Done:
    """Set Postfix up; done twice it changes nothing. Raises RefusedError."""
    change = plan_setup(room)
    try:
        made = room.tables.ensure()
        room.view.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except PostfixError as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    except OSError as error:
        raise RefusedError(f"nothing was changed: {room.view.parent}: {(error.strerror or '').lower()}") from error
    notes = tuple(f"{each} was made, and is empty." for each in made)
    if change.is_nothing:
        return Done((*notes, NOTHING))
    done = carry_out(change.order, room.site, observe)
    return Done((*notes, *change.notes, *done.notes, KEEPER))


def unsetup(room: SetupRoom, observe: Callable[[str], None] = lambda _: None) -> Done:
    """Take everything of setup out again. Raises RefusedError."""
    change = plan_unsetup(room)
    if change.is_nothing:
        return Done(("Postfix is not set up for mailtls; nothing was changed.",))
    done = carry_out(change.order, room.site, observe)
    return Done((*change.notes, *done.notes))


# --- planning ----------------------------------------------------------------------------------------------------


def plan_setup(room: SetupRoom) -> Change:
    """Say what setup would change. Raises RefusedError."""
    path = room.site.configuration / "master.cf"
    old, record = _master_bytes(path), _record(room)
    if record is not None and record.configuration != str(room.site.configuration):
        raise RefusedError(f"mailtls is set up for {record.configuration}; one Postfix at a time: first unsetup there")
    known = _insertions(record)
    present = old.decode("utf-8", "surrogateescape")
    base = unwrite(present, known, room.tables.names) if known else Written(present, ())
    try:
        wanted, conduct, own = _conduct(room, parse_master_cf(base.text))
    except (ValueError, PostfixError) as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    meant = (*wanted, *(Place(each.service, each.parameter) for each in known))
    written = write(base.text, wanted, room.tables.names, own)
    view = conduct_text(conduct, room.config_directory, room.tables.kind)
    order = Order("setup", (
        FileChange(room.view, content_of(room.view), view.encode()),
        FileChange(room.record, content_of(room.record), _record_bytes(room, written.insertions)),
        FileChange(path, old, written.text.encode("utf-8", "surrogateescape")),
    ), strict=True, check=lambda now, then: _strays(now.reading, then.reading, meant))  # fmt: skip
    return Change(order, base.notes)


def plan_unsetup(room: SetupRoom) -> Change:
    """Say what unsetup would change. Raises RefusedError."""
    path = room.site.configuration / "master.cf"
    old, record = _master_bytes(path), _record(room)
    ours = record.tables if record is not None else room.tables.names
    exact = unwrite(old.decode("utf-8", "surrogateescape"), _insertions(record), ours)
    written = sweep(exact.text, ours)
    touched = _naming(parse_master_cf(old.decode("utf-8", "surrogateescape")), ours)
    order = Order("unsetup", (
        FileChange(path, old, written.text.encode("utf-8", "surrogateescape")),
        FileChange(room.record, content_of(room.record), None),
        FileChange(room.view, content_of(room.view), None),
    ), strict=True, check=lambda now, then: _strays(now.reading, then.reading, touched))  # fmt: skip
    return Change(order, tuple(f"{each}." for each in (*exact.notes, *written.notes)))


def _master_bytes(path: Path) -> bytes:
    content = content_of(path)
    if content is None:
        raise RefusedError(f"{path} is not there; is --config-dir the directory of a Postfix?")
    return content


def _conduct(room: SetupRoom, master: MasterCf) -> tuple[tuple[Place, ...], ServiceConduct, Mapping[Place, str]]:
    """Find the places, what the services there do by themselves, and what they took from main.cf.

    Raises ValueError with a sentence, PostfixError.
    """
    postconf, ours = Postconf(room.site.configuration), room.tables.names
    if set(ours) & set(tables_of(postconf.value(MAPS))):
        raise ValueError(f"main.cf names the tables of mailtls for every service; take them out of {MAPS} there first")
    wanted = places(
        mx_services(master, room.services), master,
        lambda s: postconf.values("smtpd_service_name", overrides=s.overrides)["smtpd_service_name"],
    )  # fmt: skip
    found: dict[ServiceConduct, Place] = {}
    own = {}
    for place in wanted:
        service = master.find(place.service)
        assert service is not None  # noqa: S101 - places() found it
        values = postconf.values(*ASKED, place.parameter, overrides=service.overrides)
        own[place] = _utf8(postconf.value(place.parameter)) if values.get(place.parameter) else ""
        if place.parameter == MAPS:
            found.setdefault(conduct_of(values, ours), place)
    return wanted, _only(found), own


def _utf8(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{MAPS} names a file that is not UTF-8; rename it first") from None
    return value


def _only(found: Mapping[ServiceConduct, Place]) -> ServiceConduct:
    if len(found) > 1:
        named = " and ".join(place.service for place in found.values())
        raise ValueError(f"the services {named} hide different EHLO keywords by themselves; make them alike first")
    (conduct,) = found
    if conduct.security_level == "encrypt":
        service = found[conduct].service
        raise ValueError(f"service {service} insists on TLS (security level encrypt), so nobody can be let in without")
    return conduct


def _naming(master: MasterCf, ours: tuple[str, ...]) -> tuple[Place, ...]:
    return tuple(
        Place(service.key, option.name)
        for service in master.effective
        for option in service.options
        if set(ours) & set(tables_of(option.value))
    )


def _strays(now: Reading, then: Reading, wanted: tuple[Place, ...]) -> tuple[str, ...]:
    """Say what postconf reads differently beside the meant parameters of the meant services."""
    options = {f"{place.service}/{place.parameter}" for place in wanted}
    services = {place.service for place in wanted}
    pairs = (
        (now.parameters, then.parameters, frozenset[str]()),
        (now.services, then.services, services),
        (now.options, then.options, options),
    )
    return tuple(
        f"{name} would change, which was not meant"
        for old, new, meant in pairs
        for name in sorted({*old, *new} - meant)
        if old.get(name) != new.get(name)
    )


# --- the record --------------------------------------------------------------------------------------------------


def _record(room: SetupRoom) -> Record | None:
    content = content_of(room.record)
    if content is None:
        return None
    try:
        return Record.model_validate_json(content)
    except ValidationError:
        return None  # what it would tell is found by the names of the tables


def _insertions(record: Record | None) -> tuple[Insertion, ...]:
    return tuple(Insertion(*each) for each in record.insertions) if record is not None else ()


def _record_bytes(room: SetupRoom, insertions: tuple[Insertion, ...]) -> bytes:
    rows = tuple((each.service, each.parameter, each.words, each.whole) for each in insertions)
    record = Record(configuration=str(room.site.configuration), tables=room.tables.names, insertions=rows)
    return record.model_dump_json(indent=1).encode("utf-8", "surrogatepass") + b"\n"


def _diff(change: FileChange) -> str:
    old, new = ((each or b"").decode("utf-8", "replace").splitlines(keepends=True) for each in (change.old, change.new))
    names = str(change.path) if change.old is not None else "/dev/null", str(change.path)
    lines = unified_diff(old, new, *names)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
