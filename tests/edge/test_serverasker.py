"""Whole handshakes with servers that obey, refuse or throw away a command that was sent behind STARTTLS in clear."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mailtls.core.probequestion import Shake, Shaken
from mailtls.core.probetarget import Service, read_target
from mailtls.core.tlsversion import TLS12, TLS13
from mailtls.edge.serverasker import ServerAsker

from .mailservers import MailServer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl(1) is not installed")

GREETINGS = {"smtp": b"220 mx\r\n", "imap": b"* OK ready\r\n", "pop3": b"+OK ready\r\n"}
# What is answered to a line, by its beginning; a tag in front is given back.
REPLIES = {
    "smtp": {"EHLO": "250-mx\r\n250 STARTTLS", "STARTTLS": "220 go", "NOOP": "250 2.0.0 Ok", "QUIT": "221 bye"},
    "imap": {
        "CAPABILITY": "* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done", "STARTTLS": "{tag} OK go",
        "NOOP": "{tag} OK noop", "LOGOUT": "* BYE\r\n{tag} OK bye",
    },
    "pop3": {"STLS": "+OK go", "NOOP": "+OK", "XNOOP": "-ERR what?", "QUIT": "+OK bye"},
}  # fmt: skip


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    place = tmp_path_factory.mktemp("server")
    key, certificate = place / "key.pem", place / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=mx.example.test", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made


class Server:
    """Lines in, replies out; `keeps`: what it read in clear behind STARTTLS is obeyed inside TLS."""

    def __init__(self, protocol: str, context: ssl.SSLContext, *, keeps: bool) -> None:
        self.protocol, self.context, self.keeps = protocol, context, keeps

    def __call__(self, client: socket.socket, over: threading.Event) -> None:
        client.sendall(GREETINGS[self.protocol])
        rest = self.talk(client, b"")
        if rest is None:
            return
        with self.context.wrap_socket(client, server_side=True) as secured:
            self.talk(secured, rest if self.keeps else b"")

    def talk(self, client: socket.socket, rest: bytes) -> bytes | None:
        """Answer lines; after STARTTLS give what came behind it, None where the client has gone."""
        while True:
            while b"\n" not in rest:
                data = client.recv(4096)
                if not data:
                    return None
                rest += data
            line, _, rest = rest.partition(b"\n")
            words = line.decode().split()
            tag, verb = (words[0], words[1]) if self.protocol == "imap" else ("", words[0])
            client.sendall(f"{REPLIES[self.protocol][verb]}\r\n".format(tag=tag).encode())
            if verb in ("STARTTLS", "STLS"):
                return rest


def shake(manner: Callable[[socket.socket, threading.Event], None], service: str, shaken: Shake) -> Shaken:
    with MailServer(manner) as server:
        return ServerAsker(read_target(f"127.0.0.1:{server.port}", Service(service)), 5.0).shake(shaken)


@pytest.mark.parametrize("protocol", GREETINGS)
@pytest.mark.parametrize("keeps", [False, True])
def test_a_command_behind_starttls_is_seen_to_be_obeyed_or_not(
    protocol: str, keeps: bool, context: ssl.SSLContext
) -> None:
    seen = shake(Server(protocol, context, keeps=keeps), protocol, Shake("", injects=True))
    assert seen.obeyed is keeps
    assert seen.version == "TLSv1.3"


def test_a_command_that_is_read_inside_tls_and_not_liked_there_is_obeyed_too(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REPLIES["smtp"], "NOOP", "503 5.5.1 EHLO first")
    assert shake(Server("smtp", context, keeps=True), "smtp", Shake("", injects=True)).obeyed is True


@pytest.mark.parametrize("protocol", GREETINGS)
def test_without_such_a_command_nothing_is_said_about_it(protocol: str, context: ssl.SSLContext) -> None:
    seen = shake(Server(protocol, context, keeps=True), protocol, Shake("", TLS12))
    assert (seen.obeyed, seen.version, seen.fault) == (None, "TLSv1.2", "")


def test_the_certificate_and_the_ticket_of_tls_1_3_are_seen(context: ssl.SSLContext) -> None:
    seen = shake(Server("smtp", context, keeps=False), "smtp", Shake("", TLS13, "mx.example.test"))
    assert ssl.DER_cert_to_PEM_cert(seen.certificate).startswith("-----BEGIN CERTIFICATE-----")
    assert seen.ticket is True


@pytest.mark.parametrize("answer", [b"554 5.5.1 Error: command pipelining\r\n", b"421 4.7.0 no\r\n"])
def test_a_server_that_refuses_such_a_command_is_safe(answer: bytes, tmp_path: Path) -> None:
    def refuses(client: socket.socket, over: threading.Event) -> None:
        client.sendall(GREETINGS["smtp"])
        for reply in (b"250-mx\r\n250 STARTTLS\r\n", answer):
            client.recv(4096)
            client.sendall(reply)

    seen = shake(refuses, "smtp", Shake("", injects=True))
    assert seen.obeyed is False
    assert answer.decode().strip() in seen.fault


def test_the_address_that_answered_first_is_asked_from_then_on(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MailServer(Server("smtp", context, keeps=False)) as server:
        ways = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port)) for address in ("127.0.0.9", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ways)
        asker = ServerAsker(read_target("mx.example.com", None), 5.0)
        asker.shake(Shake(""))
        with socket.create_server(("127.0.0.9", server.port)) as late:
            late.setblocking(False)
            asker.shake(Shake(""))
            with pytest.raises(BlockingIOError):
                late.accept()
        assert (asker.address, asker.connections, server.connections) == ("127.0.0.1", 2, 2)
