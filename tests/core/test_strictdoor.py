"""Whom the strict door would take, as far as the log shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.level import Level
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.core.strictdoor import SUITES, StrictDoor, is_low
from mailtls.core.waiver import Origin, Waiver

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def handshake(version: str | None, cipher: str | None, door: Door = Door.STRICT) -> Session:
    return Session(
        NOW, Peer("192.0.2.7"), Service.SMTPD, door, Outcome.TLS_OK, Cause.NONE, tls_version=version, cipher=cipher
    )


def waiver(cause: Cause | None) -> Waiver:
    end = NOW + 30 * DAY
    return Waiver("192.0.2.7", Level.LEGACY, "policy", "old", NOW, end, end, Origin.POLICY, cause)


RSA, ECDSA, TLS13 = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_AES_256_GCM_SHA384"


@pytest.mark.parametrize(
    ("seen", "at_door", "cause", "taken"),
    [
        (("TLSv1.2", ECDSA), ("TLSv1.2", ECDSA), Cause.NO_SHARED_CIPHER, True),
        (("TLSv1.2", ECDSA), ("TLSv1.2", RSA), Cause.NO_SHARED_CIPHER, False),
        (("TLSv1.2", RSA), ("TLSv1.2", RSA), Cause.PEER_TOO_OLD, True),
        (("TLSv1.2", RSA), ("TLSv1", RSA), Cause.PEER_TOO_OLD, False),
        (("TLSv1.3", TLS13), ("TLSv1.3", TLS13), Cause.PEER_TOO_OLD, True),
        (("TLSv1.3", TLS13), ("TLSv1.3", TLS13), Cause.NO_SHARED_CIPHER, False),
        (("TLSv1.3", TLS13), ("TLSv1.3", TLS13), None, False),
        (("TLSv1.2", RSA), (None, RSA), Cause.PEER_TOO_OLD, False),
        (("TLSv1.2", RSA), ("TLSv1.2", None), Cause.PEER_TOO_OLD, False),
        ((None, RSA), (None, RSA), Cause.PEER_TOO_OLD, False),
    ],
)
def test_a_peer_has_outgrown_its_door_when_strict_has_taken_the_same(
    seen: tuple[str | None, str | None], at_door: tuple[str | None, str | None], cause: Cause | None, taken: bool
) -> None:
    strict = StrictDoor()
    strict.took(handshake(*seen), NOW + DAY)
    assert strict.would_take(handshake(*at_door, door=Door.LEGACY), waiver(cause)) is taken


def test_what_strict_took_before_the_waiver_proves_nothing() -> None:
    strict = StrictDoor()
    strict.took(handshake("TLSv1.2", RSA), NOW - DAY)
    strict.took(handshake("TLSv1.2", RSA), None)
    assert not strict.would_take(handshake("TLSv1.2", RSA), waiver(Cause.PEER_TOO_OLD))


def test_strange_suites_without_number_are_not_remembered() -> None:
    strict = StrictDoor()
    for number in range(SUITES * 2):
        strict.took(handshake("TLSv1.2", f"suite {number}"), NOW)
    assert len(strict.took_at) == SUITES


@pytest.mark.parametrize(
    ("version", "low"),
    [("TLSv1", True), ("TLSv1.1", True), ("SSLv3", True), ("TLSv1.2", False), ("TLSv1.3", False), (None, False)],
)
def test_below_tls_12_is_low_and_an_unknown_version_is_not_known_to_be(version: str | None, low: bool) -> None:
    assert is_low(version) is low
