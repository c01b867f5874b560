"""The openssl command is asked what a list means; a list that means nothing is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailtls.edge.opensslciphers import ciphers_of
from mailtls.errors import ConfigError


def test_grades_and_lists_are_understood() -> None:
    high = {suite.name for suite in ciphers_of("high")}
    assert {"ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA"} <= high <= {suite.name for suite in ciphers_of("MEDIUM")}
    assert [suite.name for suite in ciphers_of("AES256-SHA") if suite.oldest < 0x0304] == ["AES256-SHA"]


@pytest.mark.parametrize("text", ["-s", "--help"])
def test_an_option_is_no_list(text: str) -> None:
    with pytest.raises(ConfigError, match="is no list of ciphers"):
        ciphers_of(text)


def test_a_list_that_openssl_does_not_take_is_one_sentence() -> None:
    with pytest.raises(ConfigError) as raised:
        ciphers_of("@NONSENSE=\x1b[31m")
    assert str(raised.value).startswith("'@NONSENSE=?[31m' means no cipher to this OpenSSL")


def test_without_the_command_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt install openssl"):
        ciphers_of("high")
