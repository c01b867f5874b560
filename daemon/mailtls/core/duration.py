"""Durations as operators write them: a number and one unit, `90s`, `10m`, `24h`, `30d`, `2w`.

One unit only, so that a typing error cannot turn days into minutes unnoticed; nothing longer than ten years, so
that no sum of a log's date and a duration leaves the calendar.
"""

from __future__ import annotations

import re
from datetime import timedelta

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST = timedelta(days=3660)
_WORDS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_DURATION = re.compile(r"([0-9]{1,10})([smhdw])")


def parse_duration(text: object) -> timedelta:
    """Read a duration such as `24h`; anything else is a ValueError whose text says what to write."""
    if isinstance(text, timedelta):
        return text
    if type(text) is int:  # and not a bool, which is one too
        raise ValueError(f'{text} has no unit; write it in quotes with s, m, h or d behind it, for example "{text}d"')
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f'{text!r} is no duration; write a whole number and s, m, h or d, for example "24h"')
    seconds = int(match[1]) * SECONDS[match[2]]
    if seconds > LONGEST.total_seconds():
        raise ValueError(f'"{text}" is more than ten years; write at most "{LONGEST.days}d"')
    return timedelta(seconds=seconds)


def say_duration(length: timedelta) -> str:
    """Spell a duration for a sentence in the largest unit that says it exactly: `24 hours`, `10 minutes`."""
    seconds = int(length.total_seconds())
    if seconds == 86400:
        return "24 hours"
    for word, size in _WORDS:
        if seconds and seconds % size == 0:
            count = seconds // size
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    return "0 seconds"
