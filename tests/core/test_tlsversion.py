"""Numbers and names of versions."""

from __future__ import annotations

from mailtls.core.protocollist import VERSIONS
from mailtls.core.tlsversion import NUMBERS, name_of, number_of, numbers_of


def test_every_version_has_a_number_and_back() -> None:
    assert [name_of(number) for number in NUMBERS] == list(VERSIONS)
    assert [number_of(name.upper()) for name in VERSIONS] == list(NUMBERS)


def test_what_nobody_knows_is_hexadecimal_or_left_out() -> None:
    assert name_of(0x0305) == "0x0305"
    assert number_of("TLSv1.4") is None
    assert numbers_of(["TLSv1.2", "junk"]) == {0x0303}
