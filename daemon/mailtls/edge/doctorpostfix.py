"""Postfix as the doctor reads it: every instance, with the values that count for each of its smtpd services.

Only postconf(1) and master.cf are read, which any user may; nothing is asked of a running Postfix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailtls.core import doctorsettings, offering
from mailtls.core.doctorlisteners import enabled
from mailtls.core.doctorservice import Role, role_of
from mailtls.core.doctorvalues import OURS
from mailtls.core.doorcertificate import CERTIFICATE, CERTIFICATE_FILES, CHAIN_FILES, EC_CERTIFICATE, EC_KEY, KEY
from mailtls.core.mastercf import MasterCf, Service, parse_master_cf
from mailtls.edge.doctortables import ask_postmap
from mailtls.edge.postconf import Postconf, Reading
from mailtls.errors import PostfixError

BASICS = (
    "mail_version", "myhostname", "mydomain", "mydestination", "virtual_mailbox_domains", "queue_directory",
    "daemon_directory", "multi_instance_directories", "mailbox_transport", "local_transport", "virtual_transport",
    "mailbox_transport_maps", "maillog_file", "inet_interfaces", "inet_protocols",
    "master_service_disable",
)  # fmt: skip
NAMES = tuple(dict.fromkeys((*offering.ASKED, *CERTIFICATE_FILES, *doctorsettings.ASKED, "queue_directory")))
FILES = (CERTIFICATE, KEY, EC_CERTIFICATE, EC_KEY, doctorsettings.CA_FILE, doctorsettings.DH_FILE)
_NO_FILES = frozenset({"", "auto", "none"})
MOST_INSTANCES = 32
MOST_SERVICES = 64
LARGEST = 4 * 1024 * 1024
_NUMBER = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")
_RUN = re.compile(r"[A-Za-z0-9_.-]{1,80}")


@dataclass(frozen=True, slots=True)
class ServiceReading:
    """One smtpd entry with its effective values, and the raw `-o` that it sets, `$name` followed."""

    service: Service
    role: Role
    values: Mapping[str, str]
    own: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Instance:
    """One configuration directory, as Postfix reads it."""

    directory: Path
    version: tuple[int, ...]
    reading: Reading
    basics: Mapping[str, str]
    master: MasterCf
    smtpds: tuple[ServiceReading, ...]
    written: Mapping[str, str] = field(default_factory=dict)
    builtin: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, bool] = field(default_factory=dict)
    live: tuple[Service, ...] = ()
    """The entries of master.cf that count and are not switched off."""
    last_words: str = ""
    """What a program of Postfix dies of with these parameters, such as a user that is not there; mostly nothing."""


def instance_directories(first: Path) -> tuple[Path, ...]:
    """Name the directories of all instances, the first one in front (postmulti(1)). Raises PostfixError."""
    others = Postconf(first).value("multi_instance_directories").replace(",", " ").split()
    return tuple(dict.fromkeys((first, *(Path(each) for each in others[:MOST_INSTANCES]))))


def read_instance(directory: Path) -> Instance:
    """Read one instance. Raises PostfixError with Postfix's own words."""
    postconf = Postconf(directory)
    reading, basics = postconf.read(), postconf.values(*BASICS)
    master = parse_master_cf(_master_text(directory))
    live = enabled(master.effective, basics.get("master_service_disable", ""))
    names = tuple(name for name in reading.parameters if OURS.fullmatch(name))
    own = {name for service in master.effective for name in service.overrides if OURS.fullmatch(name)}
    asked = tuple(dict.fromkeys((*names, *sorted(own))))
    return Instance(
        directory, version_of(basics.get("mail_version", "")), reading, basics, master,
        tuple(_smtpds(postconf, live, basics.get("inet_interfaces", "all"))),
        postconf.values(*names) if names else {},
        postconf.builtin(*asked, followed=True) if asked else {}, _programs(master, Path(basics["daemon_directory"])),
        live, _last_words(directory),
    )  # fmt: skip


def _last_words(directory: Path) -> str:
    """Let a program of Postfix, postmap(1), read the parameters that are common to all (global/mail_params.c).

    postconf(1) reads them without a look at their values; `postfix check` needs root, and writes (facts 2.8).
    """
    _, words = ask_postmap(directory, "static:x") or (0, ())
    return next((word.removeprefix("fatal: ") for word in words if word.startswith("fatal: ")), "")


def version_of(text: str) -> tuple[int, ...]:
    """Read `3.7.11`, `3.12-20260805`: numbers to compare."""
    found = _NUMBER.match(text)
    return tuple(int(each) for each in found.groups() if each is not None) if found else (3, 6)


def _master_text(directory: Path) -> str:
    path = directory / "master.cf"
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise PostfixError(f"{path} cannot be read: {(error.strerror or 'it is no file').lower()}") from error


def _smtpds(postconf: Postconf, live: tuple[Service, ...], interfaces: str) -> Iterator[ServiceReading]:
    entries = [each for each in live if each.command == "smtpd" and each.kind in ("inet", "pass")]
    for service in entries[:MOST_SERVICES]:
        plain = {name: value for name, value in service.overrides.items() if "\n" not in value and _RUN.fullmatch(name)}
        own = tuple(name for name in plain if OURS.fullmatch(name))
        values = postconf.values(*dict.fromkeys((*NAMES, *own)), overrides=plain)
        values.update(_files_of(values))
        set_here = {name: values[name] for name in own if name in values}
        yield ServiceReading(service, role_of(service, interfaces), values, set_here)


def from_queue(name: str, queue: str) -> str:
    """Complete the name of a file that is not absolute: smtpd stands in its queue directory when it reads them."""
    return name if name.lower() in _NO_FILES or name.startswith("/") else f"{queue}/{name}"


def _files_of(values: Mapping[str, str]) -> dict[str, str]:
    queue, chains = values["queue_directory"], values.get(CHAIN_FILES, "").replace(",", " ").split()
    named = {name: from_queue(values.get(name, ""), queue) for name in FILES}
    return {**named, CHAIN_FILES: ", ".join(from_queue(each, queue) for each in chains)}


def _programs(master: MasterCf, daemons: Path) -> dict[str, bool]:
    names = {each.command for each in master.effective}
    return {name: os.access(daemons / name, os.X_OK) for name in names if daemons.is_dir()}
