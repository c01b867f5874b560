"""The short way to `report`: plain arguments are read here, without Typer.

`mailtlsctl report` on a day's log is over in the time that importing Typer takes. So the usual arguments of `report`
are recognised by the few lines below. Promises: whatever is recognised means exactly what Typer would have made of
it (a test runs both over generated arguments); whatever is not recognised, mistakes included, is left to Typer, which
words the errors and the help. docs/decisions/0004 has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

FORMATS = ("text", "json")
_WITH_VALUE = {"--format": "format", "--since": "since", "--until": "until"}
_FLAGS = {"--fail-on-findings": "fail_on_findings", "--peers": "peers"}


@dataclass(slots=True)
class ReportOrder:
    """What was asked of `report`; `since` and `until` as they were written."""

    logs: list[str] = field(default_factory=list)
    format: str = "text"
    since: str | None = None
    until: str | None = None
    fail_on_findings: bool = False
    peers: bool = False


def plain_report(arguments: Sequence[str]) -> ReportOrder | None:
    """Read the arguments of a plain `report`; None where they are anything else."""
    if not arguments or arguments[0] != "report":
        return None
    order = ReportOrder()
    rest = iter(arguments[1:])
    for word in rest:
        name, equals, value = word.partition("=")
        if word in _FLAGS:
            setattr(order, _FLAGS[word], True)
        elif name in _WITH_VALUE:
            value = value if equals else next(rest, "")
            if not value:
                return None
            setattr(order, _WITH_VALUE[name], value)
        elif word == "-" or (word and not word.startswith("-")):
            order.logs.append(word)
        else:
            return None
    return order if order.logs and order.format in FORMATS else None
