"""Hellos are found in whatever order, size and completeness the segments come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import hellofinder
from mailtls.core.capture import Frame
from mailtls.core.clienthello import read_hello
from mailtls.core.hellofinder import CapturedHello, HelloFinder
from mailtls.core.segment import read_segment

from .captures import ACK, FIN, RST, SYN, ip, tcp
from .hellotexts import MODERN, message, record, sslv2

HELLO = record(message(0x0303, [0x1301, 0x002F], MODERN))
TALK = b"EHLO client.test\r\nSTARTTLS\r\n"


def found(
    pieces: list[tuple[int, bytes, int]],
    *,
    start: int = 1000,
    port: int = 25,
    finder: HelloFinder | None = None,
    peer: int = 40000,
    close: bool = True,
) -> list[CapturedHello]:
    """Send pieces (offset in the stream, bytes, flags) from a client whose first byte has the number `start`."""
    finder = finder or HelloFinder()
    hellos: list[CapturedHello] = []
    for offset, data, flags in pieces:
        packet = ip("192.0.2.7", "198.51.100.1", tcp(peer, port, start + offset - bool(flags & SYN), data, flags))
        segment = read_segment(Frame(101, 5.0, packet))
        assert segment is not None
        hellos += finder.feed(segment)
    return [*hellos, *finder.close()] if close else hellos


def cut(data: bytes, size: int) -> list[tuple[int, bytes, int]]:
    """Cut a stream into segments, SYN before them."""
    return [(0, b"", SYN), *((at, data[at : at + size], ACK) for at in range(0, len(data), size))]


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_a_hello_behind_starttls_is_found(size: int) -> None:
    assert found(cut(TALK + HELLO + b"\x14\x03\x03\0\1\1", size)) == [
        CapturedHello(5.0, "192.0.2.7", 40000, "198.51.100.1", 25, starttls=True, hello=read_hello(HELLO))  # type: ignore[arg-type]
    ]


def test_a_hello_at_once_is_found_and_so_is_one_of_sslv2() -> None:
    assert [one.starttls for one in found(cut(HELLO, 50), port=465)] == [False]
    assert found(cut(TALK + sslv2(0x0301, [0x2F]), 9))[0].hello.sslv2_format


@given(st.permutations(range(6)), st.integers(0, 2**32 - 1))
def test_the_order_of_segments_does_not_matter_nor_does_the_number_of_the_first(order: list[int], start: int) -> None:
    stream = TALK + HELLO
    size = -(-len(stream) // 6)
    pieces = [(number * size, stream[number * size : (number + 1) * size], ACK) for number in order]
    assert [one.hello for one in found([(0, b"", SYN), *pieces], start=start)] == [read_hello(HELLO)]


def test_what_comes_twice_counts_once() -> None:
    stream = TALK + HELLO
    pieces = [(0, b"", SYN), (0, stream[:50], ACK), (20, stream[20:90], ACK), (0, stream[:60], ACK), (90, stream[90:], ACK)]
    assert [one.hello for one in found(pieces)] == [read_hello(HELLO)]


def test_behind_a_gap_nothing_is_read_and_the_hello_is_truncated() -> None:
    stream = TALK + HELLO
    (one,) = found([(0, stream[:100], ACK), (130, stream[130:], FIN)])
    assert one.hello.truncated
    assert one.hello.ciphers == (0x1301, 0x002F)


def test_a_capture_may_begin_with_the_hello() -> None:
    assert len(found([(0, HELLO, ACK)])) == 1


@pytest.mark.parametrize(
    "stream",
    [
        TALK + b"EHLO again\r\n" + HELLO,
        b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nSTARTTLS\r\n" + HELLO,
        b"NOOP\r\n" * 10_000 + TALK + HELLO,
        b"x" * 5000 + b"\r\n" + TALK + HELLO,
        b"EHLO client.test\r\nSTARTTLS\r\n",
        b"",
    ],
)
def test_what_is_no_tls_has_no_hello(stream: bytes) -> None:
    assert found(cut(stream, 1400)) == []


def test_servers_and_other_ports_are_not_listened_to() -> None:
    assert found(cut(TALK + HELLO, 1400), port=80) == []
    finder = HelloFinder(ports=[2525])
    assert len(found(cut(TALK + HELLO, 1400), port=2525, finder=finder)) == 1
    assert found(cut(TALK + HELLO, 1400), peer=25) == [], "an MX that sends from port 25 is not our client"


@pytest.mark.parametrize("flag", [FIN, RST, SYN])
def test_a_connection_may_come_again_from_the_same_port(flag: int) -> None:
    finder = HelloFinder()
    first = found([*cut(TALK + HELLO, 1400), (300, b"", flag)], finder=finder, close=False)
    second = found(cut(TALK + HELLO, 1400), start=7, finder=finder)
    assert len(first) == len(second) == 1
    assert finder.connections == 2 + (flag == SYN)


def test_only_so_many_connections_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellofinder, "MOST", 10)
    finder = HelloFinder()
    for peer in range(30):
        found([(0, HELLO[:20], ACK)], peer=1000 + peer, finder=finder, close=False)
    assert len(list(finder.close())) == 10
    assert (finder.connections, finder.given_up) == (30, 20)


def test_only_so_many_bytes_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellofinder, "BUDGET", 100_000)
    finder = HelloFinder()
    endless = b"\x16\x03\x01\xff\xff\x01\xff\xff\xff\x03\x03" + bytes(1300)
    for peer in range(500):
        found([(0, endless, ACK), (5000, bytes(1300), ACK)], peer=1000 + peer, finder=finder, close=False)
    assert 400 < finder.given_up < 500


def test_a_hello_a_byte_at_a_time_is_not_looked_at_for_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(hellofinder, "read_hello", lambda data: looked.append(len(data)) or read_hello(data))
    huge = record(message(0x0303, [0x002F] * 7000)[:16000]) * 3
    found(cut(huge, 1))
    assert 0 < len(looked) < 30
