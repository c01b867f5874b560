"""Fetching a policy from a host that belongs to strangers: it answers, it drips, it never ends, it is another."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from mailtls.edge.policyhost import fetch

HOST = "mta-sts.example.test"
PATH = "/.well-known/mta-sts.txt"
POLICY = b"version: STSv1\nmode: enforce\nmx: mx.example.test\nmax_age: 86400\n"
Says = Callable[[ssl.SSLSocket, threading.Event], None]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    path = tmp_path_factory.mktemp("policyhost") / "host.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@contextmanager
def host(certificate: Path, says: Says) -> Iterator[tuple[str, int]]:
    """A host that takes one client, reads its question, and says what it likes until the test is over."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client, context.wrap_socket(client, server_side=True) as wire:
                wire.recv(4096)
                says(wire, over)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask(certificate: Path, says: Says, patience_s: float = 10.0, longest: int = 65536) -> bytes | None:
    """Fetch from such a host, which is trusted."""
    with host(certificate, says) as address:
        context = ssl.create_default_context(cafile=certificate)
        return fetch(HOST, PATH, [address], longest, context=context, patience_s=patience_s)


def saying(*parts: bytes) -> Says:
    return lambda wire, _: wire.sendall(b"".join(parts))


def test_a_policy_is_fetched_whole_or_in_chunks(certificate: Path) -> None:
    length = f"Content-Length: {len(POLICY)}\r\n\r\n".encode()
    assert ask(certificate, saying(b"HTTP/1.1 200 OK\r\n", length, POLICY)) == POLICY
    chunk = f"{len(POLICY):x}\r\n".encode() + POLICY + b"\r\n0\r\n\r\n"
    assert ask(certificate, saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk)) == POLICY


def test_what_is_not_200_is_no_policy(certificate: Path) -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.example.test/x\r\nContent-Length: 0\r\n\r\n"
    assert ask(certificate, saying(moved)) is None


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_host_that_drips_is_left_at_the_deadline(start: bytes, certificate: Path) -> None:
    """Each byte comes long before the deadline, and there is no end of them."""

    def drip(wire: ssl.SSLSocket, over: threading.Event) -> None:
        wire.sendall(start)
        for _ in range(400):
            if over.wait(0.05):
                return
            wire.sendall(b"a")

    before = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(certificate, drip, patience_s=0.5)
    assert time.monotonic() - before < 10


@pytest.mark.parametrize("again", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 C\r\nX: " + b"y" * 900])
def test_headers_without_end_are_cut(again: bytes, certificate: Path) -> None:
    def talk(wire: ssl.SSLSocket, over: threading.Event) -> None:
        while not over.is_set():
            wire.sendall(again * 20)

    with pytest.raises(HTTPException, match="more than a policy needs"):
        ask(certificate, talk, longest=1000)


def test_a_body_without_end_is_cut(certificate: Path) -> None:
    def talk(wire: ssl.SSLSocket, over: threading.Event) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            wire.sendall(b"x" * 1000)

    assert ask(certificate, talk, longest=1000) == b"x" * 1000


def test_a_host_with_another_name_is_not_believed(certificate: Path) -> None:
    with host(certificate, saying(b"")) as address, pytest.raises(ssl.SSLError):
        fetch("mta-sts.other.test", PATH, [address], 100, context=ssl.create_default_context(cafile=certificate))


def test_where_nobody_listens_the_next_address_is_asked(certificate: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with host(certificate, saying(b"HTTP/1.0 200 OK\r\n\r\n", POLICY)) as address:
            context = ssl.create_default_context(cafile=certificate)
            assert fetch(HOST, PATH, [nobody.getsockname(), address], 65536, context=context) == POLICY
    with pytest.raises(OSError, match="no address"):
        fetch(HOST, PATH, [], 100)
