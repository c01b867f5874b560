"""What the successes of all peers prove about the server."""

from __future__ import annotations

import pytest
from tests.core.histories import at, history_of, success

from mailtls.core.cause import Door, Service
from mailtls.core.history import Tally
from mailtls.core.session import Session
from mailtls.core.site import survey
from mailtls.core.suite import KeyType

RSA, ECDSA = "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA"
FAILED = Tally(3, at(10), at(20))


@pytest.mark.parametrize(("sessions", "key"), [
    ([], None),
    ([success("192.0.2.1", 0, cipher=ECDSA)], KeyType.ECDSA),
    ([success("192.0.2.1", 0, cipher=ECDSA), success("192.0.2.2", 15, cipher=RSA)], KeyType.RSA),
    ([success("192.0.2.1", 0, cipher=ECDSA), success("192.0.2.2", 30, cipher=RSA)], KeyType.ECDSA),
    ([success("192.0.2.2", 30, cipher=RSA)], None),
    ([success("192.0.2.2", None, cipher=RSA)], KeyType.RSA),
    ([success("192.0.2.2", 0, cipher=RSA, service=Service.IMAP)], None),
    ([success("192.0.2.2", 0, cipher=RSA, door=Door.LEGACY)], None),
    ([success("192.0.2.2", 0)], None),
], ids=[
    "nothing", "ECDSA", "both", "RSA came later", "RSA only later", "no stamps", "IMAP", "relaxed door", "TLS 1.3",
])  # fmt: skip
def test_the_certificate_at_the_time_of_failures_is_known_from_suites(
    sessions: list[Session], key: KeyType | None
) -> None:
    assert survey(history_of(sessions)).certificate_at(FAILED) is key


@pytest.mark.parametrize(("moments", "taken"), [
    ((0, 30), True), ((15,), True), ((0, 9), False), ((21, 30), False), ((), False),
])  # fmt: skip
def test_tls_1_0_counts_as_taken_only_around_the_failures(moments: tuple[int, ...], taken: bool) -> None:
    site = survey(history_of(success("192.0.2.1", moment, version="TLSv1") for moment in moments))
    assert site.took_tls10_during(FAILED) is taken


def test_a_newer_version_is_not_tls_1_0() -> None:
    assert not survey(history_of([success("192.0.2.1", 15, version="TLSv1.1")])).took_tls10_during(FAILED)
