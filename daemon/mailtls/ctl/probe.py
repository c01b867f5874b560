"""`mailtlsctl probe`: what a mail server offers, version by version and suite by suite, by asking it.

Needs no daemon, no root and no TLS library that speaks what is asked for. Exit status 1 where something is weak
(`core/probefinding.py` has the list), 3 where the server could not be asked, or not to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from mailtls.core.ciphersuite import name_of as suite_name
from mailtls.core.doctoridentity import CertificateRecord
from mailtls.core.pem import parse_pem
from mailtls.core.probed import Probed, Shown, VersionFound
from mailtls.core.probefinding import weak_points
from mailtls.core.probeplan import STEPS, probe_plan
from mailtls.core.probequestion import SSLV2_KINDS
from mailtls.core.probetarget import ProbeTarget, Service, read_target
from mailtls.core.tlsname import group_name
from mailtls.core.tlsversion import NUMBERS, SSLV2
from mailtls.core.tlsversion import name_of as version_name
from mailtls.ctl import output
from mailtls.ctl.probejson import CertificateRow, FindingRow, GroupsRow, Probe, VersionRow
from mailtls.ctl.probepage import pages
from mailtls.ctl.progress import AskingBar
from mailtls.ctl.screen import Screen
from mailtls.edge.doctorfiles import record_of
from mailtls.edge.serverasker import ServerAsker
from mailtls.edge.serverprobe import DELAY_S, MOST, NoStarttls, Pace, ServerProbe
from mailtls.errors import ConfigError, PostfixError

FINDINGS, INCOMPLETE = 1, 3


@dataclass(frozen=True, slots=True)
class ProbeWish:
    """What was asked for. `patience_s`: seconds for one connection; `delay_s`: between two; `most`: of them in all."""

    target: str | None
    service: Service | None = None
    delay_s: float = DELAY_S
    patience_s: float = 15.0
    most: int = MOST
    as_json: bool = False


def probe(wish: ProbeWish) -> int:
    """Probe, print, and say how it went. Raises ConfigError, UnreachableError."""
    target = target_of(wish)
    asker = ServerAsker(target, wish.patience_s)
    probed, stopped = Probed(), ""
    with AskingBar(STEPS) as bar:
        asking = ServerProbe(asker, Pace(wish.delay_s, wish.most), bar.told)
        try:
            stopped = asking.follow(probe_plan(probed, target.name, starttls=target.service.starttls))
        except NoStarttls as without:
            probed.no_starttls = str(without)
    answer = _answer(target, asker, probed, stopped)
    if wish.as_json:
        output.write_json(answer.model_dump_json(indent=1))
    else:
        output.write(pages(answer, Screen()))
    if stopped:
        output.complain(f"the probe of {target} is not complete: {stopped}; what is printed was learned before that")
    return FINDINGS if answer.findings else INCOMPLETE if stopped else 0


def target_of(wish: ProbeWish) -> ProbeTarget:
    """Read whom to ask. Raises ConfigError."""
    try:
        return read_target(wish.target, wish.service)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _answer(target: ProbeTarget, asker: ServerAsker, probed: Probed, stopped: str) -> Probe:
    versions = {version: probed.versions[version] for version in NUMBERS if version in probed.versions}
    return Probe(
        host=target.shown,
        address=asker.address,
        port=target.port,
        service=target.service,
        server_name=target.name,
        complete=not stopped,
        stopped=stopped,
        connections=asker.connections,
        versions=tuple(_version(version, found) for version, found in versions.items()),
        certificates=tuple(map(_certificate, probed.certificates)),
        groups=tuple(
            GroupsRow(
                version=version_name(version),
                groups=tuple(map(group_name, groups)),
                complete=version in probed.groups_whole,
            )
            for version, groups in sorted(probed.groups.items())
        ),
        dh_prime_bits=probed.prime_bits,
        server_names=probed.naming,
        tickets={version_name(version): given for version, given in sorted(probed.tickets.items())},
        secure_renegotiation=probed.secure_renegotiation,
        extended_master_secret=probed.extended_master_secret,
        asks_client_certificate=probed.asks_certificate,
        starttls_injection=None if probed.obeyed is None else "obeyed" if probed.obeyed else "safe",
        starttls_detail=probed.injection,
        findings=tuple(
            FindingRow(finding=found.weakness, seen=found.seen, matters=found.matters)
            for found in weak_points(probed, target.service)
        ),
    )


def _version(version: int, found: VersionFound) -> VersionRow:
    names = [SSLV2_KINDS.get(kind, f"0x{kind:06X}") if version == SSLV2 else suite_name(kind) for kind in found.suites]
    return VersionRow(
        version=version_name(version), offered=found.offered, said=found.said, order=found.order, ciphers=tuple(names)
    )


def _certificate(shown: Shown) -> CertificateRow:
    seen_in = version_name(shown.version)
    if not shown.chain:
        return CertificateRow(kind=shown.kind, seen_in=seen_in)
    digest, size, record = sha256(shown.chain[0]).hexdigest(), len(shown.chain), _record(shown.chain[0])
    if record is None:
        return CertificateRow(kind=shown.kind, seen_in=seen_in, sha256=digest, chain=size)
    return CertificateRow(
        kind=shown.kind,
        seen_in=seen_in,
        sha256=digest,
        chain=size,
        subject=record.subject,
        issuer=record.issuer,
        self_signed=record.is_self_signed,
        names=record.names,
        bits=record.bits,
        not_before=record.starts,
        not_after=record.ends,
    )


def _record(certificate: bytes) -> CertificateRecord | None:
    """Read a stranger's certificate; None where OpenSSL cannot, or is not there."""
    try:
        blocks = parse_pem(pem_of(certificate))
        return record_of(blocks[0]) if blocks else None
    except PostfixError:
        return None


def pem_of(certificate: bytes) -> str:
    """Write DER as PEM."""
    import ssl

    return ssl.DER_cert_to_PEM_cert(certificate)
