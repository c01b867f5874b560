"""Hellos as text: what was written is read, and what somebody put into the database is not believed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.hellotext import LONGEST, read_hello_text, write_hello_text

from .hellotexts import MODERN, RANDOM, message, record, sslv2

HELLOS = [
    record(message(0x0303, [0x1301, 0x002F], MODERN)),
    record(message(0x0301, [0x2F])),
    record(message(0x0303, [0x2F], MODERN))[:120],
    sslv2(0x0002, [0x0700C0, 0x2F]),
]


def hello_of(data: bytes) -> ClientHello:
    hello = read_hello(data)
    assert hello is not None
    return hello


@pytest.mark.parametrize("data", HELLOS)
def test_what_is_written_is_read(data: bytes) -> None:
    text = write_hello_text(hello_of(data))
    assert text is not None
    assert read_hello_text(text) == hello_of(data)
    assert RANDOM.hex() not in text
    assert len(text) < 400


@given(st.binary(max_size=300))
def test_every_hello_that_strangers_send_can_be_kept(data: bytes) -> None:
    hello = read_hello(b"\x16\x03\x01\x01\x2c\x01\0\1\x28\x03\x03" + RANDOM + data)
    text = write_hello_text(hello) if hello is not None else None
    assert text is None or read_hello_text(text) == replace(hello, server_name=(read_hello_text(text) or hello).server_name)  # type: ignore[type-var, union-attr]


def test_a_name_is_made_printable_and_an_endless_hello_is_not_kept() -> None:
    modern = hello_of(HELLOS[0])
    text = write_hello_text(replace(modern, server_name="\x1b[31mmx"))
    assert text is not None
    assert "\x1b" not in text
    assert "\\u001b" not in text
    assert write_hello_text(replace(modern, ciphers=tuple(range(LONGEST)))) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", '{"version":"771"}', '{"version":70000}', '{"version":-1}', '{"version":true}',
        '{"version":771,"ciphers":7}', '{"version":771,"ciphers":["a"]}', '{"version":771,"highest":772}',
        '{"version":771,"protocols":["x"]}', '{"version":771,"truncated":1}', '{"version":771,"ciphers":null}',
        '{"version":null}', '{"version":771,"server_name":7}', "[" * 9000, " " * LONGEST + '{"version":771}',
    ],
)  # fmt: skip
def test_what_is_anything_else_is_not_read(text: str) -> None:
    assert read_hello_text(text) is None


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda each: st.lists(each, max_size=3), max_leaves=5))
def test_a_damaged_field_never_raises(value: object) -> None:
    for name in ("version", "ciphers", "groups", "broken", "protocols", "sslv2_format", "server_name", "flaw"):
        read_hello_text(json.dumps({"version": 771, name: value}))
