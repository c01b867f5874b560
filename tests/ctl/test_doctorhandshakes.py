"""What `doctor --handshakes` says where somebody lets it wait; the rest is shown with a real Postfix."""

from __future__ import annotations

import pytest

from mailtls.ctl import run
from mailtls.ctl.doctorhandshakes import _warn


def test_hellos_that_take_long_are_said_to_with_what_makes_them_wait(capsys: pytest.CaptureFixture[str]) -> None:
    _warn(0.02, 500)
    assert capsys.readouterr().err == ""
    _warn(6.1, 500)
    said = capsys.readouterr().err
    assert said.startswith("mailtlsctl: each hello takes 6 s here, all 500 about 51 minutes: postscreen lets")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--handshakes", "--nagios"), "--nagios is about findings"),
        (("--service", "smtp"), "--service belongs to --handshakes"),
        (("--handshakes", "--count", "0"), "'--count'"),
        (("--handshakes", "--config-dir", "/nowhere"), "/nowhere: there is no main.cf"),
    ],
)
def test_wrong_usage_is_one_sentence(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("doctor", *words)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
