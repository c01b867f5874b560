"""The fuzzers' checks, for a moment: bytes like those of clients, spoilt, and any bytes at all.

`benchmarks/fuzz_guided.py` goes on where this ends.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import gatewaydialogue
from mailtls.core.hellorecord import read_record, write_record

from .fuzzchecks import CHECKS, SEEDS, check_gateway, mutated

SPOILT = 300


@pytest.mark.parametrize("name", CHECKS)
def test_spoilt_bytes_of_a_client_break_nothing(name: str) -> None:
    chance = Random(f"spoilt {name}")
    for _ in range(SPOILT):
        data = mutated(SEEDS[name](chance), chance)
        assert CHECKS[name](data) is None, data.hex()


@pytest.mark.parametrize("name", CHECKS)
@given(st.binary(max_size=400))
def test_any_bytes_break_nothing(name: str, data: bytes) -> None:
    assert CHECKS[name](data) is None


@pytest.mark.parametrize("name", CHECKS)
def test_what_the_fuzzers_begin_with_is_understood(name: str) -> None:
    """Else they would fuzz the first line of the reader only."""
    chance = Random(name)
    assert len({SEEDS[name](chance) for _ in range(50)}) > 10
    assert read_record(SEEDS["record"](chance)) is not None


def test_the_check_of_the_gateway_sees_a_gateway_that_lets_commands_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail checks nothing."""
    conversation = b"\0" + b"".join(
        bytes((side, len(words))) + words
        for side, words in ((0, b"220 mx\r\n"), (1, b"MAIL FROM:<a@b>\r\n"), (0, b"250 ok\r\n"))
    )
    assert check_gateway(conversation) is None
    monkeypatch.setattr(gatewaydialogue, "HARMLESS", gatewaydialogue.HARMLESS | {b"MAIL"})
    assert "Postfix is told" in (check_gateway(conversation) or "")
    monkeypatch.setattr(gatewaydialogue, "HIDDEN", frozenset({b"STARTTLS"}))
    greeted = b"\0" + b"".join(
        bytes((side, len(words))) + words
        for side, words in ((0, b"220 mx\r\n"), (1, b"EHLO x\r\n"), (0, b"250-mx\r\n250 AUTH LOGIN\r\n"))
    )
    assert check_gateway(greeted) == "[b'AUTH'] offered before TLS"


def test_a_record_that_is_spoilt_is_none_or_another_record() -> None:
    chance = Random(3)
    whole = SEEDS["record"](chance)
    record = read_record(whole)
    assert record is not None
    assert write_record(record) == whole
