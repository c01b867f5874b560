"""Hellos that are written are read again as what was meant, and by OpenSSL, too."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.clienthello import (
    ALPN,
    CERTIFICATE_SIGNATURES,
    EXTENDED_MASTER_SECRET,
    KEY_SHARE,
    POINT_FORMATS,
    PRE_SHARED_KEY,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNATURES,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    ClientHello,
    read_hello,
)
from mailtls.core.hellowriter import replayable, write_hello
from mailtls.core.keyshare import POINTS
from mailtls.core.probequestion import hello_of, suites_of
from mailtls.core.serverhello import FlightReader
from mailtls.core.tlsversion import TLS10, TLS12, TLS13

RANDOM = bytes(range(32))
EMPTY = (EXTENDED_MASTER_SECRET, SESSION_TICKET, 21, 0x3A3A)
numbers16 = st.integers(0, 0xFFFF)
names = st.from_regex(r"\A[a-z]{1,20}(\.[a-z]{2,20}){0,3}\Z")


def some(values: Sequence[int]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=8, unique=True).map(tuple)


many16 = st.lists(numbers16, min_size=1, max_size=60).map(tuple)


@st.composite
def hellos(draw: st.DrawFn) -> ClientHello:
    """Any well-formed hello with extensions: what its fields hold is listed among its extensions."""
    fields = {
        SERVER_NAME: ("server_name", names),
        SUPPORTED_GROUPS: ("groups", many16),
        POINT_FORMATS: ("point_formats", some(range(3))),
        SIGNATURES: ("signatures", many16),
        ALPN: ("protocols", st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4).map(tuple)),
        SUPPORTED_VERSIONS: ("versions", st.lists(numbers16, max_size=20).map(tuple)),
        CERTIFICATE_SIGNATURES: ("certificate_signatures", many16),
        KEY_SHARE: ("key_shares", some(tuple(POINTS))),
    }
    listed = draw(st.lists(st.sampled_from((*fields, *EMPTY)), min_size=1, unique=True))
    values = {fields[number][0]: draw(fields[number][1]) for number in listed if number in fields}
    return ClientHello(
        draw(numbers16), draw(many16), draw(some(range(256))), extensions=tuple(listed), **values
    )  # type: ignore[arg-type]


@given(hellos())
def test_what_is_written_is_read_again(hello: ClientHello) -> None:
    assert read_hello(write_hello(hello, RANDOM)) == hello


@given(many16, st.lists(st.integers(0x10000, 0xFFFFFF), max_size=7).map(tuple))
def test_so_is_the_format_of_sslv2(ciphers: tuple[int, ...], kinds: tuple[int, ...]) -> None:
    hello = ClientHello(2, ciphers, sslv2_format=True, sslv2_kinds=kinds)
    assert read_hello(write_hello(hello, RANDOM)) == hello


def test_a_hello_of_old_has_no_extensions_at_all() -> None:
    hello = ClientHello(0x0300, (0x000A,))
    data = write_hello(hello, RANDOM)
    assert len(data) == 5 + 4 + 2 + 32 + 1 + 4 + 2
    assert data[:3] == b"\x16\x03\x00"
    assert read_hello(data) == hello


def test_a_hello_that_is_longer_than_a_record_is_cut() -> None:
    hello = ClientHello(TLS12, tuple(range(20_000)))
    data = write_hello(hello, RANDOM)
    assert int.from_bytes(data[3:5], "big") == 1 << 14
    assert read_hello(data) == hello


def test_what_belongs_to_an_earlier_session_is_not_sent_again() -> None:
    hello = ClientHello(
        TLS12, (0x1301,), extensions=(KEY_SHARE, 44, 42, PRE_SHARED_KEY), key_shares=(0x001D, 0x6399)
    )
    again = replayable(hello)
    assert (again.extensions, again.key_shares) == ((KEY_SHARE,), (0x001D,))
    assert read_hello(write_hello(again, RANDOM)) == again


def test_a_key_that_is_not_known_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="0x6399"):
        write_hello(ClientHello(TLS12, (0x1301,), extensions=(KEY_SHARE,), key_shares=(0x6399,)), RANDOM)


@pytest.mark.parametrize("version", [TLS10, TLS12, TLS13])
@pytest.mark.parametrize("with_key", [False, True])
def test_openssl_takes_what_a_probe_writes(version: int, with_key: bool) -> None:
    """Its server answers with anything but a complaint about the message itself (decode_error, illegal_parameter)."""
    reader = FlightReader()
    reader.feed(answer_of_openssl(write_hello(hello_of(version, suites_of(version), "a.test", with_key=with_key), RANDOM)))
    assert reader.close().alert in (None, 40, 70)


def answer_of_openssl(data: bytes) -> bytes:
    """What a server without a certificate says; TLS_aNULL is all that it can do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:aNULL:@SECLEVEL=0")
    come, gone = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(come, gone, server_side=True)
    come.write(data)
    with contextlib.suppress(ssl.SSLError):
        server.do_handshake()
    return gone.read()
