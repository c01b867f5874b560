"""What the gateway never agrees to, asked by hellos that offer nothing else; and how it cuts its records."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from mailtls.core.ciphersuite import BY_NUMBER
from mailtls.core.clienthello import SESSION_TICKET, ClientHello
from mailtls.core.gatewayrule import CIPHERS
from mailtls.core.hellowriter import RANDOM_LENGTH, write_hello
from mailtls.core.octets import numbers, sized
from mailtls.core.serverhello import FlightReader, ServerAnswer
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS10, TLS12, TLS13
from mailtls.edge.nss import SUITES, capability

from .gatewayhouse import PATIENCE_S, GatewayHouse, gateway_house, reply

pytestmark = pytest.mark.skipif(capability() is not None, reason=capability() or "")

SERVED = {number for number, _ in SUITES.values()}
RSA_AES128 = 0x002F


def answer(house: GatewayHouse, hello: bytes) -> ServerAnswer:
    """Send a hello behind STARTTLS, and read what comes."""
    reader = FlightReader()
    with house.approach() as client, suppress(ConnectionError):
        client.sendall(hello)
        client.shutdown(socket.SHUT_WR)
        while not (reader.over or reader.answer.accepted) and (data := client.recv(65536)):
            reader.feed(data)
    return reader.answer if reader.answer.accepted else reader.close()


def hello(version: int, *ciphers: int, extensions: tuple[int, ...] = ()) -> bytes:
    return write_hello(ClientHello(version, ciphers=ciphers, extensions=extensions), bytes(RANDOM_LENGTH))


def test_every_suite_but_its_five_is_refused(tmp_path: Path) -> None:
    """Export, DES, NULL, anonymous, ephemeral and PSK: whatever has a name, all of them at once, and then each kind."""
    others = [number for number in BY_NUMBER if number not in SERVED]
    assert len(others) > 200
    kinds = {
        word: [n for n in others if word in BY_NUMBER[n].name] for word in ("EXP-", "DES-CBC-", "NULL", "ADH-", "PSK")
    }
    assert all(kinds.values())
    with gateway_house(tmp_path) as house:
        for ciphers in (others, *kinds.values()):
            for version in (SSLV3, TLS10, TLS12):
                told = answer(house, hello(version, *ciphers))
                assert (told.accepted, told.alert) == (False, 40), told


def test_each_of_its_suites_is_served_from_sslv3_on_and_nothing_newer_than_tls_1_2(tmp_path: Path) -> None:
    assert set(SUITES) == set(CIPHERS)
    with gateway_house(tmp_path) as house:
        for number in SERVED:
            for version in (SSLV3, TLS10, TLS12):
                told = answer(house, hello(version, number))
                assert (told.version, told.cipher) == (version, number)
        newest = ClientHello(TLS12, ciphers=(0x1301, RSA_AES128), extensions=(43,), versions=(TLS13, TLS12))
        assert answer(house, write_hello(newest, bytes(RANDOM_LENGTH))).version == TLS12


def test_a_hello_in_the_format_of_sslv2_is_read_and_sslv2_itself_refused(tmp_path: Path) -> None:
    def old(version: int, kinds: bytes) -> bytes:
        body = b"\1" + numbers((version, len(kinds), 0, 16)) + kinds + bytes(16)
        return (0x8000 | len(body)).to_bytes(2, "big") + body

    with gateway_house(tmp_path) as house:
        told = answer(house, old(SSLV3, b"\x07\x00\xc0\x00\x00\x0a"))
        assert (told.version, told.cipher) == (SSLV3, 0x000A)
        assert not answer(house, old(SSLV2, b"\x07\x00\xc0\x01\x00\x80")).accepted


def test_no_ticket_is_given(tmp_path: Path) -> None:
    with gateway_house(tmp_path) as house:
        told = answer(house, hello(TLS12, RSA_AES128, extensions=(SESSION_TICKET,)))
        assert told.accepted
        assert SESSION_TICKET not in told.extensions


def test_a_client_that_came_back_after_a_failure_with_less_is_refused(tmp_path: Path) -> None:
    """TLS_FALLBACK_SCSV (RFC 7507): it is what somebody on the path makes a client send."""
    with gateway_house(tmp_path) as house:
        assert answer(house, hello(TLS10, RSA_AES128, 0x5600)).alert == 86


def test_a_handshake_within_the_session_is_refused(tmp_path: Path) -> None:
    """openssl s_client begins one where what it reads begins with `R`."""
    with gateway_house(tmp_path) as house:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{house.port}", "-starttls", "smtp", "-tls1_2",
                   "-cipher", "AES128-SHA:@SECLEVEL=0"]  # fmt: skip
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as asking:
            assert asking.stdin is not None
            assert asking.stdout is not None
            asking.stdin.write("NOOP\n")
            asking.stdin.flush()
            said = ""
            while "250 ok" not in said:
                said += (line := asking.stdout.readline())
                assert line, said
            asking.stdin.write("R\n")
            asking.stdin.flush()
            patience = threading.Timer(PATIENCE_S, asking.kill)  # it would go on for ever, if it got its way
            patience.start()
            said = asking.stdout.read()
            patience.cancel()
        assert "RENEGOTIATING" in said
        assert "no renegotiation" in said
        with house.secure() as other:
            other.sendall(b"NOOP\r\n")
            assert reply(other) == b"250 ok\r\n"


def test_records_of_cbc_before_tls_1_1_begin_with_one_byte(tmp_path: Path) -> None:
    """Against BEAST; behind such a byte nobody may expect a whole command, or a whole reply."""

    def sizes(version: ssl.TLSVersion) -> list[int]:
        """Give the lengths of the records in which the gateway hands on one long reply."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        context.set_ciphers("AES128-SHA:@SECLEVEL=0")
        into, out, found = ssl.MemoryBIO(), ssl.MemoryBIO(), bytearray()
        client = context.wrap_bio(into, out)
        with house.approach() as wire:
            heard, shaken = b"", False
            while b"over" not in heard:
                try:
                    if shaken:
                        heard += client.read(65536)
                    else:
                        client.do_handshake()
                        shaken = True
                        client.write(b"TELL\r\n")
                except ssl.SSLWantReadError:
                    wire.sendall(out.read())
                    data = wire.recv(65536)
                    assert data, "the gateway closed"
                    found += data if shaken else b""
                    into.write(data)
        return [size for kind, size in _records(bytes(found)) if kind == 23]

    def talkative(connection: socket.socket) -> None:
        connection.sendall(b"220 mx ESMTP\r\n")
        while data := connection.recv(65536):
            connection.sendall(b"250 " + b"x" * 1000 + b" over\r\n" if data.startswith(b"TELL") else b"250 ok\r\n")

    with gateway_house(tmp_path, talkative) as house:
        old, new = sizes(ssl.TLSVersion.TLSv1), sizes(ssl.TLSVersion.TLSv1_2)
    assert old[0] < 64 < old[1], f"one byte first: {old}"
    assert new[0] > 1000, f"all at once: {new}"


def _records(data: bytes) -> list[tuple[int, int]]:
    found, place = [], 0
    while place + 5 <= len(data):
        size = int.from_bytes(data[place + 3 : place + 5], "big")
        found.append((data[place], size))
        place += 5 + size
    return found


def test_a_hello_without_end_is_not_kept(tmp_path: Path) -> None:
    """A handshake message may name sixteen megabytes; NSS refuses what is no hello's size."""
    record = b"\x16\x03\x01" + sized(b"\x01\xff\xff\xff" + bytes(16000), 2)
    with gateway_house(tmp_path) as house, house.approach() as client:
        sent = 0
        with pytest.raises((ConnectionError, TimeoutError)):
            client.settimeout(5)
            while sent < 64_000_000:
                client.sendall(record)
                sent += len(record)
            raise AssertionError(f"{sent} bytes were taken")
        assert sent < 32_000_000
