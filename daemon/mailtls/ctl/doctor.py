"""`mailtlsctl doctor`: is it us? What is wrong with this server's own TLS, and what mends it.

Exit status 1 where an error or a warning was found, else 0; notes count for nothing. With `--nagios` 2 for an error, 1
for a warning, 3 where nothing could be looked at (Monitoring Plugins' guidelines).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailtls.config import Places, read_config
from mailtls.core.doctorfinding import Severity
from mailtls.core.printable import printable
from mailtls.ctl import output
from mailtls.ctl.doctorjson import DoctorPage, FindingRow, ServiceRow, page_of
from mailtls.ctl.reading import history_of
from mailtls.ctl.screen import BAD, GOOD, HEADING, QUIET, Screen, heading, plural
from mailtls.edge.doctorreloads import reloads_in
from mailtls.errors import ConfigError, MailtlsError
from mailtls.service.doctor import Ward, look

FINDINGS = 1
UNKNOWN = 3
_STYLES = {Severity.ERROR: BAD, Severity.WARNING: HEADING, Severity.NOTE: QUIET}
_NAGIOS = {Severity.ERROR: (2, "CRITICAL"), Severity.WARNING: (1, "WARNING")}
LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class Consultation:
    """What was asked for: logs to read as well, the form of the answer, and which configuration."""

    logs: tuple[str, ...] = ()
    as_json: bool = False
    nagios: bool = False
    config: str | None = None
    directory: str | None = None


def doctor(asked: Consultation) -> int:
    """Examine, and tell; return the exit status. Raises ConfigError, InputError, PostfixError."""
    if not asked.nagios:
        return _told(_examined(asked), asked)
    try:
        return _one_line(_examined(asked))
    except MailtlsError as error:
        output.write([f"MAILTLS UNKNOWN - {_plain(str(error))}\n"])
        return UNKNOWN


def _examined(asked: Consultation) -> DoctorPage:
    places = read_config(asked.config).places
    page = page_of(look(_ward(asked, places)))
    if not page.looked and not page.findings:
        why = "; ".join(f"{each.what}: {each.why}" for each in page.unseen)
        raise ConfigError(f"there is nothing here to examine ({why}); name Postfix's directory with --config-dir")
    return page


def _ward(asked: Consultation, places: Places) -> Ward:
    usual = places.under(places.config.postfix.config_directory)
    postfix = Path(asked.directory).absolute() if asked.directory is not None else usual
    now = datetime.now(UTC)
    if not asked.logs:
        return Ward(places.root, postfix, now)
    from mailtls.core.diagnosis import diagnose

    history = history_of(asked.logs, None, None)
    report = diagnose(history)
    return Ward(places.root, postfix, now, history, report, reloads_in(asked.logs) if report.server else ())


def _told(page: DoctorPage, asked: Consultation) -> int:
    if asked.as_json:
        output.write_json(page.model_dump_json(indent=1))
    else:
        output.write(_pages(page, Screen()))
    counted = page.count()
    return FINDINGS if counted[Severity.ERROR] or counted[Severity.WARNING] else 0


# --- for people --------------------------------------------------------------------------------------------------


def _pages(page: DoctorPage, view: Screen) -> Iterator[str]:
    counted = page.count()
    for severity in Severity:
        rows = [each for each in page.findings if each.severity is severity]
        if rows:
            yield view.render(heading(plural(counted[severity], severity.value), _STYLES[severity]))
            for row in rows:
                yield from _finding(row, view, _STYLES[severity])
    if not counted[Severity.ERROR] and not counted[Severity.WARNING]:
        yield view.prose("Nothing was found that needs a person.", GOOD)
    if page.unseen:
        yield view.render(heading("Not seen"))
        for each in page.unseen:
            more = f" ({each.command})" if each.command else ""
            yield view.prose(f"{each.what}: {each.why}{more}", indent=2)
    yield view.render(heading("Looked at"))
    for place in page.looked:
        yield view.prose(place, indent=2)
    for service in page.services:
        yield view.prose(_service(service), indent=4)
    lacks = f", built without {', '.join(page.openssl.lacks)}" if page.openssl.lacks else ""
    yield view.prose(f"{page.openssl.version}{lacks}", indent=2)


def _finding(row: FindingRow, view: Screen, style: str) -> Iterator[str]:
    yield view.prose(f" {', '.join(row.where)}: {row.seen}", lead=row.id, lead_style=style)
    yield view.prose(row.why, indent=4)
    for line in row.setting.splitlines():
        yield view.prose(line, HEADING, indent=6)
    if row.command:
        yield view.prose(f"Next: {row.command}", indent=4)
    for line in row.evidence:
        yield view.prose(line, QUIET, indent=6)


def _service(service: ServiceRow) -> str:
    if not service.versions:
        return f"{service.service} ({service.role}): no TLS"
    ciphers = plural(len(service.ciphers), "cipher")
    kinds = " and ".join(service.certificates) or "no certificate seen"
    span = " to ".join(dict.fromkeys((service.versions[0], service.versions[-1])))
    return f"{service.service} ({service.role}): {span}, {ciphers}, {kinds}"


# --- for monitoring ----------------------------------------------------------------------------------------------


def _one_line(page: DoctorPage) -> int:
    counted = page.count()
    status, word = next((_NAGIOS[kind] for kind in _NAGIOS if counted[kind]), (0, "OK"))
    needing = [each for each in page.findings if each.severity in _NAGIOS]
    said = "; ".join(f"{each.id} ({each.where[0]})" for each in needing) or "nothing needs a person"
    figures = " ".join(f"{kind.value}s={counted[kind]};;;0" for kind in Severity)
    output.write([f"MAILTLS {word} - {_plain(said)} | {figures} unseen={len(page.unseen)};;;0\n"])
    return status


def _plain(words: str) -> str:
    """Leave out what has a meaning to the monitoring system: the bar, and line ends."""
    return printable(words.replace("|", "/"), LONGEST_LINE)
