"""Small mail servers on loopback whose only talent is to behave badly, one way each; for the tests of what asks them.

Each connection has a thread of its own, and ends when the client goes or the server is closed.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Manner = Callable[[socket.socket, threading.Event], None]

GREETING = b"220 mx.example.test ESMTP\r\n"
EHLO = b"250-mx.example.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
GO = b"220 2.0.0 Ready to start TLS\r\n"


class MailServer:
    """Listens on a port of 127.0.0.1; `connections`: how many came."""

    def __init__(self, manner: Manner) -> None:
        self.connections = 0
        self._manner = manner
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> MailServer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(30)
            self._manner(client, self._over)


def gone(client: socket.socket, over: threading.Event) -> None:
    """Wait until the client has gone."""
    while not over.is_set() and client.recv(4096):
        pass


def says(*words: bytes) -> Manner:
    """Say this at once, and then listen for ever."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        client.sendall(b"".join(words))
        gone(client, over)

    return manner


def dialogue(client: socket.socket) -> None:
    """Behave as a mail server does, up to where TLS begins."""
    client.sendall(GREETING)
    for reply in (EHLO, GO):
        client.recv(4096)
        client.sendall(reply)


def after_starttls(then: Callable[[], Iterator[bytes]]) -> Manner:
    """Behave well until the hello has come, and then send these pieces, until the client goes."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        dialogue(client)
        client.recv(4096)
        for piece in then():
            if over.is_set():
                return
            client.sendall(piece)
        gone(client, over)

    return manner


def drips(words: Iterator[bytes]) -> Manner:
    """Say a byte now and then, for ever."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        for byte in words:
            client.sendall(byte)
            if over.wait(0.02):
                return

    return manner


def hangs_up(client: socket.socket, over: threading.Event) -> None:
    """Close at once."""


def tarpit(client: socket.socket, over: threading.Event) -> None:
    """Say nothing at all."""
    gone(client, over)
