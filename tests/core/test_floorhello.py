"""What hellos foretell of a stricter door."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailtls.core.clienthello import ClientHello
from mailtls.core.floor import Floor, Foretold
from mailtls.core.floorhello import HelloJudge, raised
from mailtls.core.hellotext import write_hello_text
from mailtls.core.serverprofile import ServerProfile, SigningKey
from mailtls.core.suite import KeyType

from .test_handshake import BOTH, RSA, TLS10, TLS12, TLS13

RSA_GCM, ECDSA_GCM, TLS13_SUITE = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"
NO_RSA, NO_ECDSA, NEW = Floor(without=KeyType.RSA), Floor(without=KeyType.ECDSA), Floor(version=0x0303)
ONLY_RSA = replace(BOTH, keys=(RSA,), ciphers=tuple(suite for suite in BOTH.ciphers if "ECDSA" not in suite.name))
NEWEST_OF_RSA = replace(TLS13, signatures=(0x0804, 0x0401))
NOTHING_SHARED, NO_SIGNATURE = "no shared cipher", "no suitable signature algorithm"


def foretold(hello: ClientHello, floor: Floor, server: ServerProfile = BOTH) -> Foretold | None:
    text = write_hello_text(hello)
    assert text is not None
    return HelloJudge(floor, server).read(text)


@pytest.mark.parametrize(
    ("hello", "floor", "server", "answer"),
    [
        (TLS12, NO_RSA, BOTH, ("TLSv1.2", ECDSA_GCM, None)),
        (replace(TLS12, ciphers=(0xC02F, 0xC02B)), NO_RSA, BOTH, ("TLSv1.2", RSA_GCM, None)),
        (replace(TLS12, ciphers=(0xC02F,)), NO_RSA, BOTH, ("TLSv1.2", RSA_GCM, NOTHING_SHARED)),
        (TLS13, NO_RSA, BOTH, ("TLSv1.3", TLS13_SUITE, None)),
        (NEWEST_OF_RSA, NO_RSA, BOTH, ("TLSv1.3", TLS13_SUITE, NO_SIGNATURE)),
        (NEWEST_OF_RSA, NO_ECDSA, BOTH, ("TLSv1.3", TLS13_SUITE, None)),
        (TLS12, NO_RSA, ONLY_RSA, ("TLSv1.2", RSA_GCM, None)),
        (replace(TLS12, ciphers=(0xC02F,)), NO_RSA, ONLY_RSA, ("TLSv1.2", RSA_GCM, NOTHING_SHARED)),
        (TLS12, Floor(ciphers=frozenset({RSA_GCM})), BOTH, ("TLSv1.2", ECDSA_GCM, None)),
        (TLS12, Floor(ciphers=frozenset({"AES256-SHA"})), BOTH, ("TLSv1.2", ECDSA_GCM, NOTHING_SHARED)),
        (TLS13, Floor(ciphers=frozenset({"AES256-SHA"})), BOTH, ("TLSv1.3", TLS13_SUITE, None)),
        (TLS10, NEW, BOTH, ("TLSv1", "AES128-SHA", "unsupported protocol")),
        (TLS12, replace(NEW, version=0x0304), BOTH, ("TLSv1.2", ECDSA_GCM, "unsupported protocol")),
    ],
)
def test_a_hello_is_tried_at_the_door_as_it_is_and_as_it_would_be(
    hello: ClientHello, floor: Floor, server: ServerProfile, answer: tuple[str, str, str | None]
) -> None:
    assert foretold(hello, floor, server) == Foretold(*answer)


@pytest.mark.parametrize(
    "hello",
    [replace(TLS12, ciphers=(0x0005,)), replace(TLS12, truncated=True), replace(TLS10, version=0x0300)],
)
def test_what_is_refused_already_or_cut_off_says_nothing(hello: ClientHello) -> None:
    assert foretold(hello, NO_RSA) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": "TLSv1"}', "null", "9" * 9000])
def test_what_is_damaged_says_nothing(text: str) -> None:
    assert HelloJudge(NO_RSA, BOTH).read(text) is None


def test_a_server_without_the_certificate_that_goes_stays_what_it_is() -> None:
    server = replace(BOTH, keys=tuple(key for key in BOTH.keys if key.kind is SigningKey.ECDSA))
    assert raised(server, NO_RSA) == server
    bare = replace(BOTH, keys=())
    assert raised(bare, NO_RSA) == bare
