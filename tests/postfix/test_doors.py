"""Doors as a whole: peers in network namespaces of their own, a real Postfix, `setup`, keeper, nftables, mailtlsd.

The strict door has an ECDSA certificate and takes TLS 1.2 and later. One mail server serves all tests here; each has
peers of its own. What stops, breaks or reconfigures a server is in test_doors_broken.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import pytest

from .clients import TLS10_ONLY, TLS12_RSA_ONLY, TLS13_MODERN, insists
from .conversation import Handshake
from .doors import context_of, matrix
from .doors_world import DoorWorld
from .netns import SECOND4, SECOND6, SERVER4, SERVER6, network, why_no_namespaces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or ""),
]

STRICT, LEGACY_RSA, LEGACY = "postfix", "postfix/mailtls-legacy-rsa", "postfix/mailtls-legacy"
PORTS = {"legacy-rsa": 10125, "legacy": 10225}
STRANGERS = {"IPv4": "203.0.113.9", "IPv6": "2001:db8:78::9"}
LIVE = re.compile(r"\blive after ([\d.]+) ms\b")
SITE = """
table inet site {
  chain in {
    type filter hook input priority 10;
    tcp dport 4444 drop
  }
}
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[DoorWorld, dict[str, dict[str, str]]]]:
    """The world, and the matrix of handshakes from before `setup`, over both families."""
    with network() as net, net.server, DoorWorld(net, setup=None) as world:
        before = {family: dict(matrix(world.internet, address)) for family, address in STRANGERS.items()}
        world.set_up("--self-signed")
        yield world, before
        assert world.keeper.running
        assert world.daemon.running
        assert not [line for line in world.postfix.lines() if " fatal: " in line or " panic: " in line]


@pytest.fixture
def world(shared: tuple[DoorWorld, dict[str, dict[str, str]]]) -> Iterator[DoorWorld]:
    """The shared world, this thread in it; pytest shows what its processes said when a test fails."""
    world, _ = shared
    with world.network.server:
        yield world
    print(world.words())
    print("\n".join(world.postfix.lines()[-40:]))


FAMILIES = pytest.mark.parametrize("family", ["IPv4", "IPv6"])
PROBLEMS = pytest.mark.parametrize(
    ("handshake", "level", "service", "number"),
    [(TLS12_RSA_ONLY, "legacy-rsa", LEGACY_RSA, 1), (TLS10_ONLY, "legacy", LEGACY, 2)],
    ids=["RSA only, TLS 1.2", "TLS 1.0"],
)


def peer(family: str, number: int) -> str:
    return f"198.51.100.{number}" if family == "IPv4" else f"2001:db8:77::{number:x}"


def stranger(family: str, number: int) -> str:
    return f"203.0.113.{number}" if family == "IPv4" else f"2001:db8:78::{number:x}"


# --- let in ------------------------------------------------------------------------------------------------------


@FAMILIES
@PROBLEMS
def test_a_waived_peer_delivers_twenty_times_through_the_narrowest_door_with_its_true_address(
    world: DoorWorld, family: str, handshake: Handshake, level: str, service: str, number: int
) -> None:
    address, other = peer(family, number), stranger(family, number)
    world.fails(address, handshake, 3)

    said = world.ctl("allow-legacy", address)
    assert said.status == 0, said
    assert f"at level {level} " in said.said
    assert LIVE.search(said.said), "it says how soon it was live"
    for _ in range(20):
        assert world.internet.meet(insists(handshake), address).delivered
    world.postfix.wait_for(rf" {service}/smtpd\[\d+\]: disconnect from unknown\[{re.escape(address)}\]", 20)
    assert world.sessions(address, STRICT) == 3, "only the failures of before"
    assert world.waived()[address] == level

    assert not world.internet.meet(insists(handshake), other).delivered, "nobody else got anything"
    assert world.internet.meet(insists(TLS13_MODERN), other).delivered


@FAMILIES
def test_a_waived_peer_is_let_in_at_every_address_of_the_server(world: DoorWorld, family: str) -> None:
    address = peer(family, 10)
    world.allow(address, "--level", "legacy")
    hosts = (SERVER4, SECOND4) if family == "IPv4" else (SERVER6, SECOND6)
    assert all(world.internet.meet(insists(TLS10_ONLY), address, host).delivered for host in hosts)


@pytest.mark.parametrize(
    ("whom", "inside", "outside"),
    [
        ("198.51.100.32/28", "198.51.100.47", "198.51.100.48"),
        ("2001:db8:77:0:1::/80", "2001:db8:77:0:1:2:3:4", "2001:db8:77:0:2::1"),
    ],
)
def test_a_network_is_let_in_as_a_whole_and_not_beyond(
    world: DoorWorld, whom: str, inside: str, outside: str
) -> None:
    world.allow(whom, "--level", "legacy")
    assert world.internet.meet(insists(TLS10_ONLY), inside).delivered
    assert not world.internet.meet(insists(TLS10_ONLY), outside).delivered
    assert world.ctl("revoke", whom).status == 0
    assert not world.internet.meet(insists(TLS10_ONLY), inside).delivered


def test_one_more_waiver_is_live_within_milliseconds_that_are_printed(world: DoorWorld) -> None:
    """The figure is the keeper's own; a look from outside bears it out."""
    address = peer("IPv4", 11)
    said = world.ctl("allow-legacy", address, "--level", "legacy").said
    assert world.internet.meet(insists(TLS10_ONLY), address).delivered
    found = LIVE.search(said)
    assert found, said
    assert float(found[1]) < 1000


# --- kept out ----------------------------------------------------------------------------------------------------


@FAMILIES
def test_whoever_has_no_waiver_negotiates_exactly_what_it_did_before_setup(
    shared: tuple[DoorWorld, dict[str, dict[str, str]]], world: DoorWorld, family: str
) -> None:
    """Over every version and suite that OpenSSL still has; doors are there, and others are let in through them."""
    _, before = shared
    for number, level in ((60, "legacy"), (61, "legacy-rsa")):
        world.allow(peer(family, number), "--level", level)
    assert matrix(world.internet, STRANGERS[family]) == before[family]
    assert matrix(world.internet, peer(family, 60)) != before[family], "the comparison could have failed"
    assert matrix(world.internet, peer(family, 62)) == before[family]


@FAMILIES
def test_nobody_reaches_a_door_by_its_port(world: DoorWorld, family: str) -> None:
    waived, unlisted = peer(family, 12), stranger(family, 12)
    for level, port in PORTS.items():
        world.allow(waived, "--level", level)
        assert world.internet.meet(insists(TLS13_MODERN), waived).delivered
        for address in (waived, unlisted):
            with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
                world.internet.knock(address, port, patience_s=1)


def test_whoever_gets_past_the_first_lock_is_put_off_by_the_second(world: DoorWorld) -> None:
    """From the server itself the port can be reached; the service looks into its own tables, and says 4xx."""
    for port in PORTS.values():
        with world.internet.conversation_on_the_server("127.0.0.1", port) as conversation:
            conversation.greet()
            conversation.say("MAIL FROM:<a@peer.test>")
            answer = conversation.say("RCPT TO:<b@example.test>")
        assert answer.startswith("45"), answer


def test_the_servers_own_networks_get_no_door(world: DoorWorld) -> None:
    for address in ("198.51.100.245", "2001:db8:77::f5", "198.51.100.0/24"):
        refused = world.ctl("allow-legacy", address, "--level", "legacy")
        assert refused.status == 4, refused
        assert "mynetworks" in refused.complained


def test_a_session_of_a_door_is_not_resumed_at_the_strict_one(world: DoorWorld) -> None:
    """That it would be, if the door gave tickets, is shown in test_netns."""
    address = peer("IPv4", 13)
    world.allow(address, "--level", "legacy")
    client = context_of("TLSv1_2", "aRSA")
    session, _ = world.internet.session_of(address, client)
    assert world.ctl("revoke", address).status == 0
    assert session is not None
    assert not session.has_ticket
    with pytest.raises(ssl.SSLError, match="handshake failure"):
        world.internet.session_of(address, client, session)


# --- changes and connections -------------------------------------------------------------------------------------


def test_connections_that_stand_are_touched_by_neither_grant_nor_end(world: DoorWorld) -> None:
    address = peer("IPv4", 14)
    with world.internet.conversation(address) as strict:
        strict.secure(TLS13_MODERN)
        world.allow(address, "--level", "legacy")
        with world.internet.conversation(address) as relaxed:
            relaxed.secure(TLS10_ONLY)
            assert world.ctl("revoke", address).status == 0
            relaxed.deliver()
            relaxed.quit()
        strict.deliver()
        strict.quit()
    world.postfix.wait_for(rf" {LEGACY}/smtpd\[\d+\]: disconnect from unknown\[{re.escape(address)}\]")
    assert not world.internet.meet(insists(TLS10_ONLY), address).delivered


@FAMILIES
def test_a_flushed_firewall_is_restored_and_mail_flows_meanwhile(world: DoorWorld, family: str) -> None:
    address = peer(family, 15)
    world.allow(address, "--level", "legacy")
    world.network.server.run("nft", "flush", "ruleset")
    assert world.internet.meet(insists(TLS13_MODERN), address).delivered
    world.await_(
        lambda: world.internet.meet(insists(TLS10_ONLY), address).delivered, f"{address} is let in again"
    )


def test_what_others_have_in_the_firewall_is_left_alone(world: DoorWorld) -> None:
    world.network.server.nft(SITE)
    before = world.network.server.run("nft", "list", "table", "inet", "site")
    world.allow(peer("IPv4", 16), "--level", "legacy")
    assert world.ctl("revoke", peer("IPv4", 16)).status == 0
    assert world.network.server.run("nft", "list", "table", "inet", "site") == before


# --- watched -----------------------------------------------------------------------------------------------------


def test_sessions_at_a_door_are_watched_like_any_others(world: DoorWorld) -> None:
    address = peer("IPv4", 17)
    world.allow(address, "--level", "legacy")
    assert world.internet.meet(insists(TLS10_ONLY), address).delivered
    world.await_(lambda: bool(world.asked("peers", address)["peers"]), f"{address} is known")
    (known,) = world.asked("peers", address)["peers"]
    assert known["state"] == "waived"
    metrics = world.metrics()
    assert re.search(r'mailtls_sessions_total\{door="legacy",outcome="tls_ok",service="smtpd",.*\} [1-9]', metrics)
    assert 'mailtls_door_up{door="legacy"} 1.0' in metrics
    assert 'mailtls_door_up{door="legacy-rsa"} 1.0' in metrics
