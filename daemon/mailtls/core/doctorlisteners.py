"""Where entries of master.cf are to listen, judged: what kills a running master at the next reload (facts 2.7).

A name that does not resolve, an address of another machine, a port that another program uses: `postconf` and `postfix
check` see none of them. What was tried is in `edge/doctorlisteners.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.doctorfinding import EDIT_MASTER, DoctorFinding
from mailtls.core.mastercf import Service
from mailtls.core.printable import printable


class Trouble(StrEnum):
    """What is wrong with a place to listen at."""

    UNKNOWN = "listener_unknown"
    NOT_HERE = "listener_not_here"
    TAKEN = "listener_taken"


@dataclass(frozen=True, slots=True)
class ListenerFault:
    """One place of one entry. `port`: as a number, 0 where it is not known; `words`: a sentence, what was seen."""

    service: Service
    trouble: Trouble
    port: int
    words: str


def enabled(services: Iterable[Service], disabled: str) -> tuple[Service, ...]:
    """Leave out what master_service_disable names: `inet`, `name/inet`, `!` for all but (global/match_service.c).

    An instance of postmulti(1) is made with `master_service_disable = inet`. A pattern without a slash is a type; the
    older `name.type` is `name/type`.
    """
    patterns = disabled.replace(",", " ").split()
    return tuple(each for each in services if not _is_disabled(each, patterns))


def _is_disabled(service: Service, patterns: list[str]) -> bool:
    for pattern in patterns:
        bare = pattern.lstrip("!").lower()
        if "/" not in bare and "." in bare:
            bare = "/".join(bare.rsplit(".", 1))
        if bare == (service.key if "/" in bare else service.kind).lower():
            return (len(pattern) - len(pattern.lstrip("!"))) % 2 == 0
    return False


def listener_findings(faults: Iterable[ListenerFault], place: str) -> Iterator[DoctorFinding]:
    """Say what is wrong with entries of the master.cf whose path is `place`."""
    for fault in faults:
        service = fault.service
        rest = " ".join((service.kind, *service.fields[2:8]))
        setting, command = "", EDIT_MASTER
        if fault.trouble is Trouble.TAKEN:
            command = f"ss -ltnp 'sport = :{fault.port}'"
        elif fault.port:
            setting = f"{fault.port} {rest}"
        where = (f"{place} {printable(service.key, 100)}",)
        yield DoctorFinding(fault.trouble, where, printable(fault.words, 300), printable(setting, 200), command)
