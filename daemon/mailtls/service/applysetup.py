"""`setup` and `unsetup`: Postfix is told of tables of waivers and of doors, the keeper of what Postfix does by itself.

Three files change in one transaction: master.cf, the keeper's view of the service, and the record of what was inserted.
The tables are there before Postfix hears of them: a missing one is a 421 for every client (facts 1.5). A door that goes
is struck from the view first, so that the keeper leads nobody there any more, and goes when the last session has ended:
Postfix would cut them (facts 2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailtls.core.doorentry import differences
from mailtls.core.doorspan import PlacedDoor, put_in_door, sweep_doors, take_out_door
from mailtls.core.hook import NO_HOOKS, Hooks
from mailtls.core.level import Level
from mailtls.core.mapentry import tables_of
from mailtls.core.mastercf import MasterCf, Service, parse_master_cf
from mailtls.core.serviceconduct import ASKED, MAPS, ServiceConduct, conduct_of, conduct_text
from mailtls.core.setupplan import Place, Written, mx_services, places, servers, sweep, unwrite, write
from mailtls.core.sighting import Sighting, changes, gathered
from mailtls.edge.postconf import Postconf, Reading
from mailtls.edge.posttable import PostTables
from mailtls.edge.swapfile import content_of
from mailtls.errors import PostfixError, RefusedError
from mailtls.service.applycertificate import make_own, remove_own
from mailtls.service.applychange import Done, carry_out
from mailtls.service.applydoors import Doors, DoorWishes, Made, Workshop, plan_doors
from mailtls.service.applyexamine import Examined
from mailtls.service.applygateway import remove_key
from mailtls.service.applyhooks import HookWishes, decided, hooked, put_in_hooks, sweep_hooks, take_out_hooks
from mailtls.service.applyleave import Leaving
from mailtls.service.applymilter import insist_on_milter
from mailtls.service.applyobserver import ports_advice
from mailtls.service.applyplan import FileChange, Order, Site
from mailtls.service.setuprecord import Record, hooks_of, insertions_of, read_record, rows_of

NOTHING = "Postfix is set up for mailtls already; nothing was changed."


@dataclass(frozen=True, slots=True)
class SetupRoom:
    """What setup works with.

    `view` is the keeper's view of the service, `config_directory` the directory as mailtls.toml calls it, under `root`;
    `services` are those that the operator named, none: every one on port 25. `patience_s` is how long sessions at a
    door that goes may take; 0: they are cut. `stage` is a copy of the configuration that is planned for in place of the
    one that stands; None: that one. `observed`: mailtls-observer is enabled.
    """

    site: Site
    tables: PostTables
    view: Path
    record: Path
    config_directory: str
    services: tuple[str, ...] = ()
    doors: DoorWishes = field(default_factory=DoorWishes)
    patience_s: float = 120.0
    hooks: HookWishes = field(default_factory=HookWishes)
    stage: Path | None = None
    observed: bool = False

    @property
    def postconf(self) -> Postconf:
        """Give what answers for the configuration that is planned for."""
        return Postconf(self.stage or self.site.configuration, self.site.configuration)


@dataclass(frozen=True, slots=True)
class Change:
    """What setup or unsetup would do: an order, the notes beside it, and what postconf may show differently.

    `undone`: those of the notes that say what of others' edits of our words is lost.
    """

    order: Order
    notes: tuple[str, ...] = ()
    doors: Doors | None = None
    undone: tuple[str, ...] = ()

    @property
    def entries(self) -> frozenset[str]:
        """Name the doors in master.cf that there will be."""
        return frozenset(door.entry for door in self.doors.around.doors) if self.doors is not None else frozenset()

    @property
    def has_gateway(self) -> bool:
        """Tell whether there will be a door of the gateway's."""
        return Level.SSLV3 in {door.level for door in self.doors.around.doors} if self.doors is not None else False

    @property
    def is_nothing(self) -> bool:
        """Tell whether every file is already as it shall be."""
        return all(each.old == each.new for each in self.order.changes)

    def diff(self) -> str:
        """Give what would change, as a unified diff."""
        return "".join(each.diff() for each in self.order.changes)


def setup(room: SetupRoom, observe: Callable[[str], None] = lambda _: None) -> Done:
    """Set Postfix up; done twice it changes nothing. Raises RefusedError."""
    change = plan_setup(room)
    if change.doors is not None and change.doors.around.milter:
        insist_on_milter(Postconf(room.site.configuration))
    made, renewed = _make_ready(room, change)
    notes = tuple(f"{each} was made, and is empty." for each in made)
    if change.is_nothing:
        return Done((*notes, *change.notes, *_gateway(room, change, renewed=renewed), NOTHING))
    with Leaving(room.view, change.entries, room.patience_s) as leaving:
        done = carry_out(plan_setup(room).order if leaving.is_told else change.order, room.site, observe)
        leaving.is_done = True
    return Done((*notes, *change.notes, *_others(done, leaving), *_gateway(room, change, renewed=renewed)))


def _gateway(room: SetupRoom, change: Change, *, renewed: bool) -> tuple[str, ...]:
    means, port = room.doors.gateway, room.doors.ports.get(Level.SSLV3) if change.has_gateway else None
    return means.settle(port, Postconf(room.site.configuration), renewed=renewed) if means is not None else ()


def _make_ready(room: SetupRoom, change: Change) -> tuple[list[str], bool]:
    """Make what Postfix is going to be told of: tables, empty, certificates; name the tables.

    The other answer: the gateway has a new key.
    """
    renewed, means = False, room.doors.gateway
    try:
        pairs = (room.tables, *(room.tables.beside(each) for each in _levels(change.doors)))
        made = [name for pair in pairs for name in pair.ensure()]
        room.view.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if change.doors is not None and change.doors.missing is not None:
            make_own(change.doors.missing, change.doors.names)
        if means is not None and change.doors is not None and change.has_gateway:
            renewed = means.make_key(room.doors.own, change.doors.names)
    except PostfixError as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    except OSError as error:
        raise RefusedError(f"nothing was changed: {room.view.parent}: {(error.strerror or '').lower()}") from error
    return made, renewed


def _levels(doors: Doors | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(door.level.value for door in doors.around.doors)) if doors is not None else ()


def unsetup(room: SetupRoom, observe: Callable[[str], None] = lambda _: None) -> Done:
    """Take everything of setup out again. Raises RefusedError."""
    change = plan_unsetup(room)
    if change.is_nothing:
        return Done(("Postfix is not set up for mailtls; nothing was changed.",))
    with Leaving(room.view, frozenset(), room.patience_s) as leaving:
        done = carry_out(plan_unsetup(room).order if leaving.is_told else change.order, room.site, observe)
        leaving.is_done = True
    said = room.doors.gateway.take_down() if room.doors.gateway is not None else None
    remove_key(room.doors.own)
    remove_own(room.doors.own)
    return Done((*change.notes, *_others(done, leaving), *((said,) if said is not None else ())))


def _others(done: Done, leaving: Leaving) -> tuple[str, ...]:
    """Leave out what was asked for: that doors are gone, where nobody was there any more."""
    return tuple(note for note in done.notes if not (leaving.is_told and any(door in note for door in leaving.going)))


# --- planning ----------------------------------------------------------------------------------------------------


def plan_setup(room: SetupRoom) -> Change:
    """Say what setup would change. Raises RefusedError."""
    path = room.site.configuration / "master.cf"
    old, record = _master_bytes(path), read_record(room.record)
    if record is not None and record.configuration != str(room.site.configuration):
        raise RefusedError(f"mailtls is set up for {record.configuration}; one Postfix at a time: first unsetup there")
    wishes = _wishes(room, record)
    present = _master_bytes((room.stage or path.parent) / path.name).decode("utf-8", "surrogateescape")
    base = _base(present, record, room.tables.names)
    try:
        hooks = decided(room.hooks, room.postconf, hooks_of(record))
        conduct, doors, written, asking = _planned(room, wishes, hooks, base.text)
        text, placed = _with_doors(asking.text, doors.made)
    except (ValueError, PostfixError) as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    known = (*insertions_of(record), *hooks_of(record), *written.insertions, *asking.insertions)
    meant = tuple(Place(each.service, each.parameter) for each in known)
    view = conduct_text(conduct, room.config_directory, room.tables.kind, doors.around)
    before = record.placed if record is not None else ()
    order = _order("setup", (
        FileChange(room.view, content_of(room.view), view.encode()),
        FileChange(room.record, content_of(room.record), _record_bytes(room, written, asking, placed, wishes)),
        FileChange(path, old, text.encode("utf-8", "surrogateescape")),
    ), meant, _moved(before, placed) | _edited(present, doors.made))  # fmt: skip
    return Change(order, (*base.notes, *doors.notes), doors, base.notes)


def _wishes(room: SetupRoom, record: Record | None) -> DoorWishes:
    if room.doors.levels is None and record is not None:
        return replace(room.doors, levels=record.levels)
    return room.doors


def _base(text: str, record: Record | None, ours: tuple[str, ...]) -> Written:
    """Give master.cf as it was without us."""
    notes: list[str] = []
    for door in reversed(record.placed if record is not None else ()):
        text, note = take_out_door(text, door)
        notes += [f"{note}."] if note else []
    unhooked = take_out_hooks(text, hooks_of(record))
    known = insertions_of(record)
    base = unwrite(unhooked.text, known, ours) if known else Written(unhooked.text, ())
    return Written(base.text, (), (*notes, *unhooked.notes, *base.notes))


def _planned(
    room: SetupRoom, wishes: DoorWishes, hooks: Hooks, text: str
) -> tuple[ServiceConduct, Doors, Written, Written]:
    """Find out what the service does, and plan tables, doors, and hooks. Raises ValueError, PostfixError."""
    master, postconf = parse_master_cf(text), room.postconf
    services = mx_services(master, room.services)
    wanted, conduct, own = _conduct(room, postconf, master, services)
    shop = Workshop(postconf, lambda level: room.tables.beside(level.value).names, wishes, hooks)
    pairs = servers(services, master, lambda service: _behind(postconf, service))
    doors = plan_doors(shop, pairs)
    doors = replace(doors, around=replace(doors.around, policy_service=hooks.policy is not None, milter=hooks.milter))
    if room.observed and room.stage is None:
        doors = replace(doors, notes=(*doors.notes, *ports_advice(postconf, (each for _, each in pairs))))
    if conduct.security_level == "encrypt":
        why = f"service {wanted[0].service} insists on TLS (security level encrypt), so nobody can be let in without"
        if not doors.made and hooks == NO_HOOKS:
            raise ValueError(why)
        wanted, doors = (), replace(doors, notes=(*doors.notes, f"Only doors: {why}."))
    written = write(text, wanted, room.tables.names, own)
    serving = {each.key: each for _, each in pairs}.values()
    return conduct, doors, written, put_in_hooks(written.text, serving, hooks, postconf)


def _with_doors(text: str, doors: Iterable[Made]) -> tuple[str, tuple[PlacedDoor, ...]]:
    placed = []
    for door in doors:
        text, each = put_in_door(text, door.beside, door.key, door.text)
        placed.append(each)
    return text, tuple(placed)


def _moved(before: tuple[PlacedDoor, ...], after: tuple[PlacedDoor, ...]) -> frozenset[str]:
    """Name the doors that come, go or change."""
    return frozenset(door.key for door in {*before} ^ {*after})


def _edited(present: str, doors: Iterable[Made]) -> frozenset[str]:
    """Name the doors whose entries somebody has edited since, so that they change back."""
    master = parse_master_cf(present)
    return frozenset(door.key for door in doors if differences(master, door.key, door.text))


def plan_unsetup(room: SetupRoom) -> Change:
    """Say what unsetup would change. Raises RefusedError."""
    path = room.site.configuration / "master.cf"
    old, record = _master_bytes(path), read_record(room.record)
    ours = record.tables if record is not None else room.tables.names
    present = old.decode("utf-8", "surrogateescape")
    exact = _base(present, record, ours)
    text, swept = sweep_doors(exact.text)
    unhooked = sweep_hooks(text)
    written = sweep(unhooked.text, ours)
    asking = tuple(Place(each.service, each.parameter) for each in hooked(present))
    touched = (*_naming(parse_master_cf(present), ours), *asking)
    gone = {each.key for each in parse_master_cf(present).services} - {
        each.key for each in parse_master_cf(written.text).services
    }
    order = _order("unsetup", (
        FileChange(path, old, written.text.encode("utf-8", "surrogateescape")),
        FileChange(room.record, content_of(room.record), None),
        FileChange(room.view, content_of(room.view), None),
    ), touched, frozenset(gone))  # fmt: skip
    notes = (*exact.notes, *swept, *unhooked.notes, *written.notes)
    return Change(order, tuple(f"{each.rstrip('.')}." for each in notes))


def _order(what: str, files: tuple[FileChange, ...], meant: tuple[Place, ...], doors: frozenset[str]) -> Order:
    """Make the order: nothing may change for anybody at any port, those of the doors aside."""

    def check(now: Examined, then: Examined) -> tuple[str, ...]:
        strays = _strays(now.reading, then.reading, meant, doors)
        return (*strays, *gathered(_strict(now, then, doors))) if doors else strays

    return Order(what, files, strict=not doors, check=check)


def _strict(now: Examined, then: Examined, doors: frozenset[str]) -> Iterable[tuple[str, str]]:
    for key in (each for each in now.trials if each not in doors):
        for clause in changes(now.trials[key].sighting, then.sighting(key) or Sighting()):
            yield key, f"{clause}, and nothing should change for anybody"


def _master_bytes(path: Path) -> bytes:
    content = content_of(path)
    if content is None:
        raise RefusedError(f"{path} is not there; is --config-dir the directory of a Postfix?")
    return content


def _conduct(
    room: SetupRoom, postconf: Postconf, master: MasterCf, services: tuple[Service, ...]
) -> tuple[tuple[Place, ...], ServiceConduct, Mapping[Place, str]]:
    """Find the places, what the services there do by themselves, and what they took from main.cf.

    Raises ValueError with a sentence, PostfixError.
    """
    ours = room.tables.names
    if set(ours) & set(tables_of(postconf.value(MAPS))):
        raise ValueError(f"main.cf names the tables of mailtls for every service; take them out of {MAPS} there first")
    wanted = places(services, master, lambda service: _behind(postconf, service))
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


def _behind(postconf: Postconf, screen: Service) -> str:
    return postconf.values("smtpd_service_name", overrides=screen.overrides)["smtpd_service_name"]


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
    return conduct


def _naming(master: MasterCf, ours: tuple[str, ...]) -> tuple[Place, ...]:
    return tuple(
        Place(service.key, option.name)
        for service in master.effective
        for option in service.options
        if set(ours) & set(tables_of(option.value))
    )


def _strays(
    now: Reading, then: Reading, wanted: tuple[Place, ...], doors: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Say what postconf reads differently beside the meant parameters of the meant services, and the doors."""
    options = {f"{place.service}/{place.parameter}" for place in wanted}
    options |= {name for name in {*now.options, *then.options} if name.rpartition("/")[0] in doors}
    services = {place.service for place in wanted} | doors
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


def _record_bytes(
    room: SetupRoom, tables: Written, asking: Written, doors: tuple[PlacedDoor, ...], wishes: DoorWishes
) -> bytes:
    record = Record(
        configuration=str(room.site.configuration), tables=room.tables.names, insertions=rows_of(tables.insertions),
        doors=tuple((each.key, each.words) for each in doors), levels=wishes.levels, services=room.services,
        hooks=rows_of(asking.insertions),
    )  # fmt: skip
    return record.model_dump_json(indent=1).encode("utf-8", "surrogatepass") + b"\n"
