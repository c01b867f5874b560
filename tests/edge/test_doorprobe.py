"""What a client sees is told as values, and what a server does wrong as a clause."""

from __future__ import annotations

import socket
import threading

import pytest

from mailtls.edge import doorprobe
from mailtls.edge.doorprobe import Knock, look, visit

EHLO = "250-mx\r\n250-PIPELINING\r\n250 SIZE 1\r\n"
OFFER = "250-mx\r\n250 STARTTLS\r\n"
ASKING = Knock(recipient="x@example.test")

FAULTS = [
    # what the server says, one piece to each thing it hears, and what is told
    (["421 4.3.2 busy\r\n"], Knock(), "the greeting is '421 4.3.2 busy'"),
    ([""], Knock(), "there is no greeting: the connection is closed"),
    (["220 mx\r\n", "421 4.3.0 error\r\n"], Knock(), "EHLO is answered with '421 4.3.0 error'"),
    (["220 mx\r\n", ""], Knock(), "there is no answer to EHLO: the connection is closed"),
    (["220 mx\r\n", OFFER, "454 4.7.0 no\r\n"], Knock(), "STARTTLS is answered with '454 4.7.0 no'"),
    (["220 mx\r\n", OFFER, "220 go\r\n", "junk"], Knock(), "the TLS handshake after STARTTLS fails"),
    (["220 mx\r\n", EHLO, "451 4.7.1 no\r\n"], ASKING, "MAIL is answered with '451 4.7.1 no'"),
    (["220 mx\r\n", EHLO, "250 ok\r\n", "451 4.3.5 error\r\n"], ASKING, "RCPT is answered with '451 4.3.5 error'"),
    (["220-" + "x" * 70000], Knock(), "there is no greeting: the connection is closed"),
    (["220-x\r\n" * 300], Knock(), "the answer to greeting has no end"),
]

FINE = [
    (["220 mx\r\n", EHLO, "221 bye\r\n"], Knock()),
    (["220-wait\r\n220 mx\r\n", EHLO, "221 bye\r\n"], Knock()),
    (["220 mx\r\n", EHLO, "250 ok\r\n", "550 5.1.1 nobody\r\n", "221 bye\r\n"], ASKING),
    (["220 mx\r\n", EHLO, "250 ok\r\n", "450 4.2.0 greylisted\r\n", "221 bye\r\n"], ASKING),
    (["220 mx\r\n", EHLO, "530 5.7.0 STARTTLS first\r\n", "221 bye\r\n"], ASKING),
    (["220 mx\r\n", OFFER, "221 bye\r\n"], Knock(tries_tls=False)),
]


def played(script: list[str], knock: Knock) -> tuple[doorprobe.Sighting, list[bytes]]:
    """Be a server that follows a script; give what the client saw, and what it said."""
    client, server = socket.socketpair()
    heard: list[bytes] = []

    def serve() -> None:
        with server:
            for number, piece in enumerate(script):
                if number:
                    heard.append(server.recv(65536))
                server.sendall(piece.encode())

    thread = threading.Thread(target=serve)
    thread.start()
    seen = look(client, knock)
    thread.join()
    return seen, heard


@pytest.mark.parametrize(("script", "knock", "fault"), FAULTS)
def test_what_goes_wrong_is_told(script: list[str], knock: Knock, fault: str) -> None:
    assert played(script, knock)[0].fault.startswith(fault)


@pytest.mark.parametrize(("script", "knock"), FINE)
def test_what_a_server_may_answer_is_no_fault_and_no_mail_is_sent(script: list[str], knock: Knock) -> None:
    seen, heard = played(script, knock)
    assert (seen.fault, seen.banner) == ("", "220 mx")
    assert heard[-1] == b"QUIT\r\n"
    assert not any(said.startswith(b"DATA") for said in heard)


def test_a_server_that_refuses_everybody_is_believed() -> None:
    seen, heard = played(["554 5.7.1 go away\r\n"], Knock())
    assert (seen.fault, seen.banner, heard) == ("", "554 5.7.1 go away", [])


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorprobe, "PATIENCE_S", 0.05)
    client, server = socket.socketpair()
    with server:
        assert "took longer than" in look(client, Knock()).fault


def test_a_port_at_which_nobody_listens_is_a_fault() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert visit(free.getsockname(), Knock()).fault == "nobody answers there: connection refused"
