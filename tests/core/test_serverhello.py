"""What servers say is read whatever it is: whole, in pieces, cut off, of SSLv2, or nonsense."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.octets import extension, numbers, sized
from mailtls.core.serverhello import LONGEST, FlightReader, ServerAnswer
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS10, TLS12, TLS13

from .serverworld import (
    DONE,
    RETRY,
    alert,
    certificate,
    curve_key,
    message,
    prime_key,
    record,
    server_hello,
    sslv2_server_hello,
)

ECDHE_RSA, DHE_RSA, RSA, ADH = 0xC02F, 0x009E, 0x002F, 0x0034
WHOLE = record(22, server_hello(TLS12, ECDHE_RSA, extension(35, b"")) + certificate(b"own", b"authority")) + record(
    22, curve_key(0x001D, 0x0804) + DONE
)


def read(*pieces: bytes, why: str = "") -> ServerAnswer:
    reader = FlightReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.close(why)


def test_a_flight_of_tls_1_2_is_read_to_where_the_server_waits() -> None:
    assert read(WHOLE) == ServerAnswer(
        TLS12, ECDHE_RSA, (35,), group=0x001D, signature=0x0804, chain=(b"own", b"authority"), whole=True
    )


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_it_does_not_matter_in_which_pieces_it_comes(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    assert read(*(WHOLE[a:b] for a, b in itertools.pairwise(places))) == read(WHOLE)


@pytest.mark.parametrize("size", range(1, len(WHOLE)))
def test_of_what_is_cut_off_the_beginning_is_read(size: int) -> None:
    answer = read(WHOLE[:size])
    assert not answer.whole
    assert answer.accepted or answer.fault == "the connection was closed in the middle of the answer"
    assert not answer.refused


def test_in_tls_1_3_the_rest_is_encrypted_and_not_waited_for() -> None:
    version, share = extension(43, numbers([TLS13])), extension(51, numbers([0x001D]) + sized(b"key", 2))
    answer = read(record(22, server_hello(TLS13, 0x1301, version + share)), b"anything")
    assert answer == ServerAnswer(TLS13, 0x1301, (43, 51), group=0x001D, whole=True)


def test_a_request_for_another_key_names_suite_and_group() -> None:
    version, share = extension(43, numbers([TLS13])), extension(51, numbers([0x0018]))
    answer = read(record(22, server_hello(TLS13, 0x1302, version + share, RETRY)))
    assert (answer.cipher, answer.group, answer.retry) == (0x1302, 0x0018, True)


@pytest.mark.parametrize(("bits", "version", "signature"), [(512, TLS10, None), (1024, TLS12, 0x0201), (2048, TLS12, 0x0401)])
def test_the_size_of_a_prime_is_read(bits: int, version: int, signature: int | None) -> None:
    answer = read(record(22, server_hello(version, DHE_RSA) + certificate(b"own") + prime_key(bits, signature) + DONE))
    assert (answer.prime_bits, answer.signature) == (bits, signature)


def test_without_a_certificate_nothing_is_signed() -> None:
    answer = read(record(22, server_hello(TLS12, ADH) + prime_key(1024, None) + DONE))
    assert (answer.chain, answer.prime_bits, answer.signature) == ((), 1024, None)


def test_a_server_of_ssl_3_has_no_extensions() -> None:
    assert read(record(22, server_hello(SSLV3, RSA) + certificate(b"own") + DONE)).version == SSLV3


def test_a_server_of_ssl_2_lists_its_suites_and_shows_its_certificate() -> None:
    answer = read(sslv2_server_hello((0x0700C0, 0x010080)))
    assert (answer.version, answer.sslv2_kinds, answer.chain) == (SSLV2, (0x0700C0, 0x010080), (b"rsa certificate",))


def test_a_server_that_asks_for_a_certificate_is_noted() -> None:
    assert read(record(22, server_hello(TLS12, RSA) + certificate(b"own") + message(13, b"...") + DONE)).asks_certificate


@pytest.mark.parametrize("number", [40, 70, 80, 255])
def test_an_alert_is_a_refusal(number: int) -> None:
    answer = read(alert(number))
    assert (answer.alert, answer.refused, answer.whole) == (number, True, True)


def test_a_warning_about_the_name_ends_nothing() -> None:
    answer = read(alert(112, level=1) + WHOLE)
    assert (answer.whole, answer.accepted, answer.warning) == (True, True, 112)


def test_a_server_that_hangs_up_refuses() -> None:
    answer = read()
    assert (answer.closed, answer.refused, answer.fault) == (True, True, "")


def test_a_server_that_is_silent_does_not() -> None:
    answer = read(why="no whole answer came within 5 s")
    assert (answer.refused, answer.fault) == (False, "no whole answer came within 5 s")


@pytest.mark.parametrize(
    ("data", "clause"),
    [
        (b"454 4.7.0 TLS not available\r\n", "the answer is no TLS: '454 4.7.0 TLS not available'"),
        (b"\x1b[31mred\r\n", "the answer is no TLS: bytes 1b 5b 33 31 6d 72 65 64"),
        (b"\xff\xfe\xfd\xfc", "the answer is no TLS: bytes ff fe fd fc"),
        (record(23, b"data"), "a record of type 23 came in place of a ServerHello"),
        (record(22, certificate(b"own")), "a handshake message of type 11 came in place of a ServerHello"),
        (record(22, message(2, b"\3\3")), "a handshake message of type 2 is cut off"),
        (record(22, server_hello(TLS12, RSA) * 2), "a second ServerHello"),
        (record(22, b"\2\xff\xff\xff"), "a handshake message that claims 16,777,215 bytes"),
        (record(21, b"\2"), "an alert of 1 bytes"),
        (alert(112, level=1) * 2, "the same warning comes again and again"),
        (b"\x80\x03\x04\0\0", "an SSLv2 SERVER-HELLO that is cut off"),
    ],
)
def test_what_is_no_answer_is_said_in_a_clause(data: bytes, clause: str) -> None:
    assert read(data).fault == clause


@pytest.mark.parametrize("piece", [record(22, b""), record(22, message(11, bytes(60_000)))])
def test_an_answer_without_an_end_is_given_up(piece: bytes) -> None:
    reader = FlightReader()
    reader.feed(record(22, server_hello(TLS12, RSA)))
    for _ in range(LONGEST // len(piece) + 2):
        reader.feed(piece)
    assert reader.over
    assert reader.answer.fault == "the answer is longer than 256 KiB"


@given(st.lists(st.one_of(st.binary(max_size=300), st.sampled_from((WHOLE[:90], alert(112, 1), record(22, b"\x0b\0\0\1"))))))
def test_any_bytes_give_an_answer(pieces: list[bytes]) -> None:
    assert isinstance(read(*pieces), ServerAnswer)


@given(st.data())
def test_so_does_a_flight_with_a_wrong_byte(data: st.DataObject) -> None:
    spoilt = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(WHOLE) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read(bytes(spoilt)), ServerAnswer)


def test_an_alert_has_the_version_of_the_hello_that_it_refuses() -> None:
    """OpenSSL answers a hello of version 2.0 with an alert of version 2.0, seen at a real Postfix."""
    reader = FlightReader()
    reader.feed(bytes.fromhex("15020000020246"))
    assert reader.close().alert == 70
