"""The JSON of `mailtlsctl doctor` (docs/doctor.md)."""

from __future__ import annotations

from collections.abc import Mapping

from mailtls.core.doctorcatalogue import CATALOGUE
from mailtls.core.doctorfinding import Area, DoctorFinding, Severity
from mailtls.core.doctorservice import SmtpdService
from mailtls.core.keeperprotocol import Message
from mailtls.core.offering import versions_of
from mailtls.service.doctor import Checkup


class FindingRow(Message):
    """One finding. `id`: of the closed list. `why`: why it matters. `setting`, `command`: what mends it, or empty."""

    id: str
    area: Area
    severity: Severity
    where: tuple[str, ...]
    seen: str
    why: str
    setting: str = ""
    command: str = ""
    evidence: tuple[str, ...] = ()


class UnseenRow(Message):
    """What could not be looked at, why, and the command that would show it."""

    what: str
    why: str
    command: str = ""


class ServiceRow(Message):
    """What one smtpd service offers: versions, certificates, ciphers up to TLS 1.2 as this OpenSSL builds them."""

    service: str
    directory: str
    role: str
    versions: tuple[str, ...]
    certificates: tuple[str, ...]
    ciphers: tuple[str, ...]


class OpensslRow(Message):
    """This machine's OpenSSL, and what it is built without, of SSLv3, RC4 and 3DES."""

    version: str
    lacks: tuple[str, ...]


class DoctorPage(Message):
    """The whole answer."""

    findings: tuple[FindingRow, ...]
    unseen: tuple[UnseenRow, ...]
    looked: tuple[str, ...]
    services: tuple[ServiceRow, ...]
    openssl: OpensslRow

    def count(self) -> Mapping[Severity, int]:
        """Count the findings of each severity."""
        return {kind: sum(each.severity is kind for each in self.findings) for kind in Severity}


def page_of(checkup: Checkup) -> DoctorPage:
    """Make the answer of what was found."""
    return DoctorPage(
        findings=tuple(_row(each) for each in checkup.findings),
        unseen=tuple(UnseenRow(what=each.what, why=each.why, command=each.command) for each in checkup.unseen),
        looked=tuple(checkup.looked),
        services=tuple(_service(each) for each in checkup.services),
        openssl=OpensslRow(version=checkup.openssl.version, lacks=checkup.openssl.lacks),
    )


def _row(found: DoctorFinding) -> FindingRow:
    meaning = CATALOGUE[found.id]
    return FindingRow(
        id=found.id, area=found.area or meaning.area, severity=meaning.severity, where=found.where, seen=found.seen,
        why=meaning.why, setting=found.setting, command=found.command, evidence=found.evidence,
    )  # fmt: skip


def _service(service: SmtpdService) -> ServiceRow:
    return ServiceRow(
        service=service.key, directory=service.directory, role=service.role.value,
        versions=versions_of(service.values), certificates=tuple(kind.value for kind in service.certificates),
        ciphers=service.ciphers,
    )  # fmt: skip
