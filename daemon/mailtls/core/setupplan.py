"""Where the tables of waivers stand in master.cf: on the port-25 service only, and with postscreen at its two places.

Never in main.cf: there they would hide STARTTLS, and with it AUTH, from users behind the same address on 587 (facts
11.2). Behind postscreen the `smtpd pass` service serves those whom postscreen lets through, and postscreen's own
engine the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailtls.core.endpoint import parse_endpoint
from mailtls.core.mapentry import Insertion, Wanted, put_in, tables_of, take_out
from mailtls.core.mastercf import MasterCf, Service, parse_master_cf
from mailtls.core.serviceconduct import MAPS

POSTSCREEN_MAPS = "postscreen_discard_ehlo_keyword_address_maps"
PORTS = ("smtp", "25")


@dataclass(frozen=True, slots=True)
class Place:
    """A service and the parameter that names the tables there."""

    service: str
    parameter: str


@dataclass(frozen=True, slots=True)
class Written:
    """master.cf with our tables, and what was inserted to get there; `notes` about what somebody had edited."""

    text: str
    insertions: tuple[Insertion, ...]
    notes: tuple[str, ...] = ()


def mx_services(master: MasterCf, named: Iterable[str]) -> tuple[Service, ...]:
    """Find the services that take mail from the world: those that are named, else every one on port 25.

    Raises ValueError with a sentence.
    """
    inet = [service for service in master.effective if service.kind == "inet"]
    wanted = tuple(named)
    for name in wanted:
        if name not in {service.name for service in inet}:
            raise ValueError(f"master.cf has no inet service {name}; it has {', '.join(s.name for s in inet)}")
    found = tuple(s for s in inet if (s.name in wanted if wanted else _is_mx(s.name)))
    if not found:
        raise ValueError("no service of master.cf listens on port 25; name the one that takes mail with --service")
    return found


def _is_mx(name: str) -> bool:
    try:
        return parse_endpoint(name).port in PORTS
    except ValueError:
        return False


def places(services: Iterable[Service], master: MasterCf, behind: Callable[[Service], str]) -> tuple[Place, ...]:
    """Say where the tables have to stand; `behind` names the service that postscreen hands over to.

    Raises ValueError with a sentence.
    """
    found: dict[Place, None] = {}
    for service in services:
        match service.command:
            case "smtpd":
                found[Place(service.key, MAPS)] = None
            case "postscreen":
                key = f"{behind(service)}/pass"
                if master.find(key) is None:
                    raise ValueError(f"postscreen hands its clients to the service {key}, and master.cf has none")
                found[Place(key, MAPS)] = None
                found[Place(service.key, POSTSCREEN_MAPS)] = None
            case other:
                raise ValueError(f"service {service.key} runs {other}; only smtpd and postscreen are understood here")
    return tuple(found)


def servers(
    services: Iterable[Service], master: MasterCf, behind: Callable[[Service], str]
) -> tuple[tuple[Service, Service], ...]:
    """Pair every service that clients connect to with the smtpd that serves them: itself, or the one behind postscreen.

    Raises ValueError with a sentence.
    """
    found = []
    for service in services:
        serving = service if service.command == "smtpd" else master.find(f"{behind(service)}/pass")
        if serving is None:
            raise ValueError(f"postscreen hands its clients to {behind(service)}/pass, and master.cf has none")
        found.append((service, serving))
    return tuple(found)


def write(text: str, places: Iterable[Place], ours: tuple[str, ...], own: Mapping[Place, str]) -> Written:
    """Put our tables at every place; `own` is what a place took from main.cf so far."""
    insertions = []
    for place in places:
        text, inserted = put_in(text, Wanted(place.service, place.parameter, ours, own.get(place, "")))
        if inserted is not None:
            insertions.append(inserted)
    return Written(text, tuple(insertions))


def unwrite(text: str, insertions: Iterable[Insertion], ours: tuple[str, ...]) -> Written:
    """Take out what was inserted."""
    notes = []
    for inserted in reversed(tuple(insertions)):
        text, note = take_out(text, inserted, ours)
        notes += [note] if note else []
    return Written(text, (), tuple(notes))


def sweep(text: str, ours: tuple[str, ...]) -> Written:
    """Take our tables out wherever they are named, for what was inserted by hand or is not remembered."""
    found = [
        Insertion(service.key, option.name, ",".join(ours), whole=True)
        for service in parse_master_cf(text).effective
        for option in service.options
        if set(ours) & set(tables_of(option.value))
    ]
    return unwrite(text, found, ours)
