"""What `mailtlsctl doctor` finds: one thing that is wrong, or could be better, with all that a person needs to mend it.

The ids are a closed list (`core/doctorcatalogue.py`, docs/doctor.md): monitoring and scripts may rely on them. How bad
a finding is and why it matters belong to its id; what was seen, where, and what mends it are its own.

Three severities. An error: clients get no TLS, or no answer at all. A warning: some peers fail, or the setting is not
what it looks like. A note: all is well without it, and no exit status speaks of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

EVIDENCE_LINES = 12
EDIT_MAIN, EDIT_MASTER = "mailtlsctl edit main.cf", "mailtlsctl edit master.cf"


class Severity(StrEnum):
    """How bad it is; the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Area(StrEnum):
    """Where it was looked for."""

    POSTFIX = "postfix"
    DOVECOT = "dovecot"
    COURIER = "courier"
    SYSTEM = "system"
    SENDERS = "senders"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a finding's id stands for. `why`: a sentence, why it matters."""

    area: Area
    severity: Severity
    why: str


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One finding.

    `where`: the files, services or names that it is about. `seen`: a sentence. `setting`: the exact lines that mend it,
    empty where it is no setting. `command`: the one command that comes next. `evidence`: lines that prove it. `area`:
    other than the id's own, for certificates of Dovecot.
    """

    id: str
    where: tuple[str, ...]
    seen: str
    setting: str = ""
    command: str = ""
    evidence: tuple[str, ...] = ()
    area: Area | None = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be looked at: what, why, and the command that would show it."""

    what: str
    why: str
    command: str = ""


def merged(found: Iterable[DoctorFinding]) -> tuple[DoctorFinding, ...]:
    """Say once what is true of several services: the same words, with all their places."""
    kept: dict[tuple[str, str, str], DoctorFinding] = {}
    for each in found:
        key = (each.id, each.seen, each.setting)
        first = kept.get(key)
        if first is None:
            kept[key] = each
        else:
            kept[key] = replace(
                first,
                where=tuple(dict.fromkeys((*first.where, *each.where))),
                evidence=tuple(dict.fromkeys((*first.evidence, *each.evidence)))[:EVIDENCE_LINES],
            )
    return tuple(kept.values())
