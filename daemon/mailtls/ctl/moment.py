"""Points in time as an operator writes them: `--since` and `--until`.

Accepted: a date (`2026-11-21`, its first instant), a date with a time (`2026-11-21 10:00`, seconds optional), and
RFC 3339 (`2026-11-21T10:00:00+01:00`). Without an offset the time is of this machine's zone, as the stamps of its own
log are. And a duration before now (`90m`, `24h`, `7d`), for the log of this machine: with it the same command says
something else tomorrow, so whoever compares writes a date.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mailtls.core.duration import parse_duration
from mailtls.core.printable import printable
from mailtls.errors import ConfigError

_FORM = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_BEFORE_NOW = re.compile(r"[0-9]+[smhdw]", re.ASCII)
_EXAMPLES = "2026-11-21, '2026-11-21 10:00', 2026-11-21T10:00:00+01:00, or 24h for a day before now"


def read_moment(option: str, text: str | None) -> datetime | None:
    """Read the time given for an option into an aware datetime; None stays None.

    Raises ConfigError (one sentence with the option and the accepted forms) for anything else.
    """
    if text is None:
        return None
    if _BEFORE_NOW.fullmatch(text.strip()):
        return _before_now(option, text.strip())
    if not _FORM.fullmatch(text.strip()):
        raise ConfigError(f"{option}: {_quoted(text)} is not a time; write {_EXAMPLES}")
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(f"{option}: {_quoted(text)} names no real time; write {_EXAMPLES}") from error


def _before_now(option: str, text: str) -> datetime:
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {printable(str(error), longest=100)}") from error


def read_span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Read `--since` (inclusive) and `--until`; raise ConfigError where the span would be empty."""
    first, last = read_moment("--since", since), read_moment("--until", until)
    if first is not None and last is not None and first >= last:
        raise ConfigError(f"--since {since} is not before --until {until}, so no line can be reported; swap the two")
    return first, last


def _quoted(text: str) -> str:
    return f"'{printable(text, longest=60)}'"
