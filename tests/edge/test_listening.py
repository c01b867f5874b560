"""What would kill a running master is found before it is told."""

from __future__ import annotations

import socket

import pytest

from mailtls.edge.listening import Listening, bind_fault, loopback, spelled
from mailtls.errors import PostfixError

IPV4 = {"inet_interfaces": "all", "inet_protocols": "ipv4"}

FOUND = [
    (IPV4, "25", (("0.0.0.0", 25),)),
    (IPV4, "smtp", (("0.0.0.0", 25),)),
    ({**IPV4, "inet_interfaces": "127.0.0.1, 127.0.0.2"}, "25", (("127.0.0.1", 25), ("127.0.0.2", 25))),
    ({**IPV4, "inet_interfaces": "loopback-only"}, "25", (("127.0.0.1", 25),)),
    ({**IPV4, "inet_interfaces": "127.0.0.1"}, "192.0.2.1:2525", (("192.0.2.1", 2525),)),
    (IPV4, "localhost:2525", (("127.0.0.1", 2525),)),
]


@pytest.mark.parametrize(("values", "name", "wanted"), FOUND)
def test_names_become_addresses(values: dict[str, str], name: str, wanted: tuple[tuple[str, int], ...]) -> None:
    assert Listening(values).addresses(name) == wanted


REFUSED = [
    ("nosuch.invalid:25", "nosuch.invalid does not resolve"),
    ("127.0.0.1:nosuchport", "/etc/services knows no port nosuchport"),
    ("127.0.0.1:", "a port is missing"),
    ("a..b:25", "does not resolve"),
]


@pytest.mark.parametrize(("name", "words"), REFUSED)
def test_what_does_not_resolve_is_refused(name: str, words: str) -> None:
    with pytest.raises(PostfixError, match=words):
        Listening(IPV4).addresses(name)


def test_a_port_that_is_taken_is_found_even_if_it_would_be_shared() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = other.getsockname()
        assert "address already in use" in str(bind_fault(address))
        assert "address already in use" in str(bind_fault(("0.0.0.0", address[1])))
    assert bind_fault(address) is None


def test_an_address_of_another_machine_is_found() -> None:
    assert bind_fault(("192.0.2.1", 0)) == "192.0.2.1:0: cannot assign requested address"


def test_a_wildcard_is_reached_at_loopback() -> None:
    assert loopback(("0.0.0.0", 25)) == ("127.0.0.1", 25)
    assert loopback(("::", 25)) == ("::1", 25)
    assert loopback(("192.0.2.1", 25)) == ("192.0.2.1", 25)
    assert spelled(("::1", 25)) == "[::1]:25"
