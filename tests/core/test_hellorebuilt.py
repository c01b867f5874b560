"""A hello is put together again from its names: the same offer, although not the same bytes."""

from __future__ import annotations

from random import Random

import pytest

from mailtls.core.ciphersuite import SIGNALS, is_grease
from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.doorchoice import STOCK, choose
from mailtls.core.handshake import predict
from mailtls.core.hellorebuilt import negotiated, rebuilt
from mailtls.core.helloshown import ShownHello, shown
from mailtls.core.hellowriter import write_hello
from mailtls.core.probequestion import hello_of
from mailtls.core.serverprofile import GATEWAY
from mailtls.core.tlsversion import SSLV3, TLS10, TLS12, TLS13
from mailtls.edge.randomhello import random_hello

RANDOM = bytes(32)


def again(hello: ClientHello) -> ClientHello:
    return rebuilt(ShownHello(**shown(hello, choose(hello, STOCK))))


def kept(numbers: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Without the numbers that mean nothing, which are not shown."""
    return None if numbers is None else tuple(n for n in numbers if not is_grease(n) and n not in SIGNALS)


@pytest.mark.parametrize("seed", range(300))
def test_what_is_rebuilt_offers_the_same(seed: int) -> None:
    hello = read_hello(random_hello(Random(seed)))
    assert hello is not None
    back = again(hello)
    assert back.ciphers == kept(hello.ciphers)
    assert back.groups == kept(hello.groups)
    assert back.signatures == kept(hello.signatures)
    assert (back.point_formats, back.server_name, back.protocols) == (
        hello.point_formats, hello.server_name, hello.protocols,
    )  # fmt: skip
    assert back.highest == hello.highest or hello.version < SSLV3
    assert read_hello(write_hello(back, RANDOM)) is not None


@pytest.mark.parametrize("version", [SSLV3, TLS10, TLS12, TLS13])
def test_a_server_makes_the_same_of_it(version: int) -> None:
    hello = hello_of(version, (0x1301, 0xC02F, 0x002F, 0x000A), "mx.example.test", with_key=True)
    for server in (*STOCK.values(), GATEWAY):
        assert str(predict(again(hello), server)) == str(predict(hello, server))  # but for another key asked for


def test_of_what_was_negotiated_the_newest_version_counts() -> None:
    hello = negotiated([("TLSv1", "RC4-SHA"), ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"), ("TLSv1", "AES128-SHA")])
    assert hello is not None
    assert hello.highest == TLS12
    assert set(hello.ciphers) == {0xC02F, 0x0005, 0x002F}
    assert hello.ciphers[0] == 0xC02F


@pytest.mark.parametrize("pairs", [[], [(None, None)], [("TLSv1", None)], [("TLSv9", "AES128-SHA")], [("TLSv1", "X")]])
def test_of_nothing_nothing_is_made(pairs: list[tuple[str | None, str | None]]) -> None:
    assert negotiated(pairs) is None
