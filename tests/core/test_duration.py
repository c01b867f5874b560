"""Durations as operators write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailtls.core.duration import parse_duration, say_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(hours=24)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta(0)),
        ("3660d", timedelta(days=3660)),
        (timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_a_number_with_one_unit_is_a_duration(text: object, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (30, '"30d"'),
        ("30", '"24h"'),
        ("30 days", '"24h"'),
        ("1h30m", '"24h"'),
        ("-1d", '"24h"'),
        ("1.5h", '"24h"'),
        ("٣d", '"24h"'),  # digits of another script
        ("30d\n", '"24h"'),
        ("", '"24h"'),
        (True, "True is no duration"),
        (None, "None is no duration"),
        (["30d"], "no duration"),
        ("3661d", "ten years"),
        ("9999999999w", "ten years"),
        ("99999999999999w", '"24h"'),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text: object, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_duration(text)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(hours=24), "24 hours"),
        (timedelta(days=30), "30 days"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=61), "61 seconds"),
        (timedelta(0), "0 seconds"),
        (timedelta(milliseconds=5), "0 seconds"),
    ],
)
def test_a_duration_is_said_in_the_largest_unit_that_is_exact(length: timedelta, words: str) -> None:
    assert say_duration(length) == words
