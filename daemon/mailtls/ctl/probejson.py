"""What `mailtlsctl probe --json` prints, as pydantic models: the contract for scripts."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from mailtls.core.probed import Naming, Order
from mailtls.core.probefinding import Weakness
from mailtls.core.probetarget import Service
from mailtls.core.suite import KeyType


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VersionRow(_Row):
    """One version. `offered`: None where that could not be learned; `said`: how it was refused.

    `ciphers`: OpenSSL's names, in the order in which the server chose them; `order`: whose order that is.
    """

    version: str
    offered: bool | None
    said: str = ""
    order: Order | None = None
    ciphers: tuple[str, ...] = ()


class CertificateRow(_Row):
    """One certificate. `seen_in`: the version; `sha256`: its fingerprint, None where TLS 1.3 hid it.

    `chain`: how many certificates came, its own among them. What stands in it is None where it was hidden or OpenSSL
    cannot read it.
    """

    kind: KeyType
    seen_in: str
    sha256: str | None = None
    chain: int = 0
    subject: str | None = None
    issuer: str | None = None
    self_signed: bool | None = None
    names: tuple[str, ...] = ()
    bits: int | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None


class GroupsRow(_Row):
    """The groups of one version, in the server's order of choice. `complete`: there are no others."""

    version: str
    groups: tuple[str, ...]
    complete: bool


class FindingRow(_Row):
    """One weak point."""

    finding: Weakness
    seen: str
    matters: str


class Probe(_Row):
    """The whole answer. `complete`: everything was asked; else `stopped` says why not.

    `address`: what was asked; `server_name`: the name that was asked for there, None: none. `server_names`: what the
    server makes of it. `tickets`: by version. `starttls_injection`: "safe" or "obeyed", None where it was not tried or
    not to be learned; `starttls_detail`: in words.
    """

    host: str
    address: str
    port: int
    service: Service
    server_name: str | None
    complete: bool
    stopped: str
    connections: int
    versions: tuple[VersionRow, ...]
    certificates: tuple[CertificateRow, ...]
    groups: tuple[GroupsRow, ...]
    dh_prime_bits: int | None
    server_names: Naming | None
    tickets: dict[str, bool]
    secure_renegotiation: bool | None
    extended_master_secret: bool | None
    asks_client_certificate: bool
    starttls_injection: str | None
    starttls_detail: str
    findings: tuple[FindingRow, ...]


class Replay(_Row):
    """The answer of `probe --as`. `source`: `hello` or `history`; `offered_*`: what was sent.

    `accepted`: the server went on; `alert`: else the number with which it refused, None: it hung up.
    """

    peer: str
    source: str
    host: str
    address: str
    port: int
    service: Service
    offered_version: str
    offered_ciphers: tuple[str, ...]
    accepted: bool
    tls_version: str | None
    cipher: str | None
    group: str | None
    certificate: KeyType | None
    alert: int | None
    said: str
