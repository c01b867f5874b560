"""Where a service listens is read as Postfix reads it."""

from __future__ import annotations

import pytest

from mailtls.core.endpoint import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("smtp", "", "smtp"),
        ("25", "", "25"),
        (":25", "", "25"),
        ("127.0.0.1:smtp", "127.0.0.1", "smtp"),
        ("[::1]:25", "::1", "25"),
        ("[192.0.2.1]:25", "192.0.2.1", "25"),
        ("mx.example.com:2525", "mx.example.com", "2525"),
    ],
)
def test_host_and_port_are_told_apart(name: str, host: str, port: str) -> None:
    assert parse_endpoint(name) == Endpoint(host, port)


@pytest.mark.parametrize("port", ["smtp", "0", "65536", "99999999999999999999", "-1", "+25", "２5"])
def test_a_port_to_listen_at_is_a_number(port: str) -> None:
    assert parse_endpoint("127.0.0.1:65535").number == 65535
    with pytest.raises(ValueError, match="is no port"):
        _ = Endpoint("127.0.0.1", port).number


@pytest.mark.parametrize("name", ["", "127.0.0.1:", "[::1]"])
def test_what_has_no_port_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a port is missing"):
        parse_endpoint(name)
