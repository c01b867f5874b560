"""Hellos sent to servers of every temper: the answer, or a sentence in a bounded time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from mailtls.edge import helloasker
from mailtls.edge.helloasker import Entrance, answer_to
from mailtls.errors import PostfixError

ALERT = b"\x15\x03\x01\0\x02\x02\x28"
Temper = Callable[[socket.socket], None]


@contextmanager
def server(temper: Temper) -> Iterator[Entrance]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                temper(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Entrance("smtp", "127.0.0.1", listening.getsockname()[1])
        thread.join()


def polite(*replies: bytes, last: bytes = ALERT) -> Temper:
    def act(client: socket.socket) -> None:
        with suppress(ConnectionError):
            for reply in replies:
                client.sendall(reply)
                client.recv(4096)
            client.sendall(last)

    return act


GREETING = (b"220-mx\r\n220 mx ESMTP\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n")


def test_the_answer_behind_starttls_is_read_with_our_own_port() -> None:
    with server(polite(*GREETING)) as entrance:
        answer, ip, port = answer_to(b"hello", entrance)
    assert (answer.alert, answer.accepted, ip) == (40, False, "127.0.0.1")
    assert port > 0


def test_a_server_that_closes_without_a_word_has_no_answer() -> None:
    with server(polite(*GREETING, last=b"")) as entrance:
        answer = answer_to(b"hello", entrance)[0]
    assert answer.refused
    assert answer.alert is None


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ((b"421 4.3.2 \x1b[31mbusy\r\n",), r"service smtp cannot be asked at .*: the greeting is '421 4\.3\.2 \?\[31mbusy'"),
        ((GREETING[0], GREETING[1], b"454 TLS not available\r\n"), "STARTTLS is answered with '454 TLS not available'"),
        ((b"2" * 200_000,), "it says more than 64 KiB before TLS begins"),
    ],
)
def test_what_is_no_way_to_tls_is_said_in_printable_words(replies: tuple[bytes, ...], words: str) -> None:
    with server(polite(*replies, last=b"")) as entrance, pytest.raises(PostfixError, match=words):
        answer_to(b"hello", entrance)


def test_a_server_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helloasker, "PATIENCE_S", 0.2)
    silent: Temper = lambda client: client.recv(1) and None  # noqa: E731
    with server(silent) as entrance, pytest.raises(PostfixError, match="service smtp: no answer within"):
        answer_to(b"hello", entrance)
