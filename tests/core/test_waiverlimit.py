"""What a waiver may be limited to, as a person writes it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mailtls.core.level import Level
from mailtls.core.waiver import UNLIMITED, WaiverLimits
from mailtls.core.waiverlimit import LARGEST, MOST, Limited, limit_fault, limited, parse_size, said


@pytest.mark.parametrize(("text", "size"), [("1", 1), (500, 500), ("500k", 512_000), ("10M", 10_485_760), ("1G", 1 << 30)])
def test_a_size_is_bytes_or_has_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5M", "10m", "9999999999G", True, None, "١"])
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


def test_limits_go_through_the_protocol_and_nothing_is_nothing() -> None:
    limits = WaiverLimits(("a.example",), ("b@c.example",), 5)
    there = limited(limits)
    assert there is not None
    assert Limited.model_validate_json(there.model_dump_json()).limits() == limits
    assert limited(UNLIMITED) is None
    with pytest.raises(ValidationError):
        Limited(senders=("a",) * (MOST + 1))
    with pytest.raises(ValidationError):
        Limited(size=LARGEST + 1)


@pytest.mark.parametrize(
    ("limits", "level", "words"),
    [
        (WaiverLimits(("a b",)), Level.LEGACY, "no host name"),
        (WaiverLimits((), ("a@",)), Level.LEGACY, "no recipient"),
        (WaiverLimits((), ("a\x1b@b.example",)), Level.LEGACY, "no recipient"),
        (WaiverLimits(("a.example",) * (MOST + 1)), Level.LEGACY, "at most"),
        (WaiverLimits((), ("a@b.example",)), Level.CLEARTEXT, "at a door only"),
    ],
)
def test_limits_that_cannot_be_meant_are_said(limits: WaiverLimits, level: Level, words: str) -> None:
    assert words in (limit_fault(limits, level) or "")


def test_limits_that_can_be_held_have_no_fault() -> None:
    assert limit_fault(WaiverLimits((".a.example",), ("b@c.example", ".d.example"), 5), Level.SSLV3) is None
    assert limit_fault(WaiverLimits(("a.example",), (), 5), Level.CLEARTEXT) is None


def test_limits_are_told_in_a_clause() -> None:
    assert said(WaiverLimits(("a.example",), ("b@c.example",), 2048)) == (
        "only mail from a.example to b@c.example up to 2,048 bytes"
    )
    assert said(UNLIMITED) == ""
