"""Hellos are read whatever they are: whole, cut, in pieces, of SSLv2, or nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.clienthello import BAD_EXTENSION, LENGTH_MISMATCH, LONGEST, ClientHello, read_hello

from .hellotexts import MODERN, extension, message, numbers, record, sized, sslv2

WHOLE = record(message(0x0303, [0x1301, 0xC02B, 0x002F], MODERN))


def read(data: bytes) -> ClientHello:
    hello = read_hello(data)
    assert hello is not None
    return hello


def test_all_that_a_modern_client_offers_is_read() -> None:
    assert read(WHOLE) == ClientHello(
        0x0303,
        ciphers=(0x1301, 0xC02B, 0x002F),
        extensions=(0, 10, 11, 13, 16, 23, 35, 43, 51),
        versions=(0x0304, 0x0303),
        groups=(0x1D, 0x17),
        key_shares=(0x1D,),
        signatures=(0x0403, 0x0804, 0x0401),
        point_formats=(0,),
        server_name="mx.example.test",
        protocols=(b"smtp",),
    )
    assert read(WHOLE).highest == 0x0304
    assert read(WHOLE).extended_master_secret
    assert read(WHOLE).session_ticket


def test_an_old_client_has_no_extensions_at_all() -> None:
    hello = read(record(message(0x0300, [0x000A, 0x0005]), 0x0300))
    assert hello == ClientHello(0x0300, ciphers=(0x000A, 0x0005))
    assert hello.highest == 0x0300
    assert not hello.session_ticket


def test_the_format_of_sslv2_is_read_with_the_kinds_that_only_it_has() -> None:
    hello = read(sslv2(0x0301, [0x0700C0, 0x00002F, 0x010080]))
    assert hello == ClientHello(0x0301, ciphers=(0x002F,), sslv2_format=True, sslv2_kinds=(0x0700C0, 0x010080))


def test_fragments_are_put_together_and_the_next_message_is_not_read() -> None:
    whole = message(0x0303, [0x1301], MODERN)
    pieces = record(whole[:3]) + record(b"") + record(whole[3:70]) + record(whole[70:] + b"\x14more")
    assert read(pieces) == read(record(whole))


@pytest.mark.parametrize("size", range(11, len(WHOLE)))
def test_of_what_is_cut_off_the_beginning_is_read(size: int) -> None:
    hello = read(WHOLE[:size])
    assert hello.truncated
    assert hello.flaw is None
    assert not hello.broken
    assert read(WHOLE).ciphers[: len(hello.ciphers)] == hello.ciphers


def test_what_is_cut_in_the_key_share_has_lost_nothing_that_matters() -> None:
    whole, cut = read(WHOLE), read(WHOLE[:-20])
    assert (cut.versions, cut.ciphers, cut.groups, cut.signatures) == (
        whole.versions,
        whole.ciphers,
        whole.groups,
        whole.signatures,
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x16",
        b"\x16\x03\x01",
        b"EHLO client.test\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        record(b"\x02" + sized(bytes(40), 3)),  # another message
        b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
        record(b"\x01\x00\x00\x00\x00\x00"),
        record(b"\x01\x00\x00\x01\x03\x03"),
        b"\x16\x02\x00\x00\x05\x01\x00\x00\x01\x00",
    ],
)
def test_what_begins_no_hello_is_none(data: bytes) -> None:
    assert read_hello(data) is None


@pytest.mark.parametrize(
    ("extensions", "flaw"),
    [
        (MODERN + extension(23, b""), BAD_EXTENSION),  # twice
        (MODERN + b"\x00\x0a\x00\x09", BAD_EXTENSION),  # longer than what is there
        (extension(41, b"x") + MODERN, BAD_EXTENSION),  # RFC 8446 section 4.2.11: last
        (MODERN + extension(999, b"") + extension(999, b""), None),  # of the unknown nobody cares
    ],
)
def test_extensions_that_make_no_sense_together_are_a_flaw(extensions: bytes, flaw: int | None) -> None:
    assert read(record(message(0x0303, [0x1301], extensions))).flaw == flaw


@pytest.mark.parametrize(
    "spoilt",
    [
        extension(10, b"\0\0"),
        extension(10, b"\0\3\0\x17\0"),
        extension(13, b"\0\0"),
        extension(13, b"\0\2\4\3\0"),
        extension(11, b"\0"),
        extension(0, sized(b"\1" + sized(b"x", 2), 2)),
        extension(0, sized(b"\0" + sized(b"a\0b", 2), 2)),
        extension(16, sized(sized(b"", 1), 2)),
        extension(23, b"x"),
        extension(43, b"\3\3\4\3"),
        extension(51, sized(numbers([0x1D]) + b"\0\0", 2)),
        extension(51, b"\0\x09\0\x1d"),
    ],
)
def test_an_extension_that_makes_no_sense_in_itself_is_named(spoilt: bytes) -> None:
    hello = read(record(message(0x0303, [0x1301], spoilt)))
    assert hello.broken == {int.from_bytes(spoilt[:2], "big")}
    assert hello.flaw is None


def test_lengths_that_do_not_add_up_are_a_flaw() -> None:
    whole = message(0x0303, [0x1301], MODERN)
    longer = b"\x01" + sized(whole[4:] + b"x", 3)
    assert read(record(longer)).flaw == LENGTH_MISMATCH
    assert read(record(b"\x01" + sized(whole[4:60], 3))).flaw == LENGTH_MISMATCH
    odd = whole.replace(sized(numbers([0x1301]), 2), sized(b"\x13\x01\x00", 2))
    assert read(record(b"\x01" + sized(odd[4:], 3))).uneven
    assert read(sslv2(0x0301, [0x2F]) + b"tail") == read(sslv2(0x0301, [0x2F]))


def test_a_name_is_kept_as_text_whatever_its_bytes() -> None:
    named = extension(0, sized(b"\0" + sized(b"\xff\x1b[2J", 2), 2))
    assert read(record(message(0x0303, [1], named))).server_name == "\\xff\x1b[2J"


@given(st.binary(max_size=400))
def test_no_bytes_raise(data: bytes) -> None:
    for start in (b"", b"\x16\x03\x01", WHOLE[:9], WHOLE[:60], b"\x80\x2e\x01"):
        read_hello(start + data)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4), st.integers(0, len(WHOLE)))
def test_no_change_of_a_real_hello_raises(place: int, change: bytes, size: int) -> None:
    read_hello((WHOLE[:place] + change + WHOLE[place + len(change) :])[:size])


def test_a_hello_without_end_is_read_to_a_limit() -> None:
    hello = read(b"\x16\x03\x01\xff\xff\x01\xff\xff\xff" + b"\x03\x03" + bytes(32) + b"\0\xff\xfe" + b"\x13\x01" * LONGEST)
    assert hello.truncated
    assert len(hello.ciphers) <= LONGEST // 2
