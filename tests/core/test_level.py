"""Which level a failure asks for: OpenSSL's reason number decides."""

from __future__ import annotations

import pytest

from mailtls.core.cause import Cause
from mailtls.core.level import NEEDS, Level, levels_for, need_of, reason_number

LEGACY_RSA, LEGACY, SSLV3, CLEARTEXT = Level


@pytest.mark.parametrize(
    ("cause", "number", "levels", "determined"),
    [
        (Cause.PEER_TOO_OLD, 0x102, (LEGACY, CLEARTEXT), True),
        (Cause.PEER_TOO_OLD, 0x18C, (SSLV3, CLEARTEXT), True),
        (Cause.PEER_TOO_OLD, 0x0FC, (SSLV3, CLEARTEXT), True),
        (Cause.NOT_TLS_OR_TOO_OLD, 0x0FC, (SSLV3, CLEARTEXT), True),
        (Cause.PEER_TOO_OLD, None, (LEGACY, SSLV3, CLEARTEXT), False),
        (Cause.NO_SHARED_CIPHER, 0x0C1, (LEGACY_RSA, LEGACY, SSLV3, CLEARTEXT), False),
        (Cause.NO_SHARED_GROUP_OR_SIGALG, 0x076, (LEGACY_RSA, LEGACY, CLEARTEXT), False),
        (Cause.NOT_TLS, 0x10B, (CLEARTEXT,), True),
        (Cause.NOT_TLS, 0x09C, (), True),
        (Cause.NOT_TLS_OR_TOO_OLD, None, (), True),
        (Cause.NETWORK_CUT, None, (), True),
        (Cause.NETWORK_CUT, 0x126, (), True),
        (Cause.TIMEOUT, None, (), True),
        (Cause.PEER_REJECTS_OUR_CERT, 0x418, (), True),
        (Cause.PEER_REJECTS_OUR_VERSION, 0x42E, (), True),
        (Cause.SERVER_MISCONFIGURED, None, (), True),
        (Cause.FALLBACK_SCSV, 0x175, (), True),
        (Cause.UNKNOWN, None, (), True),
    ],
)
def test_the_reason_number_tells_which_levels_would_help(
    cause: Cause, number: int | None, levels: tuple[Level, ...], determined: bool
) -> None:
    need = need_of(cause, number)
    assert (need.levels, need.determined) == (levels, determined)


@pytest.mark.parametrize("number", [0x18C, 0x0FC])
def test_sslv3_and_sslv2_hellos_never_ask_for_the_legacy_door(number: int) -> None:
    for cause in Cause:
        levels = need_of(cause, number).levels if need_of(cause, number).determined else ()
        assert LEGACY not in levels
        assert LEGACY_RSA not in levels


@pytest.mark.parametrize("cause", Cause)
def test_every_need_says_why_and_goes_from_narrow_to_wide(cause: Cause) -> None:
    for number in (None, *(number for _, number in NEEDS)):
        need = need_of(cause, number)
        assert need.why
        assert need.why[0].islower() and not need.why.endswith(".")
        assert list(need.levels) == sorted(need.levels, key=lambda level: level.depth)


def test_a_floor_reaches_itself_and_what_is_narrower() -> None:
    reached = [[floor.reaches(level) for level in Level] for floor in Level]
    assert reached == [[True] + [False] * 3, [True] * 2 + [False] * 2, [True] * 3 + [False], [True] * 4]


def test_levels_for_a_cause_are_those_of_all_its_reasons() -> None:
    assert levels_for(Cause.PEER_TOO_OLD) == (LEGACY, SSLV3, CLEARTEXT)
    assert levels_for(Cause.TIMEOUT) == ()


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        (0x102, None, 0x102),
        (0x102, "version too low", 0x102),
        (None, "unsupported protocol", 0x102),
        (None, " Version Too Low", 0x18C),
        (None, "unknown protocol", 0x0FC),
        (None, "no shared cipher", 0x0C1),
        (None, "wrong version number", 0x10B),
        (None, "lost connection", None),
        (None, None, None),
    ],
)
def test_the_text_stands_in_where_a_line_has_no_number(number: int | None, text: str | None, expected: int) -> None:
    assert reason_number(number, text) == expected
