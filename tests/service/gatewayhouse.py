"""A gateway in this process, between clients of the test and a Postfix that the test plays.

Needs NSS. `Times` are short, so that what has to end by time ends within a test.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mailtls.core.gatewayrule import GatewaySettings
from mailtls.edge.nss import Engine
from mailtls.service.gateway import Gateway, Times

PATIENCE_S = 30.0
PROXY_HEADER = 16 + 12
"""Bytes of PROXY v2 for IPv4."""

USUAL = Times()

Backend = Callable[[socket.socket], None]


@cache
def engine() -> Engine:
    """Make NSS ready with a key; once in a process, as NSS itself."""
    with tempfile.TemporaryDirectory() as place:
        new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.example")
        for command in (
            (*new, "-keyout", "key.pem", "-out", "crt.pem"),
            ("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key"),
            ("openssl", "x509", "-in", "crt.pem", "-outform", "DER", "-out", "crt"),
        ):
            subprocess.run(command, cwd=place, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        return Engine(Path(place, "key").read_bytes(), Path(place, "crt").read_bytes())


@dataclass
class GatewayHouse:
    """`port`: where clients come; `said`: the lines of its log."""

    port: int
    said: list[str] = field(default_factory=list)

    def call(self, source: str = "127.0.0.1") -> socket.socket:
        """Connect as a client, and hear nothing yet."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S, (source, 0))

    def approach(self, source: str = "127.0.0.1") -> socket.socket:
        """Come as far as the first byte of TLS."""
        client = self.call(source)
        for command in (b"", b"EHLO peer.test\r\n", b"STARTTLS\r\n"):
            client.sendall(command)
            assert reply(client).startswith(b"2")
        return client

    def secure(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """Shake hands with what OpenSSL and the gateway have in common."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA:@SECLEVEL=0")
        return context.wrap_socket(self.approach(source))


def reply(client: socket.socket) -> bytes:
    """Read one reply of SMTP, all its lines, byte by byte; none: the end."""
    said = b""
    while not (said.endswith(b"\n") and said.splitlines()[-1][3:4] != b"-"):
        byte = client.recv(1)
        if not byte:
            break
        said += byte
    return said


def exactly(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes, or what there is until the end."""
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def polite(connection: socket.socket) -> None:
    """Play a Postfix that answers every line with 250; EHLO with two lines."""
    connection.sendall(b"220 mx ESMTP\r\n")
    rest = b""
    while data := connection.recv(65536):
        *lines, rest = (rest + data).split(b"\n")
        connection.sendall(b"".join(b"250-mx\r\n250 SIZE\r\n" if line[:4] == b"EHLO" else b"250 ok\r\n" for line in lines))


@contextmanager
def gateway_house(
    place: Path, backend: Backend = polite, times: Times = USUAL, **settings: object
) -> Iterator[GatewayHouse]:
    """Run a gateway whose Postfix is played by `backend`, a thread for each connection behind its PROXY header."""
    path = place / "backend.sock"

    def served(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            exactly(connection, PROXY_HEADER)
            backend(connection)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=served, args=(listening.accept()[0],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as behind, socket.create_server(("127.0.0.1", 0), backlog=512) as before:
        behind.bind(str(path))
        behind.listen(512)
        threading.Thread(target=serve, args=(behind,), daemon=True).start()
        house = GatewayHouse(before.getsockname()[1])
        gateway = Gateway(engine(), GatewaySettings.model_validate({"backend": str(path), **settings}), house.said.append,
                          times)  # fmt: skip
        loop = asyncio.new_event_loop()
        task = loop.create_task(gateway.run([before]))

        def turn() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)

        thread = threading.Thread(target=turn)
        thread.start()
        try:
            yield house
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the gateway does not stop"
            loop.close()
            behind.shutdown(socket.SHUT_RDWR)
