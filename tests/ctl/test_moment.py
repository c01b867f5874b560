"""`--since` and `--until`: points in time, durations before now, and one sentence for anything else."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.ctl.moment import read_moment, read_span
from mailtls.errors import ConfigError

WITH_OFFSET = [
    ("2026-11-21T10:00:00Z", datetime(2026, 11, 21, 10, tzinfo=UTC)),
    ("2026-11-21T10:00:00+01:00", datetime(2026, 11, 21, 10, tzinfo=timezone(timedelta(hours=1)))),
    ("2026-11-21 10:00-05:30", datetime(2026, 11, 21, 10, tzinfo=timezone(-timedelta(hours=5, minutes=30)))),
    ("2026-11-21T10:00:00.250Z", datetime(2026, 11, 21, 10, 0, 0, 250_000, tzinfo=UTC)),
    (" 2026-11-21T10:00:00Z ", datetime(2026, 11, 21, 10, tzinfo=UTC)),
]
LOCAL = [
    ("2026-11-21", datetime(2026, 11, 21)),
    ("2026-11-21 10:00", datetime(2026, 11, 21, 10)),
    ("2026-11-21T10:00:30", datetime(2026, 11, 21, 10, 0, 30)),
]
REFUSED = ["", "yesterday", "24 h", "-24h", "7", "now", "1d12h", "21.11.2026", "2026-11", "20261121", "2026-W47-6",
           "2026-13-01", "2026-02-30", "2026-11-21 25:00", "2026-11-21T10", "0001-01-01",
           "٢٠٢٦-11-21", "\x1b[31m2026-11-21", "x" * 5000]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), WITH_OFFSET)
def test_a_time_with_an_offset_is_that_instant(written: str, meant: datetime) -> None:
    assert read_moment("--since", written) == meant


@pytest.mark.parametrize(("written", "meant"), LOCAL)
def test_a_time_without_offset_is_of_this_machines_zone(written: str, meant: datetime) -> None:
    assert read_moment("--since", written) == meant.astimezone()


def test_the_zone_is_taken_from_the_environment_of_the_command() -> None:
    code = "from mailtls.ctl.moment import read_moment; print(read_moment('--since', '2026-07-01').isoformat())"
    seen = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TZ": "XYZ-3"}, capture_output=True, text=True, check=True
    )
    assert seen.stdout.strip() == "2026-07-01T00:00:00+03:00"


@pytest.mark.parametrize(("written", "length"), [("24h", timedelta(hours=24)), (" 2w ", timedelta(days=14))])
def test_a_duration_is_so_long_before_now(written: str, length: timedelta) -> None:
    before = datetime.now(UTC)
    moment = read_moment("--since", written)
    assert moment is not None
    assert before - length <= moment <= datetime.now(UTC) - length


def test_a_duration_that_leaves_the_calendar_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--since: .*more than ten years"):
        read_moment("--since", "99999999d")


@pytest.mark.parametrize("written", REFUSED)
def test_anything_else_is_refused_in_one_printable_sentence(written: str) -> None:
    with pytest.raises(ConfigError, match=r"^--until: .*write 2026-11-21, '2026-11-21 10:00', .* or 24h") as refused:
        read_moment("--until", written)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


@given(st.text(max_size=40))
def test_no_text_is_more_than_refused(written: str) -> None:
    try:
        moment = read_moment("--since", written)
    except ConfigError:
        return
    assert moment is not None
    assert moment.tzinfo is not None


def test_an_option_that_was_not_given_stays_open() -> None:
    assert read_span(None, None) == (None, None)


@pytest.mark.parametrize("until", ["2026-11-20", "2026-11-21"])
def test_a_span_without_any_instant_is_refused(until: str) -> None:
    with pytest.raises(ConfigError, match=f"--since 2026-11-21 is not before --until {until}"):
        read_span("2026-11-21", until)
