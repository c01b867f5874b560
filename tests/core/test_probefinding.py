"""What is weak is found, each thing under its name; what mail still needs here and there is not called weak."""

from __future__ import annotations

import pytest

from mailtls.core.probed import Probed, VersionFound
from mailtls.core.probefinding import Weakness, weak_points
from mailtls.core.probetarget import Service
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS10, TLS12


def of(version: int, *suites: int) -> Probed:
    return Probed({version: VersionFound(True, suites=list(suites))})


def found(probed: Probed, service: Service = Service.SMTP) -> list[Weakness]:
    return [each.weakness for each in weak_points(probed, service)]


@pytest.mark.parametrize(
    ("probed", "weakness"),
    [
        (of(SSLV3, 0x002F), [Weakness.SSLV3]),
        (of(SSLV2, 0x0700C0), [Weakness.SSLV2]),
        (of(SSLV2, 0x060040), [Weakness.SSLV2, Weakness.DES]),
        (of(SSLV2, 0x020080), [Weakness.SSLV2, Weakness.EXPORT]),
        (of(TLS10, 0x0001), [Weakness.NULL]),
        (of(TLS12, 0x003B), [Weakness.NULL]),
        (of(TLS10, 0x0003), [Weakness.EXPORT]),
        (of(TLS10, 0x0008), [Weakness.EXPORT]),
        (of(TLS10, 0x0062), [Weakness.EXPORT]),
        (of(TLS10, 0x0009), [Weakness.DES]),
        (of(TLS10, 0x0015), [Weakness.DES]),
        (Probed(prime_bits=512), [Weakness.SMALL_PRIME]),
        (Probed(prime_bits=1023), [Weakness.SMALL_PRIME]),
        (Probed(obeyed=True), [Weakness.INJECTION]),
        (Probed(no_starttls="STARTTLS is not offered"), [Weakness.NO_STARTTLS]),
    ],
)
def test_what_is_weak_has_a_name(probed: Probed, weakness: list[Weakness]) -> None:
    assert found(probed) == weakness


@pytest.mark.parametrize(
    "probed",
    [
        of(TLS10, 0x002F, 0x000A, 0x0005, 0x0004, 0x0016),
        of(TLS12, 0xC02F, 0xC02B, 0x009E),
        Probed({SSLV3: VersionFound(False), SSLV2: VersionFound(False)}),
        Probed(prime_bits=1024, obeyed=False),
    ],
)
def test_what_is_only_old_is_not_weak(probed: Probed) -> None:
    assert found(probed) == []


@pytest.mark.parametrize("service", Service)
def test_suites_without_a_certificate_are_weak_where_clients_rely_on_it(service: Service) -> None:
    expected = [] if service is Service.SMTP else [Weakness.ANONYMOUS]
    assert found(of(TLS12, 0x0034, 0xC018), service) == expected


def test_the_worst_comes_first_and_long_lists_are_cut() -> None:
    probed = of(SSLV3, 0x0001, 0x0002, 0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0009)
    probed.obeyed = True
    points = weak_points(probed, Service.SMTP)
    assert [each.weakness for each in points] == [
        Weakness.INJECTION, Weakness.SSLV3, Weakness.NULL, Weakness.EXPORT, Weakness.DES,
    ]  # fmt: skip
    assert points[3].seen.endswith(" and 1 more")
