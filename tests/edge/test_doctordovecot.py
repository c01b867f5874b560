"""Which ports of Dovecot are asked for a handshake."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from mailtls.core.doctordovecot import DovecotFacts, parse_doveconf
from mailtls.edge.doctordovecot import failing_ports


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port where whoever connects is hung up on, as by a listener that waits for a proxy's words."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("more", "asked"), [("", True), ("ssl = yes", True), ("haproxy = yes", False), ("ssl = no", False)]
)
def test_only_a_listener_that_begins_with_tls_is_asked(deaf: int, more: str, *, asked: bool) -> None:
    text = f"protocols = imap\nservice imap-login {{\n  inet_listener imaps {{\n    port = {deaf}\n    {more}\n  }}\n}}\n"
    failing = failing_ports(DovecotFacts("dovecot.conf", (2, 3), parse_doveconf(text)))
    assert [port for port, _ in failing] == ([deaf] if asked else [])
