"""The doctor's look at Postfix: every instance read, every service judged by the checkers of `core/doctor*`.

One instance that cannot be read is a finding, and the others are looked at all the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from mailtls.core.doctorciphers import cipher_findings
from mailtls.core.doctordovecot import postfix_sockets
from mailtls.core.doctorfinding import EDIT_MAIN, DoctorFinding, Unseen
from mailtls.core.doctoridentity import FileState, Holder, Identity, identity_findings, kind_findings, kinds_of
from mailtls.core.doctorlisteners import listener_findings
from mailtls.core.doctorprotocols import protocol_findings
from mailtls.core.doctorservice import Role, SmtpdService, role_of
from mailtls.core.doctorsettings import CA_FILE, DH_FILE, DIGEST, OPENSSL_FILE, SNI_MAPS, SettingFacts, setting_findings
from mailtls.core.doctortables import Answer, table_findings
from mailtls.core.doctorvalues import entry_findings, value_findings, warning_findings
from mailtls.core.doorcertificate import (
    CERTIFICATE,
    CHAIN_FILES,
    EC_CERTIFICATE,
    EC_KEY,
    KEY,
    NO_CERTIFICATE,
    chains_of,
)
from mailtls.core.mapentry import tables_of
from mailtls.core.offering import cipher_list_of, versions_of
from mailtls.core.pem import parse_pem
from mailtls.core.printable import printable
from mailtls.core.serviceconduct import MAPS
from mailtls.edge.doctorfiles import FileReader, dh_bits, has_digest
from mailtls.edge.doctorlisteners import this_machine, try_listeners
from mailtls.edge.doctorpostfix import Instance, ServiceReading, instance_directories, read_instance
from mailtls.edge.doctortables import KEY as UNUSED_ADDRESS
from mailtls.edge.doctortables import table_state
from mailtls.edge.listening import Listening, loopback
from mailtls.edge.openssl import ciphers
from mailtls.edge.runningmaster import Address
from mailtls.errors import PostfixError

PAIRS = ((CERTIFICATE, KEY), (EC_CERTIFICATE, EC_KEY))
MOST_PORTS = 12
_SPECIAL_FILES = frozenset({"", "auto", "default", "none"})


@dataclass(slots=True)
class PostfixRound:
    """What came of it. `identities`: those of services that take mail from outside, by myhostname of their instance."""

    findings: list[DoctorFinding] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    services: list[SmtpdService] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    identities: dict[str, tuple[Identity, ...]] = field(default_factory=dict)
    ports: dict[str, Address | str] = field(default_factory=dict)
    """By myhostname, where its port 25 can be asked from here, or why it cannot, a clause."""
    sockets: list[tuple[str, str, str]] = field(default_factory=list)
    """Place, parameter and path of each LMTP socket."""


KnownAs = Callable[[Instance], tuple[str, ...]]
"""Says by which names the DNS leads senders to an instance; none where that is not known."""


def look_at_postfix(first: Path, files: FileReader, now: datetime, known_as: KnownAs) -> PostfixRound:
    """Look at the Postfix of a directory, and at its other instances."""
    found = PostfixRound()
    try:
        there = (first / "main.cf").exists()
    except PermissionError:
        found.unseen.append(Unseen(f"Postfix in {first}", "this user may not look there", "sudo mailtlsctl doctor"))
        return found
    if not there:
        found.unseen.append(Unseen("Postfix", f"there is no {first / 'main.cf'}", "mailtlsctl doctor --config-dir DIR"))
        return found
    try:
        directories = instance_directories(first)
    except PostfixError as error:
        _cannot_be_read(first, error, found)
        return found
    for directory in directories:
        try:
            instance = read_instance(directory)
        except PostfixError as error:
            _cannot_be_read(directory, error, found)
            continue
        found.instances.append(instance)
        found.findings += _of_instance(instance, files, found, now, known_as(instance))
        found.findings += _of_listeners(instance, found)
        found.ports.setdefault(instance.basics.get("myhostname", ""), _port_to_ask(instance))
    return found


def _cannot_be_read(directory: Path, error: PostfixError, found: PostfixRound) -> None:
    words = printable(str(error), 400)
    if "cannot be run" in words or "ermission denied" in words:
        found.unseen.append(Unseen(f"Postfix in {directory}", words, "sudo mailtlsctl doctor"))
    else:
        command = f"{EDIT_MAIN} --config-dir {directory}"
        found.findings.append(DoctorFinding("postfix_config_broken", (str(directory),), f"{words}.", "", command))


def _of_instance(
    instance: Instance, files: FileReader, found: PostfixRound, now: datetime, names: tuple[str, ...]
) -> Iterator[DoctorFinding]:
    main, master = str(instance.directory / "main.cf"), str(instance.directory / "master.cf")
    yield from warning_findings(instance.reading.warnings)
    yield from value_findings(instance.written, instance.builtin, main)
    yield from entry_findings(instance.master.services, instance.programs, master)
    services = []
    for entry in instance.smtpds:
        yield from value_findings(entry.own, instance.builtin, f"{master} {entry.service.key}", option=True)
        service, identities = _service(instance, entry, files)
        services.append(service)
        yield from _identity_findings(service, identities, _hosts(instance, names), now)
        yield from cipher_findings(service)
        yield from _table_findings(service, instance, found)
        if service.role is Role.MX and not service.is_off:
            found.identities.setdefault(instance.basics.get("myhostname", ""), identities)
    found.services += services
    yield from protocol_findings(services, instance.version)
    yield from setting_findings(services, _setting_facts(services, files), instance.version)
    for parameter, path in postfix_sockets(instance.basics, instance.basics["queue_directory"]):
        found.sockets.append((main, parameter, path))


def _of_listeners(instance: Instance, found: PostfixRound) -> Iterator[DoctorFinding]:
    """Say what the whole Postfix dies of: a parameter of all its programs, or a place to listen at."""
    if instance.last_words:
        seen = f"Every program of Postfix that reads it dies: {printable(instance.last_words, 300)}."
        yield DoctorFinding("postfix_config_broken", (f"{instance.directory}/main.cf",), seen, "", EDIT_MAIN)
        return
    queue = Path(instance.basics["queue_directory"])
    tried = try_listeners(instance.live, instance.basics, queue, this_machine())
    yield from listener_findings(tried.faults, f"{instance.directory}/master.cf")
    if tried.unseen:
        listed = ", ".join(str(port) for port in dict.fromkeys(tried.unseen[:MOST_PORTS]))
        why = "only root sees whether it is Postfix"
        found.unseen.append(Unseen(f"who listens at port {listed}", why, "sudo mailtlsctl doctor"))


def _port_to_ask(instance: Instance) -> Address | str:
    """Find where this very Postfix takes mail from outside, and not another one that answers for it."""
    own = this_machine().own(Path(instance.basics["queue_directory"]))
    if own is None:
        return "only root sees whether it is this Postfix that answers"
    interfaces = instance.basics.get("inet_interfaces", "all")
    for service in instance.live:
        if service.kind == "inet" and role_of(service, interfaces) is Role.MX:
            with suppress(PostfixError):
                there = [each for each in Listening(instance.basics).addresses(service.name) if each in own]
                if there:
                    return loopback(there[0])
    return "this Postfix does not run, or does not listen there"


def _service(
    instance: Instance, entry: ServiceReading, files: FileReader
) -> tuple[SmtpdService, tuple[Identity, ...]]:
    service = SmtpdService(
        entry.service.key, entry.role, str(instance.directory), entry.values, frozenset(entry.own)
    )
    if service.is_off:
        return service, ()
    identities = _identities(entry.values, files)
    built = ciphers(cipher_list_of(entry.values), versions_of(entry.values))
    return replace(service, ciphers=built, certificates=kinds_of(identities)), identities


def _identities(values: Mapping[str, str], files: FileReader) -> tuple[Identity, ...]:
    if values.get(CHAIN_FILES, "").strip():
        return files.chain_files(CHAIN_FILES, chains_of(values))
    named = ((pair, values.get(pair[0], ""), values.get(pair[1], "")) for pair in PAIRS)
    return tuple(
        files.identity(pair, certificate, key)
        for pair, certificate, key in named
        if certificate and certificate.lower() != NO_CERTIFICATE
    )


def _hosts(instance: Instance, names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the names that a certificate must bear one of: those of the DNS, else Postfix's own, if it is whole."""
    own = instance.basics.get("myhostname", "")
    return names or ((own,) if "." in own else ())


def _identity_findings(
    service: SmtpdService, identities: tuple[Identity, ...], hosts: tuple[str, ...], now: datetime
) -> Iterator[DoctorFinding]:
    for identity in identities:
        holder = Holder(
            (service.place(identity.parameter),), hosts if service.role is Role.MX else (),
            service.command(identity.parameter), "postfix reload",
        )  # fmt: skip
        found = identity_findings(identity, holder, now)
        yield from found if service.matters else (each for each in found if each.id in _FATAL)
    if service.role is Role.MX and identities:
        place = service.place(CHAIN_FILES if service.values.get(CHAIN_FILES) else CERTIFICATE)
        yield from kind_findings(identities, Holder((place,), hosts, EDIT_MAIN, "postfix reload"))


_FATAL = frozenset(
    {
        "certificate_missing", "certificate_broken", "key_missing", "key_broken", "key_encrypted", "key_mismatch",
        "chain_files_order", "key_readable",
    }
)  # fmt: skip
"""What matters at a port that only the machine itself uses: TLS that works, not what strangers think of it."""


def _setting_facts(services: list[SmtpdService], files: FileReader) -> SettingFacts:
    states: dict[str, FileState] = {}
    bits: dict[str, int] = {}
    for service in services:
        for parameter in (CA_FILE, DH_FILE, OPENSSL_FILE):
            path = service.values.get(parameter, "")
            if path.lower() in _SPECIAL_FILES or path in states:
                continue
            if not path.startswith("/"):  # only of tls_config_file, of which Postfix wants it whole (tls/tls_misc.c)
                states[path] = FileState.MISSING
                continue
            states[path], text, _ = files.text(path)
            if states[path] is FileState.READ and parameter == CA_FILE and not parse_pem(text):
                states[path] = FileState.BROKEN
            if states[path] is FileState.READ and parameter == DH_FILE:
                bits[path] = dh_bits(text)
                states[path] = FileState.READ if bits[path] else FileState.BROKEN
    names = {service.values.get(DIGEST, "") for service in services if not service.is_off} - {""}
    return SettingFacts(states, bits, {name: has_digest(name) for name in names})


def _table_findings(service: SmtpdService, instance: Instance, found: PostfixRound) -> Iterator[DoctorFinding]:
    for parameter in (MAPS, SNI_MAPS):
        for spelled in tables_of(service.values.get(parameter, "")):
            state = table_state(instance.directory, spelled, Path(instance.basics["queue_directory"]))
            if state.answer is Answer.UNREADABLE:
                what = f"table {printable(spelled, 200)}"
                found.unseen.append(Unseen(what, "this user may not read it", "sudo mailtlsctl doctor"))
            findings = tuple(table_findings(service, parameter, state))
            if state.answer is Answer.NOT_ASKED and not findings:
                shown, why = printable(spelled, 200), "another program answers for it, or nobody in time"
                command = f"postmap -q {UNUSED_ADDRESS} {shlex.quote(shown)}"
                found.unseen.append(Unseen(f"table {shown}", why, command))
            yield from findings
