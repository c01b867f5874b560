"""A service's list of milters, examined: words that Postfix accepts, and finds out about when a client is there.

How it is read: milter/milter.c:milter_new, milter/milter8.c:milter8_connect (3.12): blanks and commas separate, braces
hold one milter and its settings together. What cannot be used counts as `milter_default_action` says; what has no port
ends the session. Whether anybody answers there is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.doctorservice import SmtpdService
from mailtls.core.mapentry import tables_of
from mailtls.core.printable import printable

MILTERS, DEFAULT_ACTION = "smtpd_milters", "milter_default_action"
ASKED = (MILTERS, DEFAULT_ACTION)
KINDS = frozenset({"inet", "unix", "local"})


def milter_findings(service: SmtpdService) -> Iterator[DoctorFinding]:
    """Examine the milters of one service; one at most, for the others come to light when it is mended."""
    written = service.values.get(MILTERS, "")
    forgiven = service.values.get(DEFAULT_ACTION, "").lower() == "accept"
    for word in tables_of(written):
        fault, fatal = _fault(word)
        if fault and (fatal or not forgiven):
            said = f"{MILTERS} at {service.key} has `{printable(word, 100)}`: {fault}."
            kept = written.replace(word, "inet:127.0.0.1:PORT", 1)
            yield DoctorFinding(
                "milter_invalid", (service.place(MILTERS),), said, service.line(MILTERS, printable(kept, 300)),
                service.command(MILTERS),
            )  # fmt: skip
            return


def _fault(word: str) -> tuple[str, bool]:
    """Say what is wrong with one milter, and whether a session ends of it whatever is to be done without a milter."""
    name = word
    if word.startswith("{"):
        if not word.endswith("}"):
            return "text stands behind the braces, or one is never closed", True
        inner = word[1:-1].replace(",", " ").split()
        if not inner:
            return "nothing stands between the braces", True
        name = inner[0]
    kind, _, place = name.partition(":")
    if not kind or not place:
        return "it is written inet:HOST:PORT or unix:PATH", False
    if kind not in KINDS:
        return f"Postfix knows {', '.join(sorted(KINDS))}, not `{printable(kind, 40)}`", False
    return ("a port is missing, as in inet:HOST:PORT", True) if kind == "inet" and place.endswith(":") else ("", False)
