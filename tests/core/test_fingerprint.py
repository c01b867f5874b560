"""JA4, by the examples of its own description and by what makes two clients differ."""

from __future__ import annotations

from dataclasses import replace

from mailtls.core.clienthello import ClientHello
from mailtls.core.fingerprint import fingerprint

CHROME = ClientHello(
    0x0303,
    ciphers=(
        0x0A0A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D,
        0x002F, 0x0035,
    ),
    extensions=(
        0x1A1A, 0x0000, 0x0017, 0xFF01, 0x000A, 0x000B, 0x0023, 0x0010, 0x0005, 0x000D, 0x0012, 0x0033, 0x002D, 0x002B,
        0x001B, 0x4469, 0x0015,
    ),
    versions=(0x2A2A, 0x0304, 0x0303),
    signatures=(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601),
    server_name="example.test",
    protocols=(b"h2", b"http/1.1"),
)  # fmt: skip


def test_the_example_of_the_description_comes_out() -> None:
    assert fingerprint(CHROME) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_the_order_of_ciphers_and_extensions_does_not_matter_that_of_signatures_does() -> None:
    shuffled = replace(CHROME, ciphers=CHROME.ciphers[::-1], extensions=CHROME.extensions[::-1])
    assert fingerprint(shuffled) == fingerprint(CHROME)
    turned = replace(CHROME, signatures=(CHROME.signatures or ())[::-1])
    assert fingerprint(turned) != fingerprint(CHROME)


def test_a_hello_without_anything_has_zeros() -> None:
    assert fingerprint(ClientHello(0x0300)) == "ts3i000000_000000000000_000000000000"
    assert fingerprint(ClientHello(0x0002, sslv2_format=True)).startswith("ts2i")
    assert fingerprint(ClientHello(0x0305)).startswith("t00i")


def test_a_protocol_that_is_no_text_is_shown_in_hexadecimal() -> None:
    named = [fingerprint(replace(CHROME, protocols=(name,)))[8:10] for name in (b"smtp", b"\xab", b"\x30\xab", b"h-", b"")]
    assert named == ["sp", "ab", "3b", "6d", "00"]


def test_more_than_ninety_nine_are_ninety_nine() -> None:
    assert fingerprint(replace(CHROME, ciphers=tuple(range(1, 400))))[4:6] == "99"
