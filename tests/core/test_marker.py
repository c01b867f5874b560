"""Words that tell a line about TLS."""

from __future__ import annotations

import pytest

from mailtls.core.marker import MARKERS, has_marker


@pytest.mark.parametrize("marker", MARKERS)
def test_every_marker_is_found_wherever_it_stands(marker: bytes) -> None:
    assert has_marker(marker)
    assert has_marker(b"Nov 21 00:42:35 mx x[1]: " + marker + b" and more")
    assert not has_marker(marker[:-1])


def test_other_lines_have_none() -> None:
    assert not has_marker(b"Nov 21 00:42:35 mx postfix/smtpd[1]: connect from mx.example.com[192.0.2.7]")
