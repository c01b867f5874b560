"""Which levels are worth a waiver on this server: a door must take what the strict one does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause
from mailtls.core.level import NEEDS, Level, need_of
from mailtls.core.offer import DOORS, beyond, in_vain, need_here, need_of_peer, offered, would_be_taken
from mailtls.core.postfixview import Doorway, Offering, PostfixSettings
from mailtls.core.protocollist import VERSIONS
from mailtls.core.suite import KeyType

LEGACY_RSA, LEGACY, SSLV3, CLEARTEXT = Level
RSA, ECDSA = KeyType
MODERN = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384")
OLD = ("ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES256-SHA",
       "DHE-RSA-AES128-SHA", "AES256-SHA", "AES128-SHA")  # fmt: skip
ALL = VERSIONS[2:]

STOCK = Offering(versions=ALL, certificates=(RSA,), ciphers=MODERN + OLD)
STOCK_ECDSA = Offering(versions=ALL, certificates=(ECDSA,), ciphers=MODERN + OLD)
HARD = Offering(versions=ALL[2:], certificates=(RSA, ECDSA), ciphers=MODERN + OLD)
HARDER = Offering(versions=ALL[2:], certificates=(RSA, ECDSA), ciphers=MODERN)
HARD_ECDSA = Offering(versions=ALL[2:], certificates=(ECDSA,), ciphers=MODERN)
OFF = Offering()
NOT_LOOKED_AT = None

LEGACY_RSA_DOOR = Doorway(
    level=LEGACY_RSA, port=10125, offers=Offering(versions=ALL[2:], certificates=(RSA, ECDSA), ciphers=MODERN)
)
LEGACY_DOOR = Doorway(
    level=LEGACY, port=10225, offers=Offering(versions=ALL, certificates=(RSA, ECDSA), ciphers=MODERN + OLD)
)
BOTH = (LEGACY_RSA_DOOR, LEGACY_DOOR)



def beside(strict: Offering | None) -> tuple[Doorway, ...]:
    """Both doors with the strict one's certificates, and an RSA one."""
    kinds = tuple(dict.fromkeys((*(strict.certificates if strict is not None else ()), RSA)))
    return tuple(
        door.model_copy(update={"offers": door.offers.model_copy(update={"certificates": kinds})}) for door in BOTH
    )


CASES = [
    (NOT_LOOKED_AT, Cause.PEER_TOO_OLD, 0x102, (LEGACY, CLEARTEXT)),
    (STOCK, Cause.PEER_TOO_OLD, 0x102, (CLEARTEXT,)),
    (STOCK_ECDSA, Cause.PEER_TOO_OLD, 0x102, (CLEARTEXT,)),
    (HARD, Cause.PEER_TOO_OLD, 0x102, (LEGACY, CLEARTEXT)),
    (OFF, Cause.PEER_TOO_OLD, 0x102, (LEGACY, CLEARTEXT)),
    (STOCK, Cause.PEER_TOO_OLD, None, (SSLV3, CLEARTEXT)),
    (HARD, Cause.PEER_TOO_OLD, None, (LEGACY, SSLV3, CLEARTEXT)),
    (STOCK, Cause.PEER_TOO_OLD, 0x18C, (SSLV3, CLEARTEXT)),
    (HARD_ECDSA, Cause.PEER_TOO_OLD, 0x18C, (SSLV3, CLEARTEXT)),
    (HARD_ECDSA, Cause.PEER_TOO_OLD, 0x0FC, (SSLV3, CLEARTEXT)),
    (HARD_ECDSA, Cause.NOT_TLS_OR_TOO_OLD, 0x0FC, (SSLV3, CLEARTEXT)),
    (STOCK, Cause.NO_SHARED_CIPHER, 0x0C1, (SSLV3, CLEARTEXT)),
    (STOCK_ECDSA, Cause.NO_SHARED_CIPHER, 0x0C1, (LEGACY_RSA, LEGACY, SSLV3, CLEARTEXT)),
    (HARD, Cause.NO_SHARED_CIPHER, 0x0C1, (SSLV3, CLEARTEXT)),
    (HARDER, Cause.NO_SHARED_CIPHER, 0x0C1, (LEGACY, SSLV3, CLEARTEXT)),
    (HARD_ECDSA, Cause.NO_SHARED_CIPHER, 0x0C1, (LEGACY_RSA, LEGACY, SSLV3, CLEARTEXT)),
    (STOCK, Cause.NO_SHARED_GROUP_OR_SIGALG, 0x076, (CLEARTEXT,)),
    (HARDER, Cause.NO_SHARED_GROUP_OR_SIGALG, 0x076, (CLEARTEXT,)),
    (HARD_ECDSA, Cause.NO_SHARED_GROUP_OR_SIGALG, 0x076, (LEGACY_RSA, LEGACY, CLEARTEXT)),
    (HARD_ECDSA, Cause.NOT_TLS, 0x10B, (CLEARTEXT,)),
    (HARD_ECDSA, Cause.NETWORK_CUT, None, ()),
]


@pytest.mark.parametrize("made", [False, True], ids=["no doors", "both doors"])
@pytest.mark.parametrize(("strict", "cause", "number", "levels"), CASES)
def test_a_level_helps_where_its_door_takes_what_the_cause_asks_for(
    strict: Offering | None, cause: Cause, number: int | None, levels: tuple[Level, ...], made: bool
) -> None:
    doors = beside(strict) if made else ()
    need = need_here(cause, number, PostfixSettings(strict=strict, doors=doors))
    assert need.levels == levels
    assert set(need.levels) | set(need.vain) == set(need_of(cause, number).levels)
    assert need.determined is need_of(cause, number).determined


def test_a_door_without_an_rsa_certificate_does_not_mend_what_asks_for_one() -> None:
    door = LEGACY_RSA_DOOR.model_copy(update={"offers": HARD_ECDSA})
    need = need_here(Cause.NO_SHARED_CIPHER, 0x0C1, PostfixSettings(strict=HARD_ECDSA, doors=(door,)))
    assert LEGACY_RSA in need.vain
    assert LEGACY in need.levels, "the other door is taken for what setup would make"


def test_suites_that_nobody_looked_at_make_no_door_vain() -> None:
    strict = HARD.model_copy(update={"ciphers": ()})
    need = need_here(Cause.NO_SHARED_CIPHER, 0x0C1, PostfixSettings(strict=strict, doors=BOTH))
    assert LEGACY in need.levels


def test_on_stock_debian_the_reason_says_that_tls_10_is_taken_anyway() -> None:
    need = need_here(Cause.PEER_TOO_OLD, 0x102, PostfixSettings(strict=STOCK))
    assert "the strict door takes TLS 1.0 by itself" in need.why
    assert "reason 0x102" in need.why


@pytest.mark.parametrize("cause", [Cause.PEER_TOO_OLD, Cause.NO_SHARED_CIPHER, Cause.NO_SHARED_GROUP_OR_SIGALG])
@pytest.mark.parametrize("strict", [STOCK, STOCK_ECDSA, HARD, HARDER, HARD_ECDSA, OFF])
def test_every_reason_is_half_a_sentence(cause: Cause, strict: Offering) -> None:
    for number in (None, 0x102, 0x0C1, 0x076):
        why = need_here(cause, number, PostfixSettings(strict=strict)).why
        assert why[0].islower() and not why.endswith(".")


OWN = ("127.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "not a network")


@pytest.mark.parametrize(("ip", "own"), [("192.0.2.7", True), ("198.51.100.1", False), ("2001:db8::7", True)])
def test_an_address_in_mynetworks_gets_no_door(ip: str, own: bool) -> None:
    view = PostfixSettings(strict=HARD_ECDSA, doors=BOTH, own_networks=OWN)
    need = need_of_peer(Cause.NO_SHARED_CIPHER, 0x0C1, view, ip)
    assert need.levels == ((CLEARTEXT,) if own else (LEGACY_RSA, LEGACY, SSLV3, CLEARTEXT))
    assert ("is in mynetworks" in need.why) is own
    assert need_of_peer(Cause.TIMEOUT, None, view, ip) == need_of(Cause.TIMEOUT, None)


VAIN = [
    (NOT_LOOKED_AT, set()),
    (STOCK, {LEGACY_RSA, LEGACY}),
    (STOCK_ECDSA, set()),
    (HARD, {LEGACY_RSA}),
    (HARDER, {LEGACY_RSA}),
    (HARD_ECDSA, set()),
]


@pytest.mark.parametrize(("strict", "levels"), VAIN)
def test_a_waiver_that_would_give_nobody_anything_is_known(strict: Offering | None, levels: set[Level]) -> None:
    view = PostfixSettings(strict=strict)
    assert {level for level in Level if in_vain(level, view) is not None} == levels


def test_the_sentence_of_stock_debian_names_what_the_strict_door_takes() -> None:
    assert in_vain(LEGACY, PostfixSettings(strict=STOCK)) == (
        "the strict door takes TLS 1.0 and later, with an RSA certificate, and the legacy door would take nothing more"
    )


def test_what_a_door_has_beyond_the_strict_one() -> None:
    more = beyond(LEGACY_DOOR.offers, HARD_ECDSA)
    assert (more.versions, more.certificates) == (("TLSv1", "TLSv1.1"), (RSA,))
    assert "AES128-SHA" in more.ciphers
    assert "ECDHE-RSA-AES256-GCM-SHA384" in more.ciphers, "strict lists it, and has no certificate for it"
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" not in more.ciphers


TAKEN = [
    ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", HARD, True),
    ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", HARD_ECDSA, False),
    ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", HARD_ECDSA, True),
    ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", STOCK, False),
    ("TLSv1", "AES128-SHA", STOCK, True),
    ("TLSv1", "AES128-SHA", HARD, False),
    ("TLSv1.2", "AES128-SHA", HARDER, False),
    ("TLSv1.3", "TLS_AES_256_GCM_SHA384", HARD_ECDSA, True),
    ("TLSv1.3", "TLS_AES_256_GCM_SHA384", STOCK.model_copy(update={"versions": ALL[:3]}), False),
    ("TLSv1.2", "TLS_AES_256_GCM_SHA384", HARD, False),
]


@pytest.mark.parametrize(("version", "cipher", "strict", "taken"), TAKEN)
def test_the_strict_door_takes_a_version_it_has_and_a_suite_it_has_a_certificate_for(
    version: str, cipher: str, strict: Offering, taken: bool
) -> None:
    assert would_be_taken(version, cipher, strict) is taken


def test_anonymous_suites_ask_for_no_certificate_and_others_without_a_kind_are_never_usable() -> None:
    strict = Offering(versions=ALL, certificates=(), ciphers=("ADH-AES128-SHA", "DHE-DSS-AES128-SHA"))
    assert would_be_taken("TLSv1", "ADH-AES128-SHA", strict)
    assert not would_be_taken("TLSv1", "DHE-DSS-AES128-SHA", strict)


def subset(of: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(st.sampled_from(of)).map(lambda chosen: tuple(each for each in of if each in chosen))


offerings = st.builds(
    Offering, versions=subset(VERSIONS), certificates=subset((RSA, ECDSA)), ciphers=subset(MODERN + OLD)
)
doorways = st.lists(offerings, max_size=2).map(
    lambda offers: tuple(
        Doorway(level=level, port=10000 + level.depth, offers=each)
        for level, each in zip(DOORS, offers, strict=False)
    )
)  # fmt: skip
kinds = st.sampled_from([*NEEDS, (Cause.NO_SHARED_CIPHER, 0x0C1), (Cause.TIMEOUT, None)])


def union(one: Offering, other: Offering) -> Offering:
    return Offering(
        versions=tuple(v for v in VERSIONS if v in {*one.versions, *other.versions}),
        certificates=tuple(k for k in KeyType if k in {*one.certificates, *other.certificates}),
        ciphers=tuple(c for c in MODERN + OLD if c in {*one.ciphers, *other.ciphers}),
    )


@given(strict=offerings, more=offerings, doors=doorways, kind=kinds)
def test_a_strict_door_that_takes_more_never_makes_more_levels_worth_while(
    strict: Offering, more: Offering, doors: tuple[Doorway, ...], kind: tuple[Cause, int | None]
) -> None:
    narrow, wide = PostfixSettings(strict=strict, doors=doors), PostfixSettings(strict=union(strict, more), doors=doors)
    assert set(need_here(*kind, wide).levels) <= set(need_here(*kind, narrow).levels)
    for level in DOORS:
        assert in_vain(level, narrow) is None or in_vain(level, wide) is not None


@given(strict=st.none() | offerings, doors=doorways, kind=kinds)
def test_no_view_ever_adds_a_level_or_takes_away_the_two_that_are_not_postfixs(
    strict: Offering | None, doors: tuple[Doorway, ...], kind: tuple[Cause, int | None]
) -> None:
    need, here = need_of(*kind), need_here(*kind, PostfixSettings(strict=strict, doors=doors))
    assert [level for level in need.levels if level not in here.vain] == list(here.levels)
    assert set(here.vain) <= set(DOORS)


@given(strict=offerings)
def test_a_door_that_is_not_made_takes_at_least_what_the_strict_one_takes(strict: Offering) -> None:
    view = PostfixSettings(strict=strict)
    for level in DOORS:
        assert beyond(strict, offered(level, view)) == Offering()
