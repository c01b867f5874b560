"""Connections at a port are counted on this machine's side only, and their end is waited for."""

from __future__ import annotations

import socket
import threading

import pytest

from mailtls.edge.doorsessions import sessions_at, wait_until_left


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_established_connections_are_counted_and_listening_ones_and_the_clients_are_not(
    family: socket.AddressFamily, host: str
) -> None:
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        assert sessions_at({port}) == 0
        client.connect((host, port))
        inside, _ = server.accept()
        with inside:
            assert sessions_at({port}) == 1
            assert sessions_at({client.getsockname()[1]}) == 1, "the client's own port, which is on this machine too"
            assert wait_until_left({port}, 0.0, 0.0) == 1
            leave = threading.Timer(0.2, lambda: (client.close(), inside.close()))
            leave.start()
            assert wait_until_left({port}, 20.0, 0.0) == 0
            leave.join()
