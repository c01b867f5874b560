"""Examining a configuration of Postfix before Postfix is told of it: what it means, and how each smtpd behaves with it.

The present configuration and the staged one are examined alike, and only what the staged one adds is held against it:
an edit that mends one thing is not refused for another that was broken before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mailtls.core.doorspan import is_door
from mailtls.core.mastercf import MasterCf, Service, parse_master_cf
from mailtls.core.sighting import Sighting, gathered
from mailtls.edge.doorprobe import Knock
from mailtls.edge.listening import Listening, bind_fault, loopback
from mailtls.edge.postconf import Postconf, Reading
from mailtls.edge.preflight import Surroundings, Trial, Visit, rehearse, service_fault
from mailtls.edge.runningmaster import Address
from mailtls.errors import PostfixError

BASICS = (
    "queue_directory", "daemon_directory", "data_directory", "mail_owner", "compatibility_level", "inet_interfaces",
    "inet_protocols", "mydestination", "myhostname", "maillog_file",
)  # fmt: skip
FIXED = ("queue_directory", "daemon_directory", "data_directory", "mail_owner")
"""What a running Postfix cannot change by a reload."""
SERVERS = ("smtpd", "postscreen")
NEEDED = ("cleanup", "qmgr", "rewrite")
"""Without these no mail gets any further; Postfix starts and greets all the same."""
OLD = ("SSLv3 ", "TLSv1 ", "TLSv1.1 ")
"""How a connection reads that today's senders refuse."""
PLAIN_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


@dataclass(frozen=True, slots=True)
class Port:
    """A service that clients may connect to."""

    service: Service
    addresses: tuple[Address, ...]
    knock: Knock

    @property
    def door(self) -> Address:
        """Say where a client on this machine connects."""
        return loopback(self.addresses[0])


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. `complaints` are clauses about what would break; `trials` is empty where smtpd was not tried."""

    reading: Reading
    basics: Mapping[str, str]
    master: MasterCf
    ports: Mapping[str, Port]
    trials: Mapping[str, Trial]
    complaints: tuple[str, ...]

    @property
    def queue(self) -> Path:
        """Give the queue directory."""
        return Path(self.basics["queue_directory"])

    @property
    def is_broken(self) -> bool:
        """Tell whether no client at all would be greeted."""
        seen = [trial.sighting for trial in self.trials.values()]
        return bool(seen) and all(each.fault and not each.banner for each in seen)

    def sighting(self, key: str) -> Sighting | None:
        """Give what a client saw of a service in its trial."""
        return self.trials[key].sighting if key in self.trials else None


def examine(directory: Path, meant: Path, words: Path, *, running: bool) -> Examined:
    """Examine a configuration directory; `running`: a master runs, so that TLS and mail can be tried too.

    Raises PostfixError with Postfix's own words where it cannot even be read.
    """
    postconf = Postconf(directory, meant)
    reading, basics = postconf.read(), postconf.values(*BASICS)
    try:
        text = (directory / "master.cf").read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise PostfixError(f"{meant / 'master.cf'} cannot be read: {(error.strerror or '').lower()}") from error
    master = parse_master_cf(text)
    around = Surroundings(
        meant, Path(basics["daemon_directory"]), Path(basics["queue_directory"]), words,
        chroots=basics["compatibility_level"].startswith("0"),
    )  # fmt: skip
    complaints = [f"service {s.key}: {why}" for s in master.effective if (why := service_fault(s, around))]
    ports, visits, listening = {}, [], Listening(basics)
    for service in master.effective:
        if not (service.kind in ("inet", "pass") or is_door(service)) or service.command not in SERVERS:
            continue
        knock = _knock(postconf, service, basics, running=running)
        addresses: tuple[Address, ...] = ()
        if service.kind == "inet":
            try:
                addresses = listening.addresses(service.name)
                ports[service.key] = Port(service, addresses, knock)
            except PostfixError as error:
                complaints.append(str(error))
        if service.command == "smtpd" or running:
            visits.append(Visit(service, _own_host(addresses), _tried(service, knock)))
    trials = rehearse(directory, visits, around)
    complaints += _other_listeners(master, listening)
    return Examined(reading, basics, master, ports, trials, tuple(dict.fromkeys(complaints)))


def _tried(service: Service, knock: Knock) -> Knock:
    """Leave TLS of postscreen alone in a trial: it is in the hands of the tlsproxy that runs now (tlsproxy(8))."""
    return knock if service.command == "smtpd" else replace(knock, tries_tls=False)


def _own_host(addresses: tuple[Address, ...]) -> str:
    """Choose the address that a trial is seen from: the service's own, if this machine has it."""
    host = loopback(addresses[0])[0] if addresses else "127.0.0.1"
    return host if bind_fault((host, 0)) is None else "127.0.0.1"


def _other_listeners(master: MasterCf, listening: Listening) -> Iterator[str]:
    for service in master.effective:
        if service.kind == "inet" and service.command not in SERVERS:
            try:
                listening.addresses(service.name)
            except PostfixError as error:
                yield str(error)


def _knock(postconf: Postconf, service: Service, basics: Mapping[str, str], *, running: bool) -> Knock:
    """Say how clients approach this service. In a rehearsal that cannot reach cleanup nothing is asked for."""
    proxy = "smtpd_upstream_proxy_protocol" if service.command == "smtpd" else "postscreen_upstream_proxy_protocol"
    values = postconf.values("smtpd_tls_wrappermode", proxy, overrides=_own(service))
    return Knock(
        tls_at_once=values.get("smtpd_tls_wrappermode") == "yes" and service.command == "smtpd",
        proxied=bool(values.get(proxy)),
        recipient=_recipient(basics) if running and service.command == "smtpd" else None,
        tries_tls=running,
    )


def _own(service: Service) -> dict[str, str]:
    return {name: value for name, value in service.overrides.items() if "\n" not in value}


def _recipient(basics: Mapping[str, str]) -> str:
    """Choose an address that restrictions are asked about: in a domain of ours, and of nobody there."""
    listed = basics.get("mydestination", "").replace(",", " ").split()
    domains = [word for word in listed if PLAIN_DOMAIN.fullmatch(word) and word != "localhost"]
    return f"mailtls-preflight@{(domains or [basics.get('myhostname', 'localhost')])[0]}"


def fixed_changes(present: Path, staged: Path) -> tuple[str, ...]:
    """Say which parameters would change that a running Postfix cannot change; nothing where one cannot be read."""
    try:
        old, new = Postconf(present).values(*FIXED), Postconf(staged).values(*FIXED)
    except PostfixError:
        return ()
    return tuple(
        f"{name} would change from {old[name]} to {new[name]}, which takes a stop and a start and is not done here"
        for name in FIXED
        if old[name] != new[name]
    )


def endpoints(examined: Examined) -> tuple[Address, ...]:
    """Give every address and port that master will listen at."""
    listening = Listening(examined.basics)
    inet = [service for service in examined.master.effective if service.kind == "inet"]
    return tuple(dict.fromkeys(address for each in inet for address in listening.addresses(each.name)))


def objections(
    present: Examined | None,
    staged: Examined,
    listens: frozenset[Address],
    live: Mapping[str, Sighting] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Say in clauses what speaks against the staged configuration that does not speak against the present one.

    Where nothing is known of the present one, `live` is what its ports show, and its warnings are not held against it.
    """
    known = (*present.complaints, *present.reading.warnings) if present else staged.reading.warnings
    said = [each for each in (*staged.complaints, *staged.reading.warnings) if each not in known]
    said += _missing(present, staged)
    if not staged.complaints:
        said += [why for each in endpoints(staged) if each not in listens and (why := bind_fault(each))]
    return (*said, *gathered(_trial_objections(present, staged, live)))


def _missing(present: Examined | None, staged: Examined) -> Iterator[str]:
    for name in NEEDED:
        if not _has(staged, name) and (present is None or _has(present, name)):
            yield f"service {name} would be gone, and without it no mail gets any further"


def _has(examined: Examined, name: str) -> bool:
    return any(service.name == name and service.kind != "inet" for service in examined.master.effective)


def _trial_objections(
    present: Examined | None, staged: Examined, live: Mapping[str, Sighting]
) -> Iterator[tuple[str, str]]:
    for key, trial in staged.trials.items():
        before = present.sighting(key) if present is not None else live.get(key)
        fault = trial.sighting.fault
        if fault and (before is None or before.fault != fault):
            said = f" (Postfix says: {'; '.join(trial.words)})" if trial.words else ""
            yield key, f"{fault}{said}"
        elif before is not None and _is_too_old(trial.sighting) and before.secured and not _is_too_old(before):
            yield key, f"today's senders would not get in: the best that it offers would be {trial.sighting.secured}"


def _is_too_old(sighting: Sighting) -> bool:
    return sighting.secured.startswith(OLD)
