"""A conduct as text, for the store: JSON with the names of its fields, without those that say nothing.

Times are seconds since 1970, with a fraction only where they have one; what has no offset is taken for UTC.

SECURITY: whoever can write the database's file can write this. Only values of known fields within their bounds are
read; of anything else `read_conduct` makes nothing, and `distrusted` is what then stands for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from mailtls.core.cause import Cause
from mailtls.core.conduct import EVIDENCE_LINES, KINDS, SCANNER_REASONS, Conduct, Kind, Series
from mailtls.core.decision import Rule
from mailtls.core.level import Level
from mailtls.core.rule import MOST_SESSIONS

LARGEST = 64 * 1024  # characters; the bounds of Conduct allow less than half of it

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

TEXTS = ("name", "good")
TIMES = ("fell_back", "recovered")
FLAGS = (
    "used_to_succeed",
    "mailed",
    "refuses_cleartext",
    "scanner",
    "turned_bad",
    "spent",
    "door_worked",
)


def write_conduct(conduct: Conduct) -> str:
    """Write it down; `read_conduct` gives an equal one."""
    record: dict[str, Any] = {name: value for name in TEXTS if (value := getattr(conduct, name)) is not None}
    record |= {name: _seconds(value) for name in TIMES if (value := getattr(conduct, name)) is not None}
    record |= {name: 1 for name in FLAGS if getattr(conduct, name)}
    others = {
        "series": [_series_row(kind, series) for kind, series in conduct.series.items()],
        "door_failures": conduct.door_failures,
        "useless": sorted(conduct.useless),
        "said": sorted(conduct.said, key=str),
        "tried": [[_seconds(at), reason] for at, reason in conduct.tried],
        "evidence": conduct.evidence,
    }
    record |= {name: value for name, value in others.items() if value}
    return json.dumps(record, separators=(",", ":"))


def read_conduct(text: str) -> Conduct | None:
    """Read what `write_conduct` wrote; None where it is anything else."""
    try:
        if len(text) > LARGEST:
            return None
        return _conduct(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def distrusted() -> Conduct:
    """Stand for a conduct that cannot be read: its good history may be lost, so that a person decides (`spent`)."""
    return Conduct(spent=True)


def _conduct(record: dict[str, Any]) -> Conduct:
    conduct = Conduct()
    for name, value in record.items():
        setattr(conduct, name, _value(name, value))
    return conduct


def _value(name: str, value: Any) -> Any:
    if name in TEXTS:
        return _text(value)
    if name in TIMES:
        return _time(value)
    if name in FLAGS:
        return _one(value)
    return _READERS[name](value)


def _series_row(kind: Kind, series: Series) -> list[Any]:
    return [*kind, series.count, _seconds(series.last), [_seconds(time) for time in series.times]]


def _series(rows: Any) -> dict[Kind, Series]:
    series: dict[Kind, Series] = {}
    for cause, reason, count, last, times in _at_most(KINDS, rows):
        kind = (Cause(cause), None if reason is None else _whole(reason))
        moments = [_time(time) for time in _at_most(MOST_SESSIONS, times)]
        series[kind] = Series(moments, _whole(count), _time_or_none(last))
    return series


def _said(rows: Any) -> frozenset[tuple[Cause | None, Rule]]:
    most = (len(Cause) + 1) * len(Rule)
    return frozenset((None if cause is None else Cause(cause), Rule(rule)) for cause, rule in _at_most(most, rows))


def _tried(rows: Any) -> list[tuple[datetime | None, str]]:
    return [(_time_or_none(at), _text(reason)) for at, reason in _at_most(SCANNER_REASONS, rows)]


def _seconds(at: datetime | None) -> int | float | None:
    if at is None:
        return None
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    whole, rest = divmod(since // _MICROSECOND, 1_000_000)
    return whole if not rest else whole + rest / 1_000_000


def _time(value: Any) -> datetime:
    if type(value) not in (int, float):
        raise TypeError("a time is a number")
    whole = int(value)  # apart from the fraction, so that no microsecond is lost to rounding (until 2242)
    return _EPOCH + timedelta(seconds=whole, microseconds=round((value - whole) * 1_000_000))


def _time_or_none(value: Any) -> datetime | None:
    return None if value is None else _time(value)


def _at_most(most: int, rows: Any) -> list[Any]:
    if not isinstance(rows, list) or len(rows) > most:
        raise ValueError("more than is ever kept")
    return rows


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a count is expected")
    return value


def _one(value: Any) -> bool:
    if type(value) is not int or value != 1:
        raise ValueError("a flag that is not set is not written")
    return True


_READERS: dict[str, Callable[[Any], Any]] = {
    "series": _series,
    "door_failures": _whole,
    "useless": lambda value: frozenset(map(Level, _at_most(len(Level), value))),
    "said": _said,
    "tried": _tried,
    "evidence": lambda value: list(map(_text, _at_most(EVIDENCE_LINES, value))),
}
