"""A log that runs backwards is noticed; one that runs forwards is never turned round."""

from __future__ import annotations

import pytest

from mailtls.core.order import newest_first
from mailtls.core.stamp import Calendar

from .reading import NOW, smtpd

SESSION = ["connect from x[192.0.2.1]", "SSL_accept error from x[192.0.2.1]: -1", "disconnect from x[192.0.2.1]"]


def log(*seconds: int) -> list[bytes]:
    return [line.encode() for second in seconds for line in smtpd("x", stamp=f"Nov 21 00:42:{second:02d}")]


def one_second(lines: list[str]) -> list[bytes]:
    return [line.encode() for line in smtpd(*lines)]


@pytest.mark.parametrize(
    ("lines", "backwards"),
    [
        (log(3, 2, 1), True),
        (log(3, 3, 2, 2, 1), True),
        (log(1, 2, 3), False),
        (log(1, 1, 1), False),
        (log(3, 1, 2), False),
        (log(5, 4, 3, 2, 9), False),
        (log(2, 1), False),  # two lines out of order are no log that runs backwards
        (log(), False),
        (one_second(SESSION), False),
        (one_second(SESSION[::-1]), True),
        (one_second([*SESSION, *SESSION]), False),
        (one_second([*SESSION, *SESSION][::-1]), True),
        (one_second(SESSION[1:]), False),
        ([b"no header"] * 5, False),
        ([b"postfix/smtpd[1]: connect from x[192.0.2.1]"] * 5, False),
    ],
)
def test_a_log_runs_backwards_only_if_every_line_does(lines: list[bytes], backwards: bool) -> None:
    assert newest_first(lines, Calendar(NOW)) is backwards


def test_lines_without_stamps_between_do_not_matter() -> None:
    lines = log(3, 2, 1)
    assert newest_first([lines[0], b"", b"junk", lines[1], b"--", lines[2]], Calendar(NOW))
