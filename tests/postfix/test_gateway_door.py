"""The sslv3 door as a whole: old clients in network namespaces of their own, nftables, mailtls-gateway, a real Postfix.

What the gateway does by itself is in test_gateway, what doors do in test_doors.
"""

from __future__ import annotations

import re
import signal
import ssl
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mailtls.edge.nss import capability

from .clients import TLS10_ONLY, TLS13_MODERN, insists
from .conversation import Handshake
from .doors_world import AUTOMATIC
from .gateway_world import PORT, GatewayWorld
from .handshakes import SSLV3, OfOldFormat, openssl, tlslite
from .netns import network, why_no_namespaces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or ""),
    pytest.mark.skipif(capability() is not None, reason=capability() or ""),
]

TLS10 = (3, 1)
STRANGER = "203.0.113.9"
OLD: dict[str, tuple[Handshake, str]] = {
    "198.51.100.1": (tlslite(SSLV3, SSLV3, ("aes128",)), "SSLv3 with cipher AES128-SHA (128/128 bits)"),
    "2001:db8:77::2": (tlslite(SSLV3, SSLV3, ("3des",)), "SSLv3 with cipher DES-CBC3-SHA (168/168 bits)"),
    "198.51.100.3": (tlslite(SSLV3, SSLV3, ("rc4",)), "SSLv3 with cipher RC4-SHA (128/128 bits)"),
    "198.51.100.4": (tlslite(SSLV3, SSLV3, ("rc4", "3des"), OfOldFormat), "SSLv3 with cipher "),
    "2001:db8:77::5": (tlslite(SSLV3, TLS10, ("aes128",), OfOldFormat), "TLSv1 with cipher AES128-SHA (128/128 bits)"),
    "198.51.100.6": (tlslite(TLS10, TLS10, ("rc4",)), "TLSv1 with cipher RC4-SHA (128/128 bits)"),
    "2001:db8:77::7": (tlslite(TLS10, TLS10, ("3des",)), "TLSv1 with cipher DES-CBC3-SHA (168/168 bits)"),
}
"""Each at an address of its own: how it shakes hands, and what the gateway says of that."""


@pytest.fixture(scope="module")
def shared() -> Iterator[GatewayWorld]:
    with network() as net, net.server, GatewayWorld(net) as world:
        yield world
        assert world.keeper.running
        assert world.daemon.running
        assert not [line for line in world.postfix.lines() if " fatal: " in line or " panic: " in line]


@pytest.fixture
def world(shared: GatewayWorld) -> Iterator[GatewayWorld]:
    with shared.network.server:
        yield shared
    print(shared.words())
    print("\n".join((*shared.postfix.lines()[-30:], *shared.gateway_lines()[-10:])))


def delivers(world: GatewayWorld, address: str, handshake: Handshake) -> bool:
    return world.internet.meet(insists(handshake), address).delivered


# --- let in, and kept out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", OLD)
def test_an_old_client_is_refused_as_ever_and_delivers_once_it_is_waived(world: GatewayWorld, address: str) -> None:
    handshake, agreed = OLD[address]
    assert not delivers(world, address, handshake)
    world.allow(address, "--level", "sslv3")
    assert delivers(world, address, handshake)
    world.postfix.wait_for(rf" postfix/mailtls-backend/smtpd\[\d+\]: \w+: client=unknown\[{re.escape(address)}\]")
    said = f"TLS connection established from [{address}]:"
    assert [line for line in world.gateway_lines() if said in line and agreed in line]
    world.await_(lambda: world.visits(address) == 2, f"{address} is known by one failure and one success")
    (known,) = world.asked("peers", address)["peers"]
    assert (known["state"], known["failures"], known["mails"]) == ("waived", 1, 1)
    assert not delivers(world, STRANGER, handshake)


def test_every_session_counts_once_at_its_door(world: GatewayWorld) -> None:
    address = "198.51.100.20"
    world.allow(address, "--level", "sslv3")
    assert delivers(world, address, OLD["198.51.100.3"][0])
    world.await_(lambda: world.visits(address) == 1, f"{address} is known")
    explained = world.asked("explain", address)["explained"][0]
    assert [(day["service"], day["door"], day["tls_version"], day["sessions"], day["mails"]) for day in explained["days"]] == [
        ("smtpd", "sslv3", "SSLv3", 1, 1)
    ]
    assert 'mailtls_door_up{door="sslv3"} 1.0' in world.metrics()


def test_who_fails_over_the_cipher_gets_no_version_below_the_strict_door_s(world: GatewayWorld) -> None:
    address = "198.51.100.24"
    modern, old = openssl(ssl.TLSVersion.TLSv1_2, "AES128-SHA"), openssl(ssl.TLSVersion.TLSv1, "AES128-SHA")
    world.fails(address, modern)
    said = world.ctl("allow-legacy", address, "--level", "sslv3").said
    assert "the gateway holds it to TLSv1.2 or later" in " ".join(said.split())
    assert delivers(world, address, modern)
    for handshake in (old, OLD["198.51.100.1"][0]):
        assert not delivers(world, address, handshake)
    assert world.ctl("revoke", address).status == 0
    world.allow("198.51.100.25", "--level", "sslv3")
    assert delivers(world, "198.51.100.25", old), "of whom nothing is known nothing is held back"


@pytest.mark.parametrize("address", ["198.51.100.21", "2001:db8:77::21", "203.0.113.21", "2001:db8:78::21"])
def test_nobody_reaches_the_gateway_by_its_port(world: GatewayWorld, address: str) -> None:
    if address.startswith(("198", "2001:db8:77")):
        world.allow(address, "--level", "sslv3")
        assert delivers(world, address, openssl(ssl.TLSVersion.TLSv1_2, "AES128-SHA"))
    with pytest.raises(ConnectionRefusedError):
        world.internet.knock(address, PORT)


def test_whoever_gets_past_the_first_lock_is_put_off_by_the_second(world: GatewayWorld) -> None:
    with world.internet.conversation_on_the_server("127.0.0.1", PORT) as conversation:
        conversation.secure(OLD["198.51.100.3"][0])
        conversation.say("MAIL FROM:<a@peer.test>")
        assert conversation.say("RCPT TO:<b@example.test>").startswith("450")
        assert conversation.say("AUTH PLAIN AGEAYg==")[:3] in ("502", "503")


def test_a_message_of_5_mb_comes_to_the_queue_whole(world: GatewayWorld) -> None:
    address, line = "198.51.100.22", b"0123456789" * 7 + b"\r\n"
    world.allow(address, "--level", "sslv3")
    with world.internet.conversation(address) as client:
        client.secure(OLD["198.51.100.3"][0])
        for command in ("MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA"):
            assert client.say(command)[:1] in "23"
        client.send(b"Subject: large\r\n\r\n" + line * (5_000_000 // len(line)))
        assert client.say(".").startswith("250")
    world.postfix.wait_for(rf"mailtls-backend/smtpd\[\d+\]: (\w+): client=unknown\[{re.escape(address)}\]")
    world.postfix.wait_for(r"qmgr.*size=5\d{6}")


def test_what_it_costs_is_said_when_it_is_given_and_wherever_it_stands(world: GatewayWorld) -> None:
    said = world.ctl("allow-legacy", "198.51.100.23", "--level", "sslv3")
    for ran in (said, world.ctl("waivers"), world.ctl("status")):
        assert ran.status == 0, ran
        assert "take it for readable" in " ".join(ran.said.split())
    assert world.ctl("revoke", "198.51.100.23").status == 0
    assert not delivers(world, "198.51.100.23", OLD["198.51.100.1"][0])


def test_where_nss_is_missing_every_command_says_so(world: GatewayWorld, tmp_path: Path) -> None:
    """The door stands, and was made when there was NSS."""
    (tmp_path / "libnspr4.so").touch()
    before = world.environment
    world.environment = {**before, "LD_LIBRARY_PATH": str(tmp_path)}
    try:
        setup, status = world.ctl("setup", "--dry-run"), world.ctl("status")
        allow = world.ctl("allow-legacy", "198.51.100.26", "--level", "sslv3")
    finally:
        world.environment = before
    for ran in (setup, status, allow):
        told = " ".join((ran.said + ran.complained).split())
        assert "the sslv3 door needs NSS, and " in told, ran
        assert "install it: apt-get install libnss3" in told, ran
    assert "No door sslv3: the sslv3 door needs NSS, and " in " ".join(setup.said.split())
    assert "-mailtls-sslv3 unix" in setup.said
    assert allow.status != 0
    assert "198.51.100.26" not in world.waived()


# --- stopped, killed, known by name, taken back ------------------------------------------------------------------

PEER, OTHER, KNOWN_PEER = "198.51.100.30", "2001:db8:77::31", "198.51.100.32"
KNOWN = f"""\
[[peer]]
name = "scanner.peer.example"
level = "sslv3"
reason = "a scanner of 2003"
owner = "kim"
until = {date.today() + timedelta(days=30)}
"""


def test_its_peers_fall_back_when_it_is_dead_or_stopped_and_nobody_else_notices() -> None:
    """And an entry of known-legacy.toml lets its peer in by itself, which the policy does for nobody else."""
    old = OLD["198.51.100.3"][0]
    names = {KNOWN_PEER: "scanner.peer.example"}
    with network() as net, net.server, GatewayWorld(net, policy=AUTOMATIC, known=KNOWN, names=names, setup=None) as world:
        master = world.postfix.configuration / "master.cf"
        before = master.read_bytes()
        world.set_up("--self-signed")

        for address in (KNOWN_PEER, "198.51.100.33"):
            world.fails(address, old, 3)
        granted = world.await_step(KNOWN_PEER, kind="waiver", step="granted", level="sslv3")
        assert granted["by"] == "mailtlsd"
        assert delivers(world, KNOWN_PEER, old)
        assert world.waived() == {KNOWN_PEER: "sslv3"}
        proposed = world.await_step("198.51.100.33", kind="decision", action="advise")
        assert any("--level sslv3" in each for each in proposed["alternatives"]), proposed

        world.allow(PEER, "--level", "sslv3")
        world.allow(OTHER, "--level", "legacy")
        for number in (signal.SIGSTOP, signal.SIGKILL):
            world.await_(lambda: delivers(world, PEER, old), f"{PEER} is let in")
            world.signal_gateway(number)
            since = datetime.now(UTC)
            world.keeper.signal(signal.SIGHUP)  # it visits the doors at once, and not within half a minute
            world.await_(lambda: world.is_served(PEER), f"{PEER} is back at the strict door")
            assert datetime.now(UTC) - since < timedelta(seconds=60)
            assert delivers(world, OTHER, TLS10_ONLY)
            assert delivers(world, STRANGER, TLS13_MODERN)
            assert {each.level: each.up for each in world.doors()}["sslv3"] is False
            world.kill_gateway()
            if number == signal.SIGSTOP:
                world.start_gateway()
                world.await_(lambda: world._listens(PORT), "the gateway listens")
                world.keeper.signal(signal.SIGHUP)
                world.await_doors()

        assert world.ctl("unsetup").status == 0
        assert master.read_bytes() == before
        assert not list(Path(world.root, "etc/mailtls").glob("doors/*"))
        assert delivers(world, STRANGER, TLS13_MODERN)
