"""The PROXY header, version 2, byte by byte."""

from __future__ import annotations

import pytest

from mailtls.core.proxyheader import proxy_header

SIGNATURE = "0d0a0d0a000d0a515549540a"


@pytest.mark.parametrize(
    ("client", "server", "wanted"),
    [
        (("192.0.2.1", 4660), ("198.51.100.2", 25), "21" "11" "000c" "c0000201" "c6336402" "1234" "0019"),
        (
            ("2001:db8::1", 1), ("2001:db8::2", 25),
            "21" "21" "0024" "20010db8000000000000000000000001" "20010db8000000000000000000000002" "0001" "0019",
        ),
    ],
)  # fmt: skip
def test_a_header_names_client_and_server(client: tuple[str, int], server: tuple[str, int], wanted: str) -> None:
    assert proxy_header(client, server).hex() == SIGNATURE + wanted


def test_families_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="cannot have connected"):
        proxy_header(("192.0.2.1", 1), ("2001:db8::2", 25))
