"""Which doors `setup` makes beside the service that takes mail: looked at, weighed, derived.

A door is made only if it takes something that the strict service does not. What each offers is computed from the
values that count for it, the certificates on the disk, and what this OpenSSL makes of the list of ciphers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mailtls.core import doorentry, offering
from mailtls.core.doorcertificate import CERTIFICATE_FILES, DoorCertificate, chains_of
from mailtls.core.doorentry import DoorPlan, Origin, door_name, door_options, door_text
from mailtls.core.doorset import DOOR_LEVELS
from mailtls.core.hook import NO_HOOKS, Hooks
from mailtls.core.level import Level
from mailtls.core.mastercf import Service
from mailtls.core.postfixview import Doorway, Offering
from mailtls.core.serviceconduct import Surroundings
from mailtls.core.suite import KeyType
from mailtls.edge.certificatesearch import first_certificates
from mailtls.edge.listening import Listening
from mailtls.edge.openssl import ciphers, is_trusted
from mailtls.edge.postconf import Postconf
from mailtls.service.applycertificate import Chosen, choose
from mailtls.service.applygateway import COST, ENTRY, GatewayMeans, doorway

DOORS = DOOR_LEVELS
PORTS: Mapping[Level, int] = MappingProxyType({Level.LEGACY_RSA: 10125, Level.LEGACY: 10225})
PROXIES = ("smtpd_upstream_proxy_protocol", "postscreen_upstream_proxy_protocol")
PLACES = ("mynetworks", "myhostname", "mydestination", "inet_interfaces", "inet_protocols", "syslog_name", *PROXIES)
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - what inet_interfaces = all stands for


@dataclass(frozen=True, slots=True)
class DoorWishes:
    """What the operator wants: `levels`, None: as at the last setup, or else whatever differs from strict.

    `own` is the directory of a self-signed certificate, which is made only if `self_signed` says so; `root` is where
    the usual directories of certificates lie under. `gateway`: what there is for the sslv3 door; None: it is not
    thought of.
    """

    levels: tuple[Level, ...] | None = ()
    ports: Mapping[Level, int] = field(default_factory=lambda: PORTS)
    own: Path = Path("/etc/mailtls/doors")
    root: Path = Path("/")
    self_signed: bool = False
    gateway: GatewayMeans | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One door: its key in master.cf, the entry it is put below, its text, and what keeper and mailtlsd are told."""

    key: str
    beside: str
    text: str
    doorway: Doorway


@dataclass(frozen=True, slots=True)
class Doors:
    """What came of it; `missing` is a self-signed certificate that has to be made first."""

    around: Surroundings
    made: tuple[Made, ...] = ()
    notes: tuple[str, ...] = ()
    missing: DoorCertificate | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workshop:
    """What deriving works with: Postfix's answers, and the pair of tables of a level."""

    postconf: Postconf
    tables: Callable[[Level], tuple[str, str]]
    wishes: DoorWishes
    hooks: Hooks = NO_HOOKS


def plan_doors(shop: Workshop, servers: tuple[tuple[Service, Service], ...]) -> Doors:
    """Decide and derive. Raises ValueError with a sentence, PostfixError."""
    origins = tuple(_origin(shop, listens, serving) for listens, serving in servers)
    first = origins[0]
    strict = tuple(_offering(origin.values) for origin in origins)
    networks, notes = own_networks(first.values["mynetworks"])
    around = Surroundings(strict[0], networks)
    wanted = DOORS if shop.wishes.levels is None else shop.wishes.levels
    if not wanted:
        return Doors(around, notes=notes)
    if why := _why_none(origins, strict):
        return Doors(around, notes=(*notes, f"No doors: {why}."))
    lacks_rsa = KeyType.RSA not in strict[0].certificates and wanted != (Level.SSLV3,)
    names = _names(first.values)
    chosen = choose(shop.wishes.root, shop.wishes.own, chains_of(first.values), names,
                    self_signed=shop.wishes.self_signed) if lacks_rsa else Chosen()  # fmt: skip
    made: list[Made] = []
    for level in (each for each in (Level.LEGACY_RSA, Level.LEGACY) if each in wanted):
        doors = [_made(shop, origin, strict[0], level, chosen) for origin in origins]
        made += [door for door in doors if isinstance(door, Made)]
        said = [door for door in doors if isinstance(door, str)]
        notes += (f"No door {level}: {said[0]}.",) if said else ()
    if made or lacks_rsa:
        notes += chosen.notes if not made or any(_shows(door, chosen) for door in made) else ()
    missing = chosen.missing if made else None
    behind = _behind_the_gateway(shop, origins) if Level.SSLV3 in wanted else None
    if isinstance(behind, Made):
        made.append(behind)
    doorways = [door.doorway for door in made] + ([behind] if isinstance(behind, Doorway) else [])
    notes += (f"No door {Level.SSLV3}: {behind}.",) if isinstance(behind, str) else ()
    notes += _postscreen_note(servers) if doorways else ()
    notes += (COST,) if any(each.level is Level.SSLV3 for each in doorways) else ()
    return Doors(Surroundings(strict[0], networks, tuple(doorways)), tuple(made), notes, missing, names)


def _shows(door: Made, chosen: Chosen) -> bool:
    return chosen.certificate is None or chosen.certificate.certificate in door.text


def _why_none(origins: tuple[Origin, ...], strict: tuple[Offering, ...]) -> str | None:
    services = " and ".join(origin.listens for origin in origins)
    if any(origin.values.get(proxy) for origin in origins for proxy in PROXIES):
        return f"service {services} stands behind a proxy, and the packets of the peers do not come here"
    if len(set(strict)) > 1:
        return f"the services {services} offer different versions, certificates or ciphers; make them alike first"
    if offering.is_off(origins[0].values):
        return f"service {services} speaks no TLS at all (smtpd_tls_security_level is none), so nobody fails there"
    if not strict[0].versions:
        return f"TLS of service {services} is broken; see what mailtlsctl reload --keep says about it"
    return None


def _postscreen_note(servers: tuple[tuple[Service, Service], ...]) -> tuple[str, ...]:
    behind = [listens.key for listens, serving in servers if serving is not listens]
    said = (
        f"Whoever has a waiver for a door comes past postscreen ({', '.join(behind)}): its blocklists and its tests "
        "for talking early are not asked for those peers."
    )
    return (said,) if behind else ()


# --- one door ----------------------------------------------------------------------------------------------------


def _made(shop: Workshop, origin: Origin, strict: Offering, level: Level, chosen: Chosen) -> Made | str:
    """Derive a door, or say in a clause why there is none."""
    if level is Level.LEGACY_RSA and KeyType.RSA in strict.certificates:
        return "the port-25 service shows an RSA certificate itself"
    if level is Level.LEGACY_RSA and chosen.certificate is None:
        return "there is no RSA certificate for it"
    port = shop.wishes.ports[level]
    plan = DoorPlan(level, port, shop.tables(level), chosen.certificate, shop.hooks)
    options = {name: value for name, value in door_options(origin, plan).items() if name in _counting()}
    values = shop.postconf.values(*_counting(), overrides={**_plain(origin.service), **options})
    offers = _offering(values, chosen.missing)
    if not offering.adds(strict, offers):
        return "the port-25 service takes whatever it would take"
    name = door_name(origin.listens, port)
    doorway = Doorway(
        level=level, port=port, addresses=_addresses(origin.values, name), entry=f"{name}/inet",  # type: ignore[arg-type]
        trusted=_is_trusted(values, chosen), offers=offers,
    )  # fmt: skip
    return Made(doorway.entry, origin.service.key, door_text(origin, plan), doorway)


def _behind_the_gateway(shop: Workshop, origins: tuple[Origin, ...]) -> Made | Doorway | str | None:
    """Derive the sslv3 door, or say in a clause why there is none; one that the site serves has no entry of ours."""
    means, level = shop.wishes.gateway, Level.SSLV3
    if means is None:
        return None
    if (why := means.why_none(origins)) is not None:
        return why
    port = shop.wishes.ports[level]
    hosts = [_addresses(origin.values, door_name(origin.listens, port)) for origin in origins]
    addresses = tuple(dict.fromkeys(host for each in hosts for host in each)) if all(hosts) else ()
    made = doorway(port, addresses, by_the_site=means.by_the_site)
    if means.by_the_site:
        return made
    text = door_text(origins[0], DoorPlan(level, port, shop.tables(level), None, shop.hooks))
    return Made(ENTRY, origins[0].service.key, text, made)


def _counting() -> tuple[str, ...]:
    return (*offering.ASKED, *CERTIFICATE_FILES)


def _is_trusted(values: Mapping[str, str], chosen: Chosen) -> bool:
    if chosen.certificate is not None:
        return chosen.trusted
    return any(is_trusted(path) for path in chains_of(values))


def _addresses(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Say where the door listens; nothing where that is every address of this machine."""
    hosts = tuple(dict.fromkeys(host for host, _ in Listening(values).addresses(name)))
    return () if set(hosts) & set(WILDCARDS) else hosts


# --- what is there -----------------------------------------------------------------------------------------------


def _origin(shop: Workshop, listens: Service, serving: Service) -> Origin:
    postconf, overrides = shop.postconf, _plain(serving)
    values = postconf.values(*_counting(), *doorentry.ASKED, *PLACES, overrides=overrides)
    values |= _screened(postconf, listens)
    classes = [name for name in doorentry.SPLIT.split(values.get(doorentry.CLASSES, "")) if name]
    values |= postconf.values(*classes, overrides=overrides) if classes else {}
    written = {name: overrides.get(name, postconf.value(name)) for name in doorentry.WRITTEN}
    builtin = postconf.builtin(doorentry.CURVES, doorentry.CURVE_GRADE)
    instance = postconf.values("syslog_name")["syslog_name"]
    return Origin(serving, listens.name, values, written, builtin, instance)


def _screened(postconf: Postconf, listens: Service) -> dict[str, str]:
    if listens.command != "postscreen":
        return {PROXIES[1]: ""}
    return postconf.values(PROXIES[1], overrides=_plain(listens))


def _plain(service: Service) -> dict[str, str]:
    return {name: value for name, value in service.overrides.items() if "\n" not in value}


def _offering(values: Mapping[str, str], missing: DoorCertificate | None = None) -> Offering:
    """Compute what a service with these values offers; a certificate that is still to be made is RSA."""
    versions = offering.versions_of(values)
    kinds = [
        kind
        for path in chains_of(values)
        for kind in ([KeyType.RSA] if missing and path == missing.certificate else _kinds(path))
    ]
    return offering.offering(versions, kinds, ciphers(offering.cipher_list_of(values), versions))


def _kinds(path: str) -> list[KeyType]:
    return [facts.kind for facts in first_certificates(Path(path)) if facts.kind is not None]


def _names(values: Mapping[str, str]) -> tuple[str, ...]:
    """Give the MX's names: its own, and those on its certificate."""
    shown = (name for path in chains_of(values) for facts in first_certificates(Path(path)) for name in facts.names)
    return tuple(dict.fromkeys((values["myhostname"].lower(), *(each for each in shown if "*" not in each))))


def own_networks(mynetworks: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the networks that are written as such, and say which are not: tables and names cannot be told from here."""
    known, others = [], []
    for word in (each for each in doorentry.SPLIT.split(mynetworks) if each):
        try:
            known.append(str(ipaddress.ip_network(word.replace("[", "").replace("]", ""))))
        except ValueError:
            others.append(word)
    note = (
        f"mynetworks names {', '.join(others)}, which cannot be looked into here: do not waive an address of those, it "
        "would lose its relaying at a door."
    )
    return tuple(dict.fromkeys(known)), (note,) if others else ()
