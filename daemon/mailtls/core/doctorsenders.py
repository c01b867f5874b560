"""What the DNS tells senders about this host, held against the chain that it shows: DANE, MTA-STS (RFC 7672, 8461).

Every certificate that a service can show must satisfy the records, for a sender may be shown either. A TLSA record
counts for senders only where DNSSEC signs it, which is not checked here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.doctoridentity import CertificateRecord, Identity, Trust, ascii_name, covers
from mailtls.core.printable import printable

TRUST_ANCHOR, END_ENTITY = 2, 3
_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}
_LINE = re.compile(r"^\s*(version|mode|mx|max_age)\s*:\s*(\S{1,255})\s*$")
LONGEST_POLICY = 64 * 1024


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One record; `data` its association data."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def spelled(self) -> str:
        """Write it as the DNS has it."""
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()[:16]}..."

    def matches(self, certificate: CertificateRecord) -> bool:
        """Tell whether it speaks of this certificate."""
        whole = certificate.content if self.selector == 0 else certificate.public_key
        digest = _DIGESTS.get(self.matching)
        return bool(whole) and (digest(whole).digest() if digest else whole) == self.data


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A domain's policy: `mode` enforce, testing or none; `mx`: names, or with `*.` in front."""

    domain: str
    mode: str
    mx: tuple[str, ...]

    def names(self, host: str) -> bool:
        """Tell whether it names a host."""
        return covers((each.lower() for each in self.mx), host)


def parse_policy(domain: str, text: str) -> StsPolicy:
    """Read a policy file; lines that are none are left out (RFC 8461 3.2)."""
    lines = (_LINE.match(line) for line in text[:LONGEST_POLICY].splitlines())
    pairs = [(found.group(1), found.group(2)) for found in lines if found]
    mode = next((value.lower() for name, value in pairs if name == "mode"), "none")
    return StsPolicy(domain, mode, tuple(value for name, value in pairs if name == "mx"))


def dane_findings(host: str, records: Iterable[TlsaRecord], identities: Iterable[Identity]) -> Iterator[DoctorFinding]:
    """Hold TLSA records of port 25 against what the service shows."""
    published = list(records)
    name = f"_25._tcp.{ascii_name(host)}"
    unusable = [each for each in published if each.usage not in (TRUST_ANCHOR, END_ENTITY)]
    if unusable:
        said = f"{name} has a record of usage {unusable[0].usage}: {unusable[0].spelled}"
        yield DoctorFinding("dane_unusable", (name,), f"{said}.", "", f"dig +short TLSA {name}")
    usable = [each for each in published if each not in unusable]
    for identity in identities:
        if usable and identity.leaf is not None and not any(_agrees(each, identity) for each in usable):
            wanted = hashlib.sha256(identity.leaf.public_key).hexdigest()
            said = f"No TLSA record of {name} speaks of {identity.certificate_file}."
            yield DoctorFinding(
                "dane_mismatch", (name,), said, f"{name}. IN TLSA 3 1 1 {wanted}", f"dig +short TLSA {name}",
                tuple(each.spelled for each in usable[:6]),
            )  # fmt: skip


def _agrees(record: TlsaRecord, identity: Identity) -> bool:
    chain = identity.chain[:1] if record.usage == END_ENTITY else identity.chain[1:]
    return any(record.matches(each) for each in chain)


def sts_findings(host: str, policies: Iterable[StsPolicy], identities: Iterable[Identity]) -> Iterator[DoctorFinding]:
    """Hold MTA-STS policies of domains that this host is an MX of against its name and what it shows."""
    shown = list(identities)
    for policy in policies:
        if policy.mode not in ("enforce", "testing"):
            continue
        where = (f"mta-sts.{policy.domain}",)
        fetch = f"curl https://mta-sts.{policy.domain}/.well-known/mta-sts.txt"
        if not policy.names(host):
            said = f"The policy of {policy.domain} ({policy.mode}) names {printable(', '.join(policy.mx), 200)}."
            yield DoctorFinding("mta_sts_name", where, said, f"mx: {ascii_name(host)}", fetch)
        for identity in shown:
            if identity.leaf is None:
                continue
            faults = [] if identity.trust is Trust.TRUSTED else ["nobody knows the authority"]
            faults += [] if covers(identity.leaf.names, host) else [f"it does not bear {host}"]
            if faults:
                said = f"{policy.domain} has MTA-STS ({policy.mode}); {identity.certificate_file}: {', '.join(faults)}."
                command = f"certbot certonly --standalone -d {ascii_name(host)}"
                yield DoctorFinding("mta_sts_certificate", where, said, "", command)
