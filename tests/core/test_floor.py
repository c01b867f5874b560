"""Who would be lost by a higher floor."""

from __future__ import annotations

from datetime import date

import pytest

from mailtls.core.floor import Fate, Floor, Use, described, losses
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
