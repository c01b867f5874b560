"""Time stamps of logs: recognise, and turn into aware datetimes.

Forms: BSD syslog (`Nov 21 00:42:35`, with fractions or a year where a daemon adds them), RFC 3339 and its relatives
(rsyslog, journald short-iso, Dovecot's own `2017-01-09 16:04:20`), seconds since 1970 (journald short-unix and JSON),
and the day-first form of web tables (`28/06/2018 à 16:32:52`).

A BSD stamp has neither year nor zone: both come from a `Calendar` that the caller derives from the file. The year is
chosen so that no line is later than the calendar's reference by more than a day; a log that crosses New Year's Eve
comes out right as long as it is shorter than a year.

BUGS: a line without zone is taken to be in the calendar's zone, and so is one with a zone's name other than UTC
(journald short-full); the repeated hour in autumn is read once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}

# One alternative a form; all quantifiers are bounded, so no text can make it slow.
_CLOCK = rb"\d\d:\d\d:\d\d"
STAMP = (
    rb"(?:"
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:\d{4} )?[A-Z][a-z]{2} [ \d]?\d(?: \d{4})? "
    + _CLOCK
    + rb"(?:\.\d{1,9})?(?: \d{4}(?= ))?"
    rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d " + _CLOCK + rb"(?:\.\d{1,9})? (?:[A-Z]{2,5}|[+-]\d\d)(?= )"
    rb"|\d{4}[-/]\d\d[-/]\d\d[T ]" + _CLOCK + rb"(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d| UTC| [+-]\d{4})?"
    rb"|\d{1,2}[./]\d{1,2}[./]\d{4},?(?: (?:\xc3\xa0|\xe0))? " + _CLOCK + rb"|\d{10}\.\d{1,9}"
    rb")"
)
_BSD = re.compile(
    rb"(?:[A-Z][a-z]{2},? )?(?:(\d{4}) )?([A-Z][a-z]{2}) ([ \d]?\d)(?: (\d{4}))? "
    rb"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: (\d{4}))?"
)
_ISO = re.compile(
    rb"(?:[A-Z][a-z]{2} )?(\d{4})[-/](\d\d)[-/](\d\d)[T ]"
    rb"(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?)| [A-Z]{2,5})?"
)
_DAY_FIRST = re.compile(rb"(\d{1,2})[./](\d{1,2})[./](\d{4})\D{0,5} (\d\d):(\d\d):(\d\d)")
_EPOCH = re.compile(rb"\d{10}(?:\.\d{1,9})?")
_EPOCH_MICROSECONDS = re.compile(rb"\d{16}")
_CACHE_LIMIT = 4096


@dataclass(slots=True)
class Calendar:
    """What the stamps leave out. `reference`: when the log was last written (aware); `zone`: of stamps without one."""

    reference: datetime
    zone: tzinfo = UTC
    inferred: bool = False
    _seen: dict[bytes, datetime | None] = field(default_factory=dict)

    def read(self, stamp: bytes) -> datetime | None:
        """Turn a stamp into an aware datetime; None where it has no known form or names no real moment."""
        if stamp in self._seen:
            return self._seen[stamp]
        if len(self._seen) >= _CACHE_LIMIT:
            self._seen.clear()
        try:
            moment = self._parse(stamp)
        except (ValueError, OverflowError):
            moment = None
        self._seen[stamp] = moment
        return moment

    def _parse(self, stamp: bytes) -> datetime | None:
        if match := _ISO.fullmatch(stamp):
            year, month, day, hour, minute, second, fraction, zone = match.groups()
            return self._moment(year, month, day, hour, minute, second, fraction, self._zone(zone))
        if match := _BSD.fullmatch(stamp):
            return self._bsd(match.groups())
        if match := _DAY_FIRST.fullmatch(stamp):
            day, month, year, hour, minute, second = match.groups()
            return self._moment(year, month, day, hour, minute, second, None, self.zone)
        if _EPOCH_MICROSECONDS.fullmatch(stamp):
            return datetime.fromtimestamp(int(stamp) / 1_000_000, UTC)
        if _EPOCH.fullmatch(stamp):
            return datetime.fromtimestamp(float(stamp), UTC)
        return None

    def _bsd(self, groups: tuple[bytes | None, ...]) -> datetime | None:
        year_before, month_name, day, year_between, hour, minute, second, fraction, year_behind = groups
        month = _MONTHS.get(month_name or b"")
        if month is None:
            return None
        known = year_before or year_between or year_behind
        if known:
            return self._moment(known, b"%d" % month, day, hour, minute, second, fraction, self.zone)
        self.inferred = True
        latest = self.reference + timedelta(days=1)
        for year in range(latest.year, latest.year - 9, -1):  # nine years: 29 February needs up to eight
            try:
                moment = self._moment(b"%d" % year, b"%d" % month, day, hour, minute, second, fraction, self.zone)
            except ValueError:
                continue
            if moment <= latest:
                return moment
        return None

    @staticmethod
    def _moment(
        year: bytes | None,
        month: bytes | None,
        day: bytes | None,
        hour: bytes | None,
        minute: bytes | None,
        second: bytes | None,
        fraction: bytes | None,
        zone: tzinfo,
    ) -> datetime:
        microsecond = int((fraction or b"0")[:6].ljust(6, b"0"))
        return datetime(  # a leap second is the second before it
            int(year or 0), int(month or 0), int(day or 0), int(hour or 0), int(minute or 0),
            min(int(second or 0), 59), microsecond, zone,
        )  # fmt: skip

    def _zone(self, text: bytes | None) -> tzinfo:
        if text is None:
            return self.zone
        if text in (b"Z", b"UTC"):
            return UTC
        minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(b":") or 0)
        return timezone(timedelta(minutes=-minutes if text[:1] == b"-" else minutes))
