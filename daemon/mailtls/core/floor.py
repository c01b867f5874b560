"""What a higher floor would cost: who used what would no longer be taken, and how surely it would be lost.

A peer is judged by what it negotiated at the strict door. The version is sure: both sides take the highest that both
have, so that a peer which came to TLS 1.0 has no more. The suite is not: it says what the client liked best, not what
else it has, and in TLS 1.3 it does not tell the certificate. So a peer is *lost* or *partly* lost by its version, and
*doubtful* by its suite or certificate, unless its hello tells what else it has (core/floorhello.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
class Foretold:
    """What a hello leads to now, and whether the stricter door refuses it: OpenSSL's reason; None: it would take it."""

    version: str
    cipher: str
    refused: str | None

    def tells_of(self, use: Use) -> bool:
        """Tell whether these handshakes came of such a hello."""
        return use.tls_version == self.version and use.cipher in (None, self.cipher)


@dataclass(frozen=True, slots=True)
class Loss:
    """One peer. `sessions`, `mails`: those that are touched; `of`: all its sessions with TLS at that door.

    `by_hello`: why the stricter door would refuse its hello, where the fate rests on that.
    """

    ip: str
    name: str | None
    fate: Fate
    used: tuple[str, ...]
    sessions: int
    of: int
    mails: int
    last: date
    by_hello: str | None = None


def losses(
    uses: Iterable[Use], totals: Mapping[str, int], floor: Floor, hellos: Mapping[str, Foretold] | None = None
) -> list[Loss]:
    """Say who would be lost: the surest first, then those with the most mail.

    `totals`: all sessions by address; `hellos`: what hellos foretell, by address. Whose hello shows that the stricter
    door would take it in another way is not among them.
    """
    touched: dict[str, list[tuple[Use, Fate]]] = {}
    known = hellos or {}
    for use in uses:
        fate = _fate(use, floor, known.get(use.ip))
        if fate is not None:
            touched.setdefault(use.ip, []).append((use, fate))
    found = [_loss(ip, rows, totals.get(ip, 0), floor, known.get(ip)) for ip, rows in touched.items()]
    order = list(Fate)
    return sorted(found, key=lambda loss: (order.index(loss.fate), -loss.mails, -loss.sessions, loss.ip))


def _fate(use: Use, floor: Floor, hello: Foretold | None) -> Fate | None:
    if floor.forbids(use.tls_version):
        return Fate.LOST
    if hello is not None and hello.tells_of(use):
        return Fate.LOST if hello.refused is not None else None
    return Fate.DOUBTFUL if floor.touches(use.tls_version, use.cipher) else None


def _loss(ip: str, judged: list[tuple[Use, Fate]], total: int, floor: Floor, hello: Foretold | None) -> Loss:
    rows = [use for use, _ in judged]
    sessions = sum(use.sessions for use in rows)
    lost = sum(use.sessions for use, fate in judged if fate is Fate.LOST)
    total = max(total, sessions)
    fate = Fate.LOST if lost == total else Fate.PARTLY if lost else Fate.DOUBTFUL
    ordered = sorted(rows, key=lambda use: -use.sessions)
    used = dict.fromkeys(f"{use.tls_version or '?'} with {use.cipher or '?'}" for use in ordered)
    latest = max(rows, key=lambda use: use.last)
    told = any(not floor.forbids(use.tls_version) for use, fate in judged if fate is Fate.LOST)
    return Loss(
        ip, latest.name, fate, tuple(used), sessions, total, sum(use.mails for use in rows), latest.last,
        hello.refused if told and hello is not None else None,
    )  # fmt: skip


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
