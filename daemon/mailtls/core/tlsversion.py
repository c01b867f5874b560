"""Versions of TLS: the numbers of the protocol, and Postfix's names for them (`protocollist.VERSIONS`)."""

from __future__ import annotations

from collections.abc import Iterable

from mailtls.core.protocollist import VERSIONS

SSLV2, SSLV3, TLS10, TLS11, TLS12, TLS13 = NUMBERS = (0x0002, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304)
"""As they stand in a hello (RFC 8446 appendix D; 0x0002 in a hello of SSL 2.0), oldest first."""

_NAMES = dict(zip(NUMBERS, VERSIONS, strict=True))
_NUMBERS = {name.lower(): number for number, name in _NAMES.items()}


def name_of(number: int) -> str:
    """Name a version; what no standard knows is hexadecimal."""
    return _NAMES.get(number, f"0x{number:04x}")


def number_of(name: str) -> int | None:
    """Give the number of a version by Postfix's name, in any case; None for what it does not know."""
    return _NUMBERS.get(name.lower())


def numbers_of(names: Iterable[str]) -> frozenset[int]:
    """Give the numbers of versions by their names; unknown names are left out."""
    return frozenset(number for name in names if (number := number_of(name)) is not None)
