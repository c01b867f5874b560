"""Tables that decide who is offered TLS, examined: each is asked once, and what came of it is judged here.

One that cannot be read is an outage for everybody (facts 1.5); one that asks another program is, whenever that one is
slow. postmap(1) says so before any client finds out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.doctorservice import SmtpdService
from mailtls.core.doctorsettings import SNI_MAPS
from mailtls.core.printable import printable
from mailtls.core.serviceconduct import MAPS

NETWORKED = frozenset({"socketmap", "tcp", "ldap", "mysql", "pgsql", "sqlite", "memcache", "nis"})
"""Types that ask another program; these are not asked by the doctor either."""
WITHOUT_FILES = frozenset({"inline", "static", "environ", "internal", "fail"})
_BROKEN = re.compile(r"fatal:|error:|is unavailable|lookup error|unsupported|expecting|duplicate entry")
"""`duplicate entry`: postmap only warns of it, but to smtpd the whole texthash table is dead (facts 1.5)."""
_RULE = re.compile(r"skipping this rule|expected format|ignoring|is this a")


class Answer(StrEnum):
    """What came of asking a table."""

    FINE = "fine"
    RULES_SKIPPED = "rules_skipped"
    BROKEN = "broken"
    NOT_ASKED = "not_asked"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class TableState:
    """One table, `type:name`, with what postmap said of it."""

    spelled: str
    answer: Answer
    words: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its type; nothing where none is written."""
        kind, colon, _ = self.spelled.partition(":")
        return kind if colon else ""


def table_findings(service: SmtpdService, parameter: str, state: TableState) -> Iterator[DoctorFinding]:
    """Judge one table of a service."""
    where = (service.place(parameter),)
    shown = printable(state.spelled, 200)
    if state.kind in NETWORKED or state.kind == "proxy":
        if parameter == MAPS and state.kind in ("socketmap", "tcp"):
            said = f"{parameter} asks {shown}, another program, at every connection."
            setting = service.line(parameter, "lmdb:/etc/postfix/discard_ehlo")
            yield DoctorFinding("discard_table_network", where, said, setting, service.command(parameter))
    elif state.answer is Answer.BROKEN:
        name = "sni_table_broken" if parameter == SNI_MAPS else "discard_table_broken"
        said = f"{parameter}: {shown} cannot be used: {printable(state.words[0], 200) if state.words else 'no answer'}."
        yield DoctorFinding(name, where, said, _setting(service, parameter, state), _command(service, parameter, state),
                            tuple(printable(word, 300) for word in state.words))  # fmt: skip
    elif state.answer is Answer.RULES_SKIPPED:
        path = state.spelled.partition(":")[2]
        said = f"{shown}: {printable(state.words[0], 200)}."
        yield DoctorFinding("discard_table_rules", where, said, "", f"editor {path}",
                            tuple(printable(word, 300) for word in state.words))  # fmt: skip


def answer_of(status: int, words: tuple[str, ...]) -> Answer:
    """Read what `postmap -q KEY TABLE` said: 0 found, 1 and silence not found, else trouble (postmap(1))."""
    if any(_BROKEN.search(word) for word in words):
        return Answer.BROKEN
    if status not in (0, 1):
        return Answer.BROKEN
    return Answer.RULES_SKIPPED if any(_RULE.search(word) for word in words) else Answer.FINE


def _setting(service: SmtpdService, parameter: str, state: TableState) -> str:
    if not state.kind:
        return service.line(parameter, f"lmdb:{state.spelled}")
    return ""


def _command(service: SmtpdService, parameter: str, state: TableState) -> str:
    path = state.spelled.partition(":")[2]
    if state.kind in ("lmdb", "hash", "btree", "cdb", "dbm"):
        return f"postmap {'-F ' if parameter == SNI_MAPS else ''}{state.kind}:{path}"
    return service.command(parameter)
