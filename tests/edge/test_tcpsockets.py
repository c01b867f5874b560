"""Who listens and who is connected, as the kernel lists it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mailtls.edge.conntrack import conntrack_ratio
from mailtls.edge.tcpsockets import listeners, sessions

HOSTS = [pytest.param("127.0.0.2", id="IPv4"), pytest.param("::1", id="IPv6")]


@pytest.mark.parametrize("host", HOSTS)
def test_listeners_and_sessions_are_seen(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
        port = listening.getsockname()[1]
        assert listeners(port) == ()
        listening.listen()
        assert (listeners(port), sessions({port})) == ((host,), 0)
        with socket.create_connection((host, port)) as client, listening.accept()[0]:
            assert sessions({port, 1}) == 1
            assert sessions({port + 1}) == 0
            assert listeners(client.getsockname()[1]) == ()


def test_an_ipv4_client_of_an_ipv6_socket_is_spelled_as_ipv4(tmp_path: Path) -> None:
    mapped = tmp_path / "tcp6"
    mapped.write_text(
        "  sl  local_address remote_address st\n   0: 0000000000000000FFFF00000200007F:2801 0:0 0A 0\n"
        "   1: 00000000000000000000000001000000:2801 0:0 06 0\n"
    )
    assert listeners(0x2801, [mapped]) == ("127.0.0.2",)
    assert sessions({0x2801}, [mapped, tmp_path / "missing"]) == 0


def test_the_table_of_connections_has_a_ratio_where_there_is_one(tmp_path: Path) -> None:
    assert conntrack_ratio(tmp_path) is None
    (tmp_path / "nf_conntrack_count").write_text("300\n")
    (tmp_path / "nf_conntrack_max").write_text("400\n")
    assert conntrack_ratio(tmp_path) == 0.75
    (tmp_path / "nf_conntrack_max").write_text("0\n")
    assert conntrack_ratio(tmp_path) is None
