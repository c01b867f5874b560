"""`mailtlsctl report`: from logs to a report, for people or for programs.

Reads every log once, says what could not be read on standard error, and prints. The exit status says whether the
logs could be read, not what is in them, unless `--fail-on-findings` asks for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mailtls.ctl import output
from mailtls.ctl.reading import history_of
from mailtls.ctl.shortcut import ReportOrder

if TYPE_CHECKING:
    from mailtls.core.diagnosis import Report
    from mailtls.core.history import History

FINDINGS = 1
LISTED = 300  # failing peers of a large log that text lists one by one; `--peers` and JSON list all


def report(order: ReportOrder) -> int:
    """Print the report that was ordered; return the exit status. Raises InputError, ConfigError: one sentence each."""
    all_of_them = order.format == "json" or order.peers or order.fail_on_findings
    history = history_of(
        order.logs, order.since, order.until, None if all_of_them else LISTED, meanwhile=lambda: _get_ready(order)
    )
    from mailtls.core.diagnosis import diagnose

    result = diagnose(history)
    output.write(_pieces(history, result, order))
    return FINDINGS if order.fail_on_findings and needs_a_person(result) else 0


def needs_a_person(result: Report) -> bool:
    """Tell whether the server has a fault, or mail of a peer does not arrive."""
    return bool(result.server) or any(peer.outage for peer in result.peers)


def _get_ready(order: ReportOrder) -> None:
    """Import what comes after the reading, while another process reads: a large log is read by two."""
    import mailtls.core.diagnosis
    import mailtls.ctl.reportjson

    if order.format == "text":
        import mailtls.ctl.overview  # noqa: F401


def _pieces(history: History, result: Report, order: ReportOrder) -> Iterator[str]:
    if order.format == "json":
        from mailtls.ctl.reportjson import json_pieces

        return json_pieces(history, result)
    from mailtls.ctl.overview import overview

    return overview(history, result, every_peer=order.peers)
