"""Time stamps become aware datetimes; what they leave out comes from the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.stamp import Calendar

BERLIN = timezone(timedelta(hours=1))
WRITTEN = datetime(2024, 11, 30, 12, 0, tzinfo=BERLIN)

THAT_MOMENT = datetime(2024, 11, 21, 0, 42, 35, tzinfo=BERLIN)
A_BIT_LATER = THAT_MOMENT.replace(microsecond=123456)

STAMPS = {
    "Nov 21 00:42:35": THAT_MOMENT,
    "Thu Nov 21 00:42:35": THAT_MOMENT,
    "Nov 21 2024 00:42:35": THAT_MOMENT,
    "2024 Nov 21 00:42:35": THAT_MOMENT,
    "Nov 21 00:42:35 2024": THAT_MOMENT,
    "Nov 21 00:42:35.123456": A_BIT_LATER,
    "Nov 21 00:42:35.123456789": A_BIT_LATER,
    "Nov 21 00:42:35.1": THAT_MOMENT.replace(microsecond=100_000),
    "2024-11-21T00:42:35+01:00": THAT_MOMENT,
    "2024-11-21T00:42:35+0100": THAT_MOMENT,
    "2024-11-20T23:42:35Z": THAT_MOMENT,
    "2024-11-20T23:42:35.123456Z": A_BIT_LATER,
    "2024-11-20T20:12:35-03:30": THAT_MOMENT,
    "2024-11-21T05:12:35.123456789+05:30": A_BIT_LATER,
    "2024-11-21T00:42:35": THAT_MOMENT,
    "2024-11-21 00:42:35": THAT_MOMENT,
    "2024-11-21 00:42:35,123456": A_BIT_LATER,
    "2024/11/21 00:42:35": THAT_MOMENT,
    "Wed 2024-11-20 23:42:35 UTC": THAT_MOMENT,
    "Thu 2024-11-21 00:42:35 CET": THAT_MOMENT,
    "Thu 2024-11-21 06:42:35 +07": THAT_MOMENT,
    "2024-11-21 06:42:35 +0700": THAT_MOMENT,
    "21/11/2024 à 00:42:35": THAT_MOMENT,
    "21.11.2024 00:42:35": THAT_MOMENT,
    "21/11/2024, 00:42:35": THAT_MOMENT,
    "1732146155.000000": THAT_MOMENT,
    "1732146155123456": A_BIT_LATER,
}


@pytest.mark.parametrize("text", STAMPS)
def test_every_form_is_the_same_moment(text: str) -> None:
    moment = Calendar(WRITTEN, BERLIN).read(text.encode())
    assert moment is not None
    assert moment == STAMPS[text]
    assert moment.utcoffset() is not None


@pytest.mark.parametrize(
    "text",
    ["", "x", "Foo 21 00:42:35", "Nov 31 00:42:35", "Nov  0 00:42:35", "2024-13-01T00:00:00Z", "2024-11-21T25:00:00Z",
     "2024-11-21T00:61:00Z", "0000-11-21T00:00:00Z", "99/99/2024 00:00:00", "Feb 29 2023 00:00:00", "99999999999999999",
     "2024-11-21T00:42:35+99:99", "Nov 21 00:42:35 0000"],
)  # fmt: skip
def test_what_names_no_moment_is_none(text: str) -> None:
    assert Calendar(WRITTEN, BERLIN).read(text.encode()) is None


def test_a_leap_second_is_the_second_before_it() -> None:
    assert Calendar(WRITTEN).read(b"2016-12-31T23:59:60Z") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "year"),
    [
        ("Nov 30 11:59:59", 2024),
        ("Dec  1 11:59:59", 2024),
        ("Dec  2 00:00:00", 2023),
        ("Dec 31 23:59:59", 2023),
        ("Jan  1 00:00:00", 2024),
    ],
)
def test_the_year_is_the_last_one_that_is_not_in_the_future(stamp: str, year: int) -> None:
    calendar = Calendar(WRITTEN, BERLIN)
    moment = calendar.read(stamp.encode())
    assert moment is not None
    assert moment.year == year
    assert calendar.inferred


def test_the_29th_of_february_finds_its_leap_year() -> None:
    moment = Calendar(datetime(2027, 6, 1, tzinfo=UTC)).read(b"Feb 29 12:00:00")
    assert moment == datetime(2024, 2, 29, 12, tzinfo=UTC)


def test_a_log_across_new_year_stays_in_order() -> None:
    calendar = Calendar(datetime(2025, 1, 2, tzinfo=UTC))
    before, after = calendar.read(b"Dec 31 23:59:59"), calendar.read(b"Jan  1 00:00:01")
    assert before is not None
    assert after is not None
    assert after - before == timedelta(seconds=2)


def test_only_a_guessed_year_is_called_inferred() -> None:
    calendar = Calendar(WRITTEN, BERLIN)
    for text in STAMPS:
        if not text.startswith(("Nov 21 00:42:35", "Thu Nov")) or text.endswith("2024"):
            calendar.read(text.encode())
    assert not calendar.inferred


@given(st.datetimes(datetime(2024, 1, 1), datetime(2024, 11, 30)))
def test_a_bsd_stamp_of_the_last_months_comes_back(moment: datetime) -> None:
    text = moment.strftime("%b %e %H:%M:%S").encode()
    assert Calendar(WRITTEN, BERLIN).read(text) == moment.replace(microsecond=0, tzinfo=BERLIN)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_an_rfc_3339_stamp_comes_back(moment: datetime) -> None:
    assert Calendar(WRITTEN).read(moment.isoformat().encode()) == moment


@given(st.binary(max_size=40))
def test_no_stamp_whatever_raises(text: bytes) -> None:
    Calendar(WRITTEN).read(text)


def test_the_memory_of_stamps_is_bounded() -> None:
    calendar = Calendar(WRITTEN)
    for second in range(20_000):
        calendar.read(b"1732%06d.0" % second)
    assert len(calendar._seen) < 5_000
