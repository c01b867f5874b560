"""Who would be lost by a higher floor."""

from __future__ import annotations

from datetime import date

import pytest

from mailtls.core.floor import Fate, Floor, Foretold, Use, described, losses
from mailtls.core.suite import KeyType

DAY = date(2026, 11, 21)
NEW = Floor(version=0x0303)


def use(version: str | None, cipher: str | None, sessions: int = 10, mails: int = 4, ip: str = "192.0.2.1") -> Use:
    return Use(ip, "mx.example.test", version, cipher, sessions, mails, DAY)


@pytest.mark.parametrize(
    ("version", "cipher", "floor", "touched"),
    [
        ("TLSv1", "AES128-SHA", NEW, True),
        ("TLSv1.0", "AES128-SHA", NEW, True),
        ("TLSv1.1", None, NEW, True),
        ("TLSv1.2", "AES128-SHA", NEW, False),
        (None, None, NEW, False),
        ("TLSv1.2", "AES128-SHA", Floor(ciphers=frozenset({"AES256-SHA"})), True),
        ("TLSv1.2", "AES256-SHA", Floor(ciphers=frozenset({"AES256-SHA"})), False),
        ("TLSv1.3", "TLS_AES_128_GCM_SHA256", Floor(ciphers=frozenset({"AES256-SHA"})), False),
        ("TLSv1.2", "ECDHE-RSA-AES128-SHA", Floor(without=KeyType.RSA), True),
        ("TLSv1.2", "ECDHE-ECDSA-AES128-SHA", Floor(without=KeyType.RSA), False),
        ("TLSv1.3", "TLS_AES_128_GCM_SHA256", Floor(without=KeyType.RSA), False),
    ],
)
def test_a_handshake_is_touched_by_its_version_its_suite_or_its_certificate(
    version: str | None, cipher: str | None, floor: Floor, touched: bool
) -> None:
    assert floor.touches(version, cipher) == touched


def test_who_never_came_to_more_is_lost_with_its_mail() -> None:
    (loss,) = losses([use("TLSv1", "AES128-SHA"), use("TLSv1.1", "AES128-SHA", 2, 1)], {"192.0.2.1": 12}, NEW)
    assert (loss.fate, loss.sessions, loss.of, loss.mails, loss.last) == (Fate.LOST, 12, 12, 5, DAY)
    assert loss.used == ("TLSv1 with AES128-SHA", "TLSv1.1 with AES128-SHA")


def test_who_also_came_to_more_is_lost_in_part() -> None:
    (loss,) = losses([use("TLSv1", "AES128-SHA", 3)], {"192.0.2.1": 12}, NEW)
    assert (loss.fate, loss.sessions, loss.of) == (Fate.PARTLY, 3, 12)


def test_a_suite_that_goes_makes_a_peer_doubtful_only() -> None:
    (loss,) = losses([use("TLSv1.2", "ECDHE-RSA-AES128-SHA")], {}, Floor(without=KeyType.RSA))
    assert (loss.fate, loss.of) == (Fate.DOUBTFUL, 10)


RSA_USED = ("TLSv1.2", "ECDHE-RSA-AES128-SHA")
NO_RSA = Floor(version=0x0302, without=KeyType.RSA)


@pytest.mark.parametrize(
    ("used", "refused", "fate"),
    [
        (RSA_USED, None, None),
        (RSA_USED, "no shared cipher", Fate.LOST),
        (("TLSv1.3", "TLS_AES_128_GCM_SHA256"), "no suitable signature algorithm", Fate.LOST),
        (("TLSv1.3", None), "no suitable signature algorithm", Fate.LOST),
        (("TLSv1.3", "TLS_AES_128_GCM_SHA256"), None, None),
    ],
)
def test_a_hello_tells_whether_a_peer_has_anything_else(
    used: tuple[str, str | None], refused: str | None, fate: Fate | None
) -> None:
    hello = Foretold(used[0], used[1] or "TLS_AES_128_GCM_SHA256", refused)
    found = losses([use(*used)], {}, NO_RSA, {"192.0.2.1": hello})
    assert [(loss.fate, loss.by_hello) for loss in found] == ([] if fate is None else [(fate, refused)])


@pytest.mark.parametrize("other", [("TLSv1.1", RSA_USED[1]), ("TLSv1.2", "ECDHE-RSA-AES256-SHA"), ("TLSv1.3", "TLS_A")])
def test_a_hello_that_leads_elsewhere_than_the_log_says_is_not_heard(other: tuple[str, str]) -> None:
    (loss,) = losses([use(*RSA_USED)], {}, NO_RSA, {"192.0.2.1": Foretold(*other, None)})
    assert (loss.fate, loss.by_hello) == (Fate.DOUBTFUL, None)


def test_a_hello_speaks_for_its_own_handshakes_only() -> None:
    """Behind one address stand several machines, or one that has changed."""
    uses = [use(*RSA_USED, 3), use("TLSv1.2", "AES128-SHA", 4), use("TLSv1", "AES128-SHA", 2)]
    refused = {"192.0.2.1": Foretold(*RSA_USED, "no shared cipher")}
    (loss,) = losses(uses, {"192.0.2.1": 20}, NO_RSA, refused)
    assert (loss.fate, loss.sessions, loss.of, loss.by_hello) == (Fate.PARTLY, 9, 20, "no shared cipher")
    (loss,) = losses(uses, {"192.0.2.1": 20}, NO_RSA, {"192.0.2.1": Foretold(*RSA_USED, None)})
    assert (loss.fate, loss.sessions, loss.by_hello) == (Fate.PARTLY, 6, None)
    (loss,) = losses(uses[:2], {"192.0.2.1": 20}, NO_RSA, {"192.0.2.1": Foretold(*RSA_USED, None)})
    assert (loss.fate, loss.sessions) == (Fate.DOUBTFUL, 4)


def test_a_version_below_the_floor_rests_on_the_log_alone() -> None:
    (loss,) = losses([use("TLSv1", "AES128-SHA")], {}, NEW, {"192.0.2.1": Foretold("TLSv1", "AES128-SHA", None)})
    assert (loss.fate, loss.by_hello) == (Fate.LOST, None)


def test_the_surest_come_first_then_the_most_mail() -> None:
    floor = Floor(version=0x0303, without=KeyType.RSA)
    uses = [
        use("TLSv1.2", "ECDHE-RSA-AES128-SHA", mails=1000, ip="192.0.2.1"),
        use("TLSv1", "AES128-SHA", mails=1, ip="192.0.2.2"),
        use("TLSv1", "AES128-SHA", mails=2, ip="192.0.2.3"),
        use("TLSv1", "AES128-SHA", mails=9, ip="192.0.2.4"),
    ]
    found = losses(uses, {"192.0.2.4": 99}, floor)
    assert [loss.ip[-1] for loss in found] == ["3", "2", "4", "1"]


def test_a_floor_is_described() -> None:
    assert described(NEW) == "TLSv1.2 as the lowest version"
    assert described(Floor(0x0303, frozenset({"A", "B"}), KeyType.RSA)) == (
        "TLSv1.2 as the lowest version and 2 cipher suites only and no RSA certificate"
    )
