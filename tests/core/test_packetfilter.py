"""The kernel's filter lets pass hellos and alerts that come to the mail ports, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.packetfilter import LONGEST, MOST_PORTS, as_bytes, hello_filter

from .bpf import run
from .captures import ip, tcp
from .hellotexts import MODERN, message, record, sslv2

ENDS = {4: ("192.0.2.7", "198.51.100.1"), 6: ("2001:db8::7", "2001:db8::25")}
PORTS = (25, 465, 587)
PROGRAMS = {version: hello_filter(version, PORTS) for version in ENDS}
HELLO = record(message(0x0303, [0x1301, 0x002F], MODERN))
ALERT = b"\x15\x03\x01\0\2\2\x30"
FIRST = {
    "TLS 1.3": HELLO,
    "TLS 1.0": record(message(0x0301, [0x2F])),
    "SSLv3": record(message(0x0300, [0x0A]), 0x0300),
    "in the format of SSLv2": sslv2(0x0301, [0x2F, 0x0700C0]),
    "SSL 2.0 alone": sslv2(0x0002, [0x0700C0]),
    "many suites in the format of SSLv2": sslv2(0x0300, range(100)),
    "cut off": HELLO[:40],
    "as little as is recognised": HELLO[:7],
    "an alert": ALERT,
    "a warning": b"\x15\x03\x03\0\2\1\0",
}
OTHERS = {
    "no data": b"",
    "EHLO": b"EHLO mx.example.test\r\n",
    "application data": b"\x17\x03\x03\x40\x11" + HELLO,
    "key exchange": b"\x16\x03\x01\x01\x06\x10\0\1\2",
    "an encrypted alert": b"\x15\x03\x03\0\x1a\1" + bytes(25),
    "an alert that is none": b"\x15\x03\x03\0\2\3\0",
    "a hello of another protocol": b"\x16\xfe\xff" + HELLO[3:],
    "a record that is too long": b"\x16\x03\x01\xff\xff" + HELLO[5:],
    "a hello of 16 MB": HELLO[:6] + b"\xff" + HELLO[7:],
    "five bytes": HELLO[:5],
    "UTF-8": "£ änderung".encode() * 3,
    "SSLv2 with lengths of its own": b"\x80\x2e\1\3\1\x7f\xff\0\0\0\x10",
}


def passed(data: bytes, version: int = 4, port: int = 25, kind: int = 0) -> int:
    return run(PROGRAMS[version], ip(*ENDS[version], tcp(40000, port, 1, data)), kind)


@pytest.mark.parametrize("version", ENDS)
@pytest.mark.parametrize("data", FIRST.values(), ids=FIRST)
def test_every_kind_of_hello_and_alert_passes_to_every_port(version: int, data: bytes) -> None:
    assert {passed(data, version, port) for port in PORTS} == {LONGEST}


@pytest.mark.parametrize("version", ENDS)
@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_nothing_else_passes(version: int, data: bytes) -> None:
    assert passed(data, version) == 0


@pytest.mark.parametrize("version", ENDS)
def test_other_ports_other_machines_other_protocols_and_our_own_answers_do_not_pass(version: int) -> None:
    assert passed(HELLO, version, 26) == 0
    assert passed(HELLO, version, kind=3) == 0, "PACKET_OTHERHOST"
    answer = ip(*ENDS[version], tcp(25, 40000, 1, HELLO))
    assert run(PROGRAMS[version], answer) == 0
    whole = bytearray(ip(*ENDS[version], tcp(40000, 25, 1, HELLO)))
    whole[9 if version == 4 else 6] = 17
    assert run(PROGRAMS[version], bytes(whole)) == 0


def test_headers_may_be_longer_and_fragments_are_not_taken_for_beginnings() -> None:
    whole = tcp(40000, 25, 1, HELLO)
    with_options = whole[:12] + b"\x80" + whole[13:20] + bytes(12) + whole[20:]
    packet = bytearray(ip(*ENDS[4], with_options))
    assert run(PROGRAMS[4], bytes(packet)) == LONGEST
    longer = bytes([0x46]) + bytes(packet[1:20]) + bytes(4) + bytes(packet[20:])
    assert run(PROGRAMS[4], longer) == LONGEST
    packet[6:8] = struct.pack(">H", 0x2000)
    assert run(PROGRAMS[4], bytes(packet)) == LONGEST, "the first fragment has the beginning"
    packet[6:8] = struct.pack(">H", 100)
    assert run(PROGRAMS[4], bytes(packet)) == 0


@given(st.binary(max_size=80), st.sampled_from(sorted(ENDS)))
def test_whatever_comes_the_program_ends(packet: bytes, version: int) -> None:
    assert run(PROGRAMS[version], packet) in (0, LONGEST)


@given(st.binary(max_size=200))
def test_of_what_is_encrypted_nothing_passes(data: bytes) -> None:
    """A segment begins anywhere in a record: random bytes pass by a chance that no test will ever see."""
    assert passed(b"\x17" + data) == 0
    assert passed(data) == 0 or data[:1] in (b"\x15", b"\x16") or data[0] & 0x80


def test_the_program_is_what_the_kernel_reads() -> None:
    program = PROGRAMS[4]
    assert len(as_bytes(program)) == 8 * len(program)
    assert struct.unpack_from("HBBI", as_bytes(program), 8 * (len(program) - 1)) == (0x06, 0, 0, 0)
    assert len(hello_filter(4, range(1, MOST_PORTS + 1))) < 255, "jumps have one byte"


@pytest.mark.parametrize("ports", [(), (0,), (65536,), tuple(range(1, MOST_PORTS + 2))])
def test_ports_that_make_no_sense_are_refused(ports: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="the observer listens at one to 16 ports"):
        hello_filter(4, ports)
