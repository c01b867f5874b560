"""What a higher floor would cost: who used what would no longer be taken, and how surely it would be lost.

Without its hello a peer is judged by what it negotiated at the strict door. The version is sure: both sides take the
highest that both have, so that a peer which came to TLS 1.0 has no more. The suite is not: it says what the client
liked best, not what else it has, and in TLS 1.3 it does not tell the certificate. So a peer is *lost* or *partly* lost
by its version, and *doubtful* by its suite or certificate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from mailtls.core.suite import KeyType, key_type_of
from mailtls.core.tlsversion import TLS13, name_of, number_of


class Fate(StrEnum):
    """What would become of a peer, the worst first."""

    LOST = "lost"
    PARTLY = "partly"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class Floor:
    """What is to be taken no more. `version`: nothing below it; `ciphers`: up to TLS 1.2 no other; `without`: a key."""

    version: int | None = None
    ciphers: frozenset[str] | None = None
    without: KeyType | None = None

    def forbids(self, version: str | None) -> bool:
        """Tell whether this version is below the floor; one that is not known is not."""
        number = number_of("TLSv1" if version == "TLSv1.0" else version or "")
        return self.version is not None and number is not None and number < self.version

    def touches(self, version: str | None, cipher: str | None) -> bool:
        """Tell whether a handshake that came about would not come about in the same way."""
        if self.forbids(version):
            return True
        if cipher is None or number_of(version or "") == TLS13:
            return False
        wrong = self.ciphers is not None and cipher not in self.ciphers
        return wrong or (self.without is not None and key_type_of(cipher) is self.without)


@dataclass(frozen=True, slots=True)
class Use:
    """How often a peer negotiated one version and suite, with the mails that came so, and the last day of it."""

    ip: str
    name: str | None
    tls_version: str | None
    cipher: str | None
    sessions: int
    mails: int
    last: date


@dataclass(frozen=True, slots=True)
class Loss:
    """One peer. `sessions`, `mails`: those that are touched; `of`: all its sessions with TLS at that door."""

    ip: str
    name: str | None
    fate: Fate
    used: tuple[str, ...]
    sessions: int
    of: int
    mails: int
    last: date


def losses(uses: Iterable[Use], totals: dict[str, int], floor: Floor) -> list[Loss]:
    """Say who would be lost: the surest first, then those with the most mail. `totals`: all sessions by address."""
    touched: dict[str, list[Use]] = {}
    for use in uses:
        if floor.touches(use.tls_version, use.cipher):
            touched.setdefault(use.ip, []).append(use)
    found = [_loss(ip, rows, totals.get(ip, 0), floor) for ip, rows in touched.items()]
    order = list(Fate)
    return sorted(found, key=lambda loss: (order.index(loss.fate), -loss.mails, -loss.sessions, loss.ip))


def _loss(ip: str, rows: Collection[Use], total: int, floor: Floor) -> Loss:
    sessions = sum(use.sessions for use in rows)
    below = sum(use.sessions for use in rows if floor.forbids(use.tls_version))
    total = max(total, sessions)
    fate = Fate.LOST if below == total else Fate.PARTLY if below else Fate.DOUBTFUL
    ordered = sorted(rows, key=lambda use: -use.sessions)
    used = dict.fromkeys(f"{use.tls_version or '?'} with {use.cipher or '?'}" for use in ordered)
    latest = max(rows, key=lambda use: use.last)
    return Loss(ip, latest.name, fate, tuple(used), sessions, total, sum(use.mails for use in rows), latest.last)


def described(floor: Floor) -> str:
    """Say in half a sentence what the floor is."""
    parts = []
    if floor.version is not None:
        parts.append(f"{name_of(floor.version)} as the lowest version")
    if floor.ciphers is not None:
        parts.append(f"{len(floor.ciphers)} cipher suites only")
    if floor.without is not None:
        parts.append(f"no {floor.without} certificate")
    return " and ".join(parts)
