"""A probe has an end at every server, however hostile, and says in a sentence what it met."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator

import pytest

from mailtls.core.probed import Probed
from mailtls.core.probeplan import probe_plan
from mailtls.core.probetarget import read_target
from mailtls.core.serverhello import LONGEST
from mailtls.edge.serverasker import ServerAsker
from mailtls.edge.serverprobe import MOST, NoStarttls, Pace, ServerProbe
from mailtls.errors import UnreachableError

from .mailservers import EHLO, GREETING, MailServer, Manner, after_starttls, drips, hangs_up, says, tarpit

PATIENCE_S = 0.3  # seconds for a connection: what a server that never answers costs a test


def forever(piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.repeat(piece * 200)


def probe(
    manner: Manner, pauses: list[float] | None = None, *, most: int = MOST, service: str = ""
) -> tuple[Probed, str, int]:
    """Probe a server; give what was learned, why it ended, and how many connections it took."""
    probed, waited = Probed(), pauses if pauses is not None else []
    with MailServer(manner) as server:
        target = read_target(f"127.0.0.1:{server.port}", None)
        asking = ServerProbe(
            ServerAsker(target, PATIENCE_S), Pace(0.0, most), lambda step: None, wait=lambda s: waited.append(s)
        )
        why = asking.follow(probe_plan(probed, None, starttls=True))
        return probed, why, server.connections


HOSTILE: dict[str, tuple[Manner, str]] = {
    "a tarpit": (tarpit, "no TLS was begun: it took longer than 0.3 s"),
    "one that hangs up": (hangs_up, "the connection is closed"),
    "garbage instead of a greeting": (says(bytes(range(128, 256)) + b"\r\n"), "the greeting is"),
    "garbage without an end": (says(b"\xff" * 200_000), "it says more than 64 KiB before TLS begins"),
    "a greeting without an end": (says(b"220-hello\r\n" * 500), "a reply has more than 200 lines"),
    "a greeting that drips": (drips(itertools.repeat(b"2")), "no TLS was begun: it took longer than 0.3 s"),
    "HTTP": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the greeting is 'HTTP/1.1 400 Bad Request'"),
    "garbage for a ServerHello": (
        after_starttls(lambda: iter([b"\x99" * 400])), "the answer is no TLS: bytes 99 99 99"),
    "plain text for a ServerHello": (
        after_starttls(lambda: iter([b"454 4.7.0 not now\r\n"])), "the answer is no TLS: '454 4.7.0 not now'"),
    "empty records without an end": (
        after_starttls(forever(b"\x16\x03\x03\0\0")), f"the answer is longer than {LONGEST // 1024} KiB"),
    "warnings without an end": (
        after_starttls(forever(b"\x15\x03\x03\0\x02\x01\x70")), "the same warning comes again and again"),
    "a message without an end": (
        after_starttls(lambda: iter([b"\x16\x03\x03\0\x04\x02\xff\xff\xff"])), "claims 16,777,215 bytes"),
    "silence after the hello": (after_starttls(lambda: iter([b""])), "no whole answer came within 0.3 s"),
    "encrypted data at once": (
        after_starttls(lambda: iter([b"\x17\x03\x03\0\x05abcde"])), "a record of type 23 came"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_server_is_left_alone_after_a_few_connections(kind: str) -> None:
    manner, words = HOSTILE[kind]
    with pytest.raises(UnreachableError) as error:
        probe(manner)
    assert words in str(error.value)
    assert "cannot be probed: 3 times in a row nothing sensible came" in str(error.value)
    assert "openssl s_client -connect 127.0.0.1:" in str(error.value)


def test_no_more_than_three_connections_are_spent_on_it() -> None:
    counted: list[int] = []

    def counts(client: socket.socket, over: object) -> None:
        counted.append(1)

    with pytest.raises(UnreachableError):
        probe(counts)
    assert len(counted) == 3


def test_what_a_terminal_would_obey_is_not_in_the_sentence() -> None:
    with pytest.raises(UnreachableError) as error:
        probe(says(b"\x1b[2J\x07 hello\r\n"))
    assert str(error.value).isprintable()


def test_a_server_that_is_busy_is_given_time_and_then_left_alone() -> None:
    pauses: list[float] = []
    with pytest.raises(UnreachableError, match=r"the greeting is '421 4\.7\.0 too many connections'"):
        probe(says(b"421 4.7.0 too many connections\r\n"), pauses)
    assert [pause for pause in pauses if pause] == [1.0, 3.0, 10.0]


def test_a_server_that_counts_new_sessions_is_busy_and_not_without_tls() -> None:
    pauses: list[float] = []
    words = b"454 4.7.0 Error: too many new TLS sessions from unknown[192.0.2.1]\r\n"
    with pytest.raises(UnreachableError, match=r"it is busy: STARTTLS is answered with '454 4\.7\.0 Error: too many"):
        probe(says(GREETING, EHLO, words), pauses)
    assert [pause for pause in pauses if pause] == [1.0, 3.0, 10.0]


def test_a_server_that_becomes_busy_keeps_what_was_learned() -> None:
    calls = itertools.count()

    def manner(client: socket.socket, over: object) -> None:
        number = next(calls)
        refusal = b"\x15\x03\x03\0\x02\x02\x46"
        then = after_starttls(lambda: iter([refusal])) if number < 3 else says(b"450 4.7.1 rate limited\r\n")
        then(client, over)  # type: ignore[arg-type]

    probed, why, _ = probe(manner)
    assert why == "the greeting is '450 4.7.1 rate limited'"
    assert [found.offered for found in probed.versions.values()][:3] == [False, False, False]


def test_without_starttls_there_is_nothing_to_probe() -> None:
    with pytest.raises(NoStarttls, match="STARTTLS is not offered, only: PIPELINING, SIZE 10240"):
        probe(says(GREETING, EHLO.replace(b"STARTTLS", b"SIZE 10240")))


def test_starttls_that_is_refused_is_said_in_the_servers_words() -> None:
    with pytest.raises(NoStarttls, match=r"STARTTLS is answered with '454 4\.7\.0 TLS not available"):
        probe(says(GREETING, EHLO, b"454 4.7.0 TLS not available due to local problem\r\n"))


def test_a_server_that_only_now_and_then_says_nothing_sensible_is_asked_to_the_end() -> None:
    calls = itertools.count()

    def manner(client: socket.socket, over: object) -> None:
        answer = b"\x15\x03\x03\0\x02\x02\x46" if next(calls) % 3 == 2 else b"\x99" * 20
        after_starttls(lambda: iter([answer]))(client, over)  # type: ignore[arg-type]

    _, why, connections = probe(manner)
    assert why == ""
    assert connections > 3


def test_a_limit_of_connections_is_kept() -> None:
    _, why, connections = probe(after_starttls(lambda: iter([b"\x15\x03\x03\0\x02\x02\x46"])), most=4)
    assert connections == 4
    assert why == "4 connections were made, the most that --most allows"


def test_between_two_connections_there_is_a_pause() -> None:
    pauses: list[float] = []
    with MailServer(after_starttls(lambda: iter([b"\x15\x03\x03\0\x02\x02\x46"]))) as server:
        target = read_target(f"127.0.0.1:{server.port}", None)
        asking = ServerProbe(
            ServerAsker(target, PATIENCE_S), Pace(0.25), lambda step: None, wait=lambda s: pauses.append(s)
        )
        assert asking.follow(probe_plan(Probed(), None, starttls=True)) == ""
        assert pauses == [0.25] * (server.connections - 1)


def test_a_port_where_nobody_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    target = read_target(f"127.0.0.1:{port}", None)
    asking = ServerProbe(ServerAsker(target, 1.0), Pace(0.0), lambda step: None)
    with pytest.raises(UnreachableError, match=f"nobody answers at 127.0.0.1:{port}: connection refused"):
        asking.follow(probe_plan(Probed(), None, starttls=True))


def test_a_name_that_does_not_resolve_is_said() -> None:
    with pytest.raises(UnreachableError, match=r"nobody\.invalid does not resolve: .*; check its spelling"):
        ServerAsker(read_target("nobody.invalid", None), 1.0)
