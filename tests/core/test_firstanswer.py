"""A server's first record becomes version and cipher, an alert, or nothing; no bytes raise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.firstanswer import RETRY, FirstAnswer, read_first_answer, wanted
from mailtls.core.octets import extension, sized


def server_hello(version: int, cipher: int, extensions: bytes = b"", random: bytes = bytes(32)) -> bytes:
    body = version.to_bytes(2, "big") + random + sized(b"session", 1) + cipher.to_bytes(2, "big") + b"\0"
    body += sized(extensions, 2) if extensions else b""
    return b"\x16\x03\x03" + sized(b"\x02" + sized(body, 3), 2)


def test_a_server_hello_says_version_and_cipher() -> None:
    assert read_first_answer(server_hello(0x0301, 0x002F)) == FirstAnswer(0x0301, 0x002F)


def test_tls_1_3_stands_in_an_extension() -> None:
    more = extension(51, b"xy") + extension(43, b"\x03\x04")
    assert read_first_answer(server_hello(0x0303, 0x1301, more)) == FirstAnswer(0x0304, 0x1301)
    assert read_first_answer(server_hello(0x0303, 0x1301, more, RETRY)) == FirstAnswer(0x0304, 0x1301, retry=True)


def test_an_alert_is_its_number() -> None:
    assert read_first_answer(b"\x15\x03\x01\0\x02\x02\x28") == FirstAnswer(alert=40)


def test_anything_else_is_as_if_the_server_had_closed() -> None:
    for data in (b"", b"220 mx ESMTP\r\n", server_hello(0x0303, 0x2F)[:40], b"\x16\x03\x03\0\x04\x0e\0\0\0"):
        assert read_first_answer(data) == FirstAnswer()


@given(st.binary(max_size=120), st.integers(0, 120), st.integers(0, 255))
def test_no_bytes_raise(tail: bytes, at: int, value: int) -> None:
    whole = server_hello(0x0303, 0x1301, extension(43, b"\x03\x04"))
    spoilt = whole[:at] + bytes([value]) + whole[at + 1 :]
    for data in (tail, whole[:at] + tail, spoilt):
        read_first_answer(data)
        assert wanted(data) >= 5
