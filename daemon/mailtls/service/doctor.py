"""The doctor's round: Postfix, Dovecot, Courier, what lies under them, what senders are told, and what the log adds.

Everything is only read. What this user may not see, or what is not there, is told as `Unseen`, never as health.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mailtls.core.diagnosis import Report
from mailtls.core.doctorcatalogue import rank
from mailtls.core.doctorcourier import courier_findings
from mailtls.core.doctordovecot import (
    RELOAD,
    DovecotFacts,
    LmtpFacts,
    certificate_settings,
    dovecot_findings,
    lmtp_findings,
    lmtp_sockets,
)
from mailtls.core.doctorfinding import Area, DoctorFinding, Unseen, merged
from mailtls.core.doctoridentity import Holder, ascii_name, identity_findings
from mailtls.core.doctorlog import Change, log_findings, weakening_findings, with_users
from mailtls.core.doctorservice import SmtpdService
from mailtls.core.doctorsystem import OpensslFacts, ban_findings, jail_findings, openssl_findings
from mailtls.core.history import History
from mailtls.core.printable import printable
from mailtls.edge.doctordns import Names
from mailtls.edge.doctordovecot import PLACE, failing_ports, is_running, read_dovecot
from mailtls.edge.doctorfiles import FileReader
from mailtls.edge.doctorsystem import (
    BANS,
    FORBIDDEN,
    OPENSSL_FILE,
    bans,
    courier_files,
    courier_uses_gnutls,
    file_changes,
    jails,
    openssl_facts,
    package_changes,
    read_text,
)
from mailtls.errors import PostfixError, StoreError
from mailtls.service.doctorpostfix import PostfixRound, look_at_postfix
from mailtls.service.doctorsenders import MOST_DOMAINS, Senders, domains_of

AS_ROOT = "sudo mailtlsctl doctor"
OWN_LIMITS_SINCE = (3, 6)


@dataclass(frozen=True, slots=True)
class Ward:
    """What is to be looked at: everything below `root`, the Postfix of `postfix`, and a log that was read already.

    `reloads`: when the log says that Postfix was reloaded. `names`: who answers for the DNS; None: this machine's.
    """

    root: Path
    postfix: Path
    now: datetime
    history: History | None = None
    report: Report | None = None
    reloads: tuple[Change, ...] = ()
    names: Names | None = None


@dataclass(slots=True)
class Checkup:
    """What was found, the worst first; what was looked at, and what could not be."""

    findings: tuple[DoctorFinding, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    looked: list[str] = field(default_factory=list)
    services: tuple[SmtpdService, ...] = ()
    openssl: OpensslFacts = field(default_factory=lambda: OpensslFacts("", ()))


def look(ward: Ward) -> Checkup:
    """Look at everything. Raises PostfixError where there is no openssl."""
    files = FileReader()
    checkup, unseen = Checkup(openssl=openssl_facts()), list[Unseen]()
    senders = Senders(ward.names)
    postfix = look_at_postfix(ward.postfix, files, ward.now, senders.known_as)
    found = list(postfix.findings)
    unseen += postfix.unseen
    checkup.looked += [_instance_named(each.directory, each.version, len(each.smtpds)) for each in postfix.instances]
    dovecot = _dovecot(ward, unseen)
    if dovecot is not None:
        checkup.looked.append(f"Dovecot {'.'.join(str(each) for each in dovecot.version)}, {dovecot.place}")
        found += _of_dovecot(dovecot, files, postfix, ward)
    found += _lmtp(postfix, dovecot, unseen)
    found += _courier(ward, checkup, unseen)
    found += _system(ward, postfix, dovecot, unseen)
    found += _senders(senders, postfix, checkup, unseen)
    found += _log(ward, postfix, checkup)
    if ward.history is not None:
        found = list(with_users(found, ward.history))
    unseen += [Unseen(path, FORBIDDEN, AS_ROOT) for path in files.forbidden]
    checkup.findings = tuple(sorted(merged(found), key=lambda each: rank(each.id)))
    checkup.unseen = tuple(dict.fromkeys(unseen))
    checkup.services = tuple(postfix.services)
    return checkup


def _instance_named(directory: Path, version: tuple[int, ...], smtpds: int) -> str:
    number = ".".join(str(each) for each in version)
    return f"Postfix {number}, {directory}, {smtpds} smtpd service{'' if smtpds == 1 else 's'}"


# --- Dovecot and Courier -----------------------------------------------------------------------------------------


def _dovecot(ward: Ward, unseen: list[Unseen]) -> DovecotFacts | None:
    place = ward.root / PLACE.lstrip("/")
    try:
        facts = read_dovecot(place)
    except (PostfixError, OSError) as error:
        facts = printable(str(error), 300)
    if isinstance(facts, str):
        unseen.append(Unseen(f"Dovecot, {place}", facts, AS_ROOT))
        return None
    return facts


def _of_dovecot(
    facts: DovecotFacts, files: FileReader, postfix: PostfixRound, ward: Ward
) -> Iterator[DoctorFinding]:
    yield from dovecot_findings(facts)
    mark = "" if facts.version >= (2, 4) else "<"
    for block, certificate, key, certificate_file, key_file in certificate_settings(facts):
        where = (f"{facts.place}, {block}" if block else facts.place,)
        holder = Holder(where, (), RELOAD, "doveadm reload", Area.DOVECOT, mark)
        identity = files.identity((certificate, key), certificate_file, key_file)
        yield from identity_findings(identity, holder, ward.now)
    if is_running(facts):
        for port, why in failing_ports(facts):
            said = f"A handshake at port {port} of this machine failed: {printable(why, 150)}."
            yield DoctorFinding("dovecot_tls_fails", (facts.place,), said, "", "doveadm log errors")


def _lmtp(postfix: PostfixRound, dovecot: DovecotFacts | None, unseen: list[Unseen]) -> Iterator[DoctorFinding]:
    opened = lmtp_sockets(dovecot.settings) if dovecot is not None else ()
    for place, parameter, path in postfix.sockets:
        try:
            exists: bool | None = Path(path).is_socket() if Path(path).exists() else False
        except PermissionError:
            exists = None
            unseen.append(Unseen(path, "this user may not look there", AS_ROOT))
        known = dovecot is not None and "dovecot" in path
        yield from lmtp_findings(LmtpFacts(parameter, path, exists, path in opened, known), place)


def _courier(ward: Ward, checkup: Checkup, unseen: list[Unseen]) -> Iterator[DoctorFinding]:
    gnutls = courier_uses_gnutls(ward.root)
    try:
        for path, text in courier_files(ward.root):
            checkup.looked.append(f"Courier, {path}")
            yield from courier_findings(str(path), text, gnutls=gnutls)
    except PermissionError as error:
        unseen.append(Unseen(f"Courier, {error.filename}", FORBIDDEN, AS_ROOT))


# --- what lies under them ----------------------------------------------------------------------------------------


def _system(
    ward: Ward, postfix: PostfixRound, dovecot: DovecotFacts | None, unseen: list[Unseen]
) -> Iterator[DoctorFinding]:
    followers = {"Dovecot"} if dovecot is not None else set()
    followers |= {"Postfix" for each in postfix.instances if each.version < OWN_LIMITS_SINCE}
    path = ward.root / OPENSSL_FILE
    try:
        yield from openssl_findings(str(path), read_text(path) or "", followers=followers)
    except PermissionError:
        unseen.append(Unseen(str(path), FORBIDDEN, AS_ROOT))
    known = jails(ward.root)
    yield from jail_findings(known.found)
    for place, why in known.unread:
        unseen.append(Unseen(f"fail2ban, {place}", why, AS_ROOT if why == FORBIDDEN else "fail2ban-client -t"))
    if ward.report is None:
        return
    failing = frozenset(peer.ip for peer in ward.report.peers if peer.outage)
    memory = f"who is banned, /{BANS}"
    try:
        yield from ban_findings(bans(ward.root, ward.now), failing)
    except PermissionError:
        unseen.append(Unseen(memory, FORBIDDEN, AS_ROOT))
    except StoreError as error:
        unseen.append(Unseen(memory, printable(str(error), 200), "fail2ban-client status"))


# --- what senders are told ---------------------------------------------------------------------------------------


def _senders(
    senders: Senders, postfix: PostfixRound, checkup: Checkup, unseen: list[Unseen]
) -> Iterator[DoctorFinding]:
    hosts = {host: shown for host, shown in postfix.identities.items() if "." in host}
    domains = tuple(dict.fromkeys(name for each in postfix.instances for name in domains_of(each)))[:MOST_DOMAINS]
    yield from senders.findings(hosts, domains, postfix.ports)
    unseen += senders.unseen
    if senders.silence and hosts:
        first = ascii_name(next(iter(hosts)))
        what = f"MX, DANE and MTA-STS of {', '.join(hosts)}"
        unseen.append(Unseen(what, senders.silence, f"dig TLSA _25._tcp.{first}"))
    elif hosts:
        checkup.looked.append(f"DNS: MX, TLSA and MTA-STS of {', '.join(hosts)}")


# --- what the log adds -------------------------------------------------------------------------------------------


def _log(ward: Ward, postfix: PostfixRound, checkup: Checkup) -> Iterator[DoctorFinding]:
    if ward.history is None or ward.report is None:
        return
    checkup.looked.append(f"log, {ward.history.lines.read:,} lines")
    shown = [each for identities in postfix.identities.values() for each in identities]
    files = {path for each in shown for path in each.certificate_file.split(", ")}
    files |= {str(each.directory / name) for each in postfix.instances for name in ("main.cf", "master.cf")}
    changes = [*ward.reloads, *file_changes(sorted(files))]
    with suppress(PermissionError):
        changes += package_changes(ward.root)
    yield from log_findings(ward.history, ward.report, postfix.services, changes)
    yield from weakening_findings(ward.history, postfix.services)
