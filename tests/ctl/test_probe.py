"""`mailtlsctl probe` as an operator types it: bad input is one sentence, and `--as` sends what a peer offers."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core.serverworld import ServerWorld
from ctl.parties import World, a_peer, a_world, explained
from ctl.program import mailtlsctl
from edge.mailservers import EHLO, GREETING, MailServer, dialogue, says, tarpit
from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.doorchoice import STOCK, choose
from mailtls.core.helloshown import PeerHello, shown
from mailtls.core.probequestion import hello_of
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV3, TLS10, TLS12, TLS13

SENTENCE = re.compile(r"mailtlsctl: [^\n]+\n")


def serving(world: ServerWorld, heard: list[ClientHello] | None = None) -> MailServer:
    """A server in memory on a real port, with SMTP in front."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        dialogue(client)
        data = b""
        while (hello := read_hello(data)) is None or hello.truncated:
            more = client.recv(1 << 14)
            if not more:
                return
            data += more
        if heard is not None:
            heard.append(hello)
        client.sendall(world.flight(hello))
        client.shutdown(socket.SHUT_WR)
        client.recv(4096)

    return MailServer(manner)


def probe(server: MailServer, *more: str) -> Any:
    return mailtlsctl("probe", f"127.0.0.1:{server.port}", "--delay", "0", "--timeout", "5", *more)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nobody.invalid"], 3, "nobody.invalid does not resolve"),
        (["mx:smtp"], 2, "'smtp' is no port"),
        (["[2001:db8::1"], 2, "is no host"),
        (["http://mx.example.com/"], 2, "is no host"),
        (["\x1b[2Jmx"], 2, "is no host"),
        (["mx", "--service", "http"], 2, "--service"),
        (["mx", "--delay", "-1"], 2, "--delay"),
        (["mx", "--as", "not a peer"], 2, "is no peer"),
        (["mx", "another"], 2, "another"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], status: int, words: str) -> None:
    seen = mailtlsctl("probe", *arguments)
    assert (seen.returncode, seen.stdout) == (status, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert words in seen.stderr


def test_a_port_where_nobody_listens_is_exit_status_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    seen = mailtlsctl("probe", f"127.0.0.1:{port}")
    assert seen.returncode == 3
    assert SENTENCE.fullmatch(seen.stderr)
    assert f"nobody answers at 127.0.0.1:{port}: connection refused" in seen.stderr


def test_an_ipv6_address_is_written_in_brackets() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
    assert f"nobody answers at [::1]:{port}: connection refused" in mailtlsctl("probe", f"[::1]:{port}").stderr


def test_a_name_beyond_ascii_is_looked_up_as_dns_has_it() -> None:
    assert "mailtlsctl: bücher.invalid does not resolve" in mailtlsctl("probe", "bücher.invalid").stderr


def test_a_tarpit_is_exit_status_3_and_one_sentence() -> None:
    with MailServer(tarpit) as server:
        seen = mailtlsctl("probe", f"127.0.0.1:{server.port}", "--delay", "0", "--timeout", "0.2")
    assert (seen.returncode, seen.stdout) == (3, "")
    assert SENTENCE.fullmatch(seen.stderr)


def test_a_server_without_starttls_is_a_finding() -> None:
    with MailServer(says(GREETING, EHLO.replace(b"STARTTLS", b"HELP"))) as server:
        text, answer = probe(server), json.loads(probe(server, "--json").stdout)
    assert text.returncode == 1
    assert "no-starttls: STARTTLS is not offered, only: PIPELINING, HELP" in text.stdout
    assert [row["finding"] for row in answer["findings"]] == ["no-starttls"]


def test_a_server_of_the_worst_kind_is_shown_as_it_is() -> None:
    worst = ServerWorld(
        {SSLV3: (0x0005, 0x0003, 0x0009), TLS10: (0x0005, 0x0001)}, kinds=(KeyType.RSA,), sslv2=(0x0700C0, 0x020080)
    )
    with serving(worst) as server:
        text, answer = probe(server), json.loads(probe(server, "--json").stdout)
    assert text.returncode == 1
    assert max(map(len, text.stdout.splitlines())) <= 80
    assert "  SSLv2    offered, 2 suites" in text.stdout
    assert "  SSLv2: DES-CBC3-MD5, EXP-RC2-CBC-MD5" not in text.stdout
    assert "  SSLv2: DES-CBC3-MD5, EXP-RC4-MD5" in text.stdout
    assert "  RC4-SHA                             1       1" in text.stdout
    assert "  NULL-MD5                            -       2" in text.stdout
    found = [row["finding"] for row in answer["findings"]]
    assert found == ["sslv2", "sslv3", "null-cipher", "export-cipher", "des-cipher"]
    rows = {row["version"]: row for row in answer["versions"]}
    assert rows["SSLv3"]["ciphers"] == ["RC4-SHA", "EXP-RC4-MD5", "DES-CBC-SHA"]
    assert rows["SSLv3"]["order"] == "server"


def test_what_could_not_be_asked_to_the_end_is_exit_status_3_with_what_was_learned() -> None:
    with serving(ServerWorld({TLS12: (0x002F, 0x0035)})) as server:
        seen = probe(server, "--json", "--most", "6")
    answer = json.loads(seen.stdout)
    assert seen.returncode == 3
    assert (answer["complete"], answer["connections"]) == (False, 6)
    assert answer["stopped"] == "6 connections were made, the most that --most allows"
    assert "is not complete: 6 connections were made" in seen.stderr
    assert answer["versions"][-2]["ciphers"] == ["AES128-SHA", "AES256-SHA"]


# --- as a peer -------------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


def captured(hello: ClientHello) -> PeerHello:
    at = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
    return PeerHello(at=at, alert=None, doors_known=False, **shown(hello, choose(hello, STOCK)))


MODERN = hello_of(TLS13, (0x1301, 0x1303), "mx.example.test", with_key=True)
OLD = ClientHello(TLS10, (0x0005, 0x000A, 0x00FE))


@pytest.mark.parametrize("hello", [MODERN, OLD, ClientHello(SSLV3, (0x000A,))])
def test_the_hello_of_a_peer_is_sent_with_all_that_it_offers(world: World, hello: ClientHello) -> None:
    heard: list[ClientHello] = []
    world.daemon.explained = [explained(a_peer(), hello=captured(hello))]
    with world.running(), serving(ServerWorld({TLS12: (0x002F,)}), heard) as server:
        world.mailtlsctl("probe", f"127.0.0.1:{server.port}", "--as", "192.0.2.7")
    assert len(heard) == 1
    for field in ("version", "ciphers", "versions", "groups", "signatures", "point_formats", "server_name"):
        assert getattr(heard[0], field) == getattr(hello, field), field
    assert set(heard[0].extensions) == set(hello.extensions) - {65281}


def test_the_answer_says_what_the_server_makes_of_the_peer(world: World) -> None:
    world.daemon.explained = [explained(a_peer(), hello=captured(OLD))]
    with world.running(), serving(ServerWorld({TLS10: (0x000A,)})) as server:
        taken = world.mailtlsctl("probe", f"127.0.0.1:{server.port}", "--as", "192.0.2.7")
    assert taken.returncode == 0
    assert "the server takes it: TLSv1 with DES-CBC3-SHA, RSA certificate" in taken.stdout
    assert "offers up to TLSv1 with RC4-SHA, DES-CBC3-SHA, 0x00FE (from its captured hello)" in " ".join(
        taken.stdout.split()
    )


def test_a_refusal_is_exit_status_1_and_names_what_comes_next(world: World) -> None:
    world.daemon.explained = [explained(a_peer(), hello=captured(OLD))]
    with world.running(), serving(ServerWorld({TLS12: (0x002F,)})) as server:
        where = f"127.0.0.1:{server.port}"
        refused = world.mailtlsctl("probe", where, "--as", "192.0.2.7")
        answer = json.loads(world.mailtlsctl("probe", where, "--as", "192.0.2.7", "--json").stdout)
    assert refused.returncode == 1
    assert "the server refuses it: alert 70 (protocol_version)" in refused.stdout
    assert "mailtlsctl explain 192.0.2.7" in refused.stdout
    assert (answer["accepted"], answer["alert"], answer["source"]) == (False, 70, "hello")


def test_without_a_hello_what_it_has_negotiated_is_sent(world: World) -> None:
    heard: list[ClientHello] = []
    known = explained(a_peer())
    day = known.days[0].model_copy(update={"outcome": "tls_ok", "tls_version": "TLSv1", "cipher": "AES128-SHA"})
    world.daemon.explained = [known.model_copy(update={"days": (*known.days, day)})]
    with world.running(), serving(ServerWorld({TLS10: (0x002F,)}), heard) as server:
        seen = world.mailtlsctl("probe", f"127.0.0.1:{server.port}", "--as", "192.0.2.7")
    assert seen.returncode == 0
    assert (heard[0].highest, heard[0].ciphers) == (TLS10, (0x002F,))
    assert "no hello of it is known" in " ".join(seen.stdout.split())


def test_a_peer_that_has_only_failed_is_a_sentence(world: World) -> None:
    world.daemon.explained = [explained(a_peer())]
    with world.running(), serving(ServerWorld({})) as server:
        seen = world.mailtlsctl("probe", f"127.0.0.1:{server.port}", "--as", "192.0.2.7")
        assert server.connections == 0
    assert (seen.returncode, seen.stdout) == (1, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert "mailtlsctl hello FILE.pcap" in seen.stderr


def test_an_unknown_peer_is_exit_status_1_and_no_mailtlsd_is_3(world: World) -> None:
    with world.running():
        assert world.mailtlsctl("probe", "--as", "192.0.2.99").returncode == 1
    seen = world.mailtlsctl("probe", "--as", "192.0.2.99")
    assert seen.returncode == 3
    assert SENTENCE.fullmatch(seen.stderr)
