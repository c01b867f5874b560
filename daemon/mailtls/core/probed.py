"""What a probe has found out about a server, piece by piece; what is not known yet is None or empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV2, TLS12, TLS13


class Order(StrEnum):
    """Whose order of suites counts; `one`: there is only one suite."""

    SERVER = "server"
    CLIENT = "client"
    ONE = "one"


class Naming(StrEnum):
    """What a server makes of the name that a client asks for (RFC 6066 section 3)."""

    IGNORED = "ignored"
    CHOOSES = "chooses"
    REFUSES_UNKNOWN = "refuses-unknown"
    NEEDED = "needed"


@dataclass(slots=True)
class VersionFound:
    """One version. `offered`: None while it is not known; `said`: how the server refused.

    `suites`: what it takes, in the order in which it chose them; for SSL 2.0 the three-byte numbers.
    """

    offered: bool | None = None
    said: str = ""
    suites: list[int] = field(default_factory=list)
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate for one kind of key. `chain`: DER, the server's own first; empty where it was encrypted."""

    kind: KeyType
    version: int
    chain: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Probed:
    """The whole of it.

    `groups`: by version, in the order of choice; `groups_whole`: versions of which these are all. `prime_bits`: of the
    smallest Diffie-Hellman prime of suites with a certificate. `tickets`: by version. `injection`: a clause, where
    STARTTLS was tried with a command behind it; `obeyed`: whether the server obeyed that. `no_starttls`: what it said
    instead of offering it.
    """

    versions: dict[int, VersionFound] = field(default_factory=dict)
    certificates: list[Shown] = field(default_factory=list)
    groups: dict[int, list[int]] = field(default_factory=dict)
    groups_whole: set[int] = field(default_factory=set)
    prime_bits: int | None = None
    naming: Naming | None = None
    tickets: dict[int, bool] = field(default_factory=dict)
    secure_renegotiation: bool | None = None
    extended_master_secret: bool | None = None
    asks_certificate: bool = False
    injection: str = ""
    obeyed: bool | None = None
    no_starttls: str = ""

    def found(self, version: int) -> VersionFound:
        """Give what is known of a version."""
        return self.versions.setdefault(version, VersionFound())

    @property
    def offered(self) -> list[int]:
        """List the versions that are offered, oldest first."""
        return sorted(number for number, found in self.versions.items() if found.offered)

    @property
    def newest_in_clear(self) -> int | None:
        """Give the newest version whose certificates can be seen, from SSLv3 to TLS 1.2."""
        return max((number for number in self.offered if SSLV2 < number <= TLS12), default=None)

    @property
    def takes_newest(self) -> bool:
        """Tell whether TLS 1.3 is offered."""
        return TLS13 in self.offered
