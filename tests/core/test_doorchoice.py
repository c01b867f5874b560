"""The narrowest door for a hello."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailtls.core.clienthello import ClientHello
from mailtls.core.doorchoice import LEGACY, Way, choose, doors_of
from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway, Offering, PostfixSettings
from mailtls.core.suite import KeyType

SUITES = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256")
STRICT = Offering(versions=("TLSv1.2", "TLSv1.3"), certificates=(KeyType.ECDSA,), ciphers=SUITES)
DOORS = doors_of(PostfixSettings(strict=STRICT)) or {}

MODERN = ClientHello(0x0303, (0xC02B, 0xC02F), groups=(0x17,), signatures=(0x0403, 0x0401))
RSA_ONLY = replace(MODERN, ciphers=(0xC02F, 0x009C), signatures=(0x0401,))
OLD = ClientHello(0x0301, (0x0005, 0x002F))
ANCIENT = ClientHello(0x0301, (0x0005, 0x000A))


@pytest.mark.parametrize(
    ("hello", "way", "level"),
    [
        (MODERN, Way.STRICT, None),
        (RSA_ONLY, Way.RSA_BESIDE, Level.LEGACY_RSA),
        (OLD, Way.LEGACY, Level.LEGACY),
        (ANCIENT, Way.SSLV3, Level.SSLV3),
        (replace(OLD, version=0x0300), Way.SSLV3, Level.SSLV3),
        (replace(OLD, sslv2_format=True), Way.LEGACY, Level.LEGACY),
        (replace(OLD, ciphers=(0x0003, 0x0009)), None, None),
    ],
)
def test_the_first_door_that_takes_the_hello_is_the_narrowest(
    hello: ClientHello, way: Way | None, level: Level | None
) -> None:
    choice = choose(hello, DOORS)
    assert (choice.narrowest, choice.level) == (way, level)
    assert bool(choice.changes) == (way is None)


def test_doors_are_asked_from_the_strict_one_down() -> None:
    assert list(choose(OLD, DOORS).tried) == list(Way)


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (replace(OLD, ciphers=(0x0003, 0x0009)), "offers EXP-RC4-MD5, DES-CBC-SHA (and no supported_groups"),
        (replace(OLD, ciphers=tuple(range(0xC0B0, 0xC0C0))), "and 10 more"),
        (ClientHello(0x0002, sslv2_format=True, sslv2_kinds=(0x0700C0,)), "speaks SSL 2.0 only"),
        (ClientHello(0x0300, (0x0009,)), "speaks SSLv3 at most, with DES-CBC-SHA"),
        (replace(MODERN, flaw=0x06E), "makes no sense (bad extension)"),
        (replace(MODERN, broken=frozenset({10, 13})), "number 10, 13"),
        (replace(MODERN, signatures=(0xEDED,)), "no shared signature algorithms"),
        (replace(MODERN, ciphers=(0x1301,), versions=(0x0304,), extensions=(43,), groups=(0x1A,), key_shares=()),
         "no key exchange in common"),
        (replace(MODERN, compressions=(1,)), "`no compression specified`"),
    ],
)  # fmt: skip
def test_a_peer_that_no_door_takes_is_told_what_to_change(hello: ClientHello, words: str) -> None:
    choice = choose(hello, DOORS)
    assert choice.narrowest is None
    assert words in choice.changes[0]


@pytest.mark.parametrize(
    ("hello", "otherwise"),
    [
        (replace(MODERN, ciphers=(0xC02B, 0x002F, 0x5600)), "(without that, TLSv1.2 with ECDHE-ECDSA-AES128-GCM-SHA256)"),
        (replace(OLD, ciphers=(0x002F, 0x5600)), "(without that, too: unsupported protocol)"),
    ],
)
def test_who_comes_back_with_less_on_purpose_gets_no_door_for_it(hello: ClientHello, otherwise: str) -> None:
    choice = choose(hello, DOORS)
    assert (choice.narrowest, choice.level) == (None, None)
    assert "look at its first attempt" in choice.changes[0]
    assert otherwise in choice.changes[0]


def test_who_says_so_and_has_the_best_all_the_same_is_taken() -> None:
    best = replace(MODERN, ciphers=(0x1301, 0x5600), versions=(0x0304,), extensions=(43, 51), key_shares=(0x17,))
    assert choose(best, DOORS).narrowest is Way.STRICT


def test_an_rsa_certificate_that_is_there_makes_no_door_of_its_own() -> None:
    both = STRICT.model_copy(update={"certificates": (KeyType.RSA, KeyType.ECDSA)})
    doors = doors_of(PostfixSettings(strict=both)) or {}
    assert list(doors) == [Way.STRICT, Way.LEGACY, Way.SSLV3]
    assert choose(RSA_ONLY, doors).narrowest is Way.STRICT


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
def test_what_an_rsa_certificate_would_add_is_known_although_setup_saw_suites_for_ecdsa_only(*, made: bool) -> None:
    """Setup writes down only the suites that the certificates which are there can serve."""
    seen = STRICT.model_copy(update={"ciphers": SUITES[:1]})
    offers = Offering(versions=STRICT.versions, certificates=(KeyType.RSA, KeyType.ECDSA), ciphers=SUITES)
    doorway = Doorway(level=Level.LEGACY_RSA, port=10125, offers=offers)
    doors = doors_of(PostfixSettings(strict=seen, doors=(doorway,) if made else ())) or {}
    assert (choose(RSA_ONLY, doors).narrowest, choose(RSA_ONLY, doors).level) == (Way.RSA_BESIDE, Level.LEGACY_RSA)
    assert choose(MODERN, doors).narrowest is Way.STRICT


def test_a_door_that_was_made_is_taken_as_it_was_made() -> None:
    made = Offering(versions=("TLSv1.1",), certificates=(KeyType.RSA,), ciphers=("AES128-SHA",))
    doorway = Doorway(level=Level.LEGACY, port=10225, offers=made)
    doors = doors_of(PostfixSettings(strict=STRICT, doors=(doorway,))) or {}
    assert choose(OLD, doors).narrowest is Way.SSLV3
    assert choose(replace(OLD, version=0x0302), doors).narrowest is Way.LEGACY


def test_without_knowing_the_strict_door_nothing_is_said() -> None:
    assert doors_of(PostfixSettings()) is None


def test_the_legacy_door_has_no_suite_that_debians_openssl_lacks_and_none_without_a_certificate() -> None:
    names = {suite.name for suite in LEGACY.ciphers}
    assert {"AES128-SHA", "DHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA", "CAMELLIA128-SHA"} <= names
    assert not {"RC4-SHA", "DES-CBC3-SHA", "DHE-RSA-DES-CBC3-SHA", "DES-CBC-SHA", "ADH-AES128-SHA", "NULL-SHA"} & names
