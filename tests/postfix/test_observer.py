"""The observer beside a real Postfix: what failing clients offer decides their level, and mail itself is never seen.

Clients come from another network over IPv4 and IPv6, through a router. The strict door has an ECDSA certificate and
takes TLS 1.2 and later, so that `no shared cipher` alone does not tell which door would help.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailtls.core.hellorecord import LONGEST

from .clients import TLS10_ONLY, TLS12_RSA_ONLY, TLS13_MODERN, insists, rc4_and_3des_only
from .conversation import Handshake
from .netns import SERVER4, network, why_no_namespaces
from .observed import ObservedWorld

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or ""),
]

FAMILIES = pytest.mark.parametrize("family", ["IPv4", "IPv6"])
CHUNK = 1 << 20
MOST_MEMORY_KB = 80_000
MORE_MEMORY_KB = 60_000


@pytest.fixture(scope="module")
def shared() -> Iterator[ObservedWorld]:
    with network() as net, net.server, ObservedWorld(net) as world:
        yield world
        assert world.keeper.running
        assert world.daemon.running


@pytest.fixture
def world(shared: ObservedWorld) -> Iterator[ObservedWorld]:
    with shared.network.server:
        if not shared.observer.running:
            shared.observe()
        yield shared
    print(shared.words(), shared.observer.words.read_text())
    print("\n".join(shared.postfix.lines()[-30:]))


def peer(family: str, number: int) -> str:
    return f"198.51.100.{number}" if family == "IPv4" else f"2001:db8:77::{number:x}"


def until_it_is_waived(world: ObservedWorld, address: str, handshake: Handshake, level: str) -> None:
    """Let a peer fail as often as the policy asks; and try again, as mail servers do, until it is waived."""

    def is_waived() -> bool:
        if world.waived().get(address) == level:
            return True
        world.internet.meet(insists(handshake), address)
        return False

    world.fails(address, handshake, 3)
    world.await_(is_waived, f"{address} is waived to {level}")


# --- what decides ----------------------------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize(
    ("handshake", "level", "number"),
    [(TLS12_RSA_ONLY, "legacy-rsa", 1), (TLS10_ONLY, "legacy", 2)],
    ids=["RSA only, TLS 1.2", "TLS 1.0"],
)
def test_the_hello_of_a_failing_client_decides_its_level(
    world: ObservedWorld, family: str, handshake: Handshake, level: str, number: int
) -> None:
    address = peer(family, number)
    until_it_is_waived(world, address, handshake, level)
    world.await_(lambda: world.internet.meet(insists(handshake), address).delivered, "its mail arrives")
    hello = world.explained(address)["hello"]
    assert hello["level"] == level
    assert [door["accepts"] for door in hello["doors"] if door["door"] == "strict"] == [False]
    assert world.hears()["ports_logged"]


def test_who_no_door_takes_gets_none_and_is_told_what_to_change(world: ObservedWorld) -> None:
    address = peer("IPv4", 3)
    world.fails(address, rc4_and_3des_only(), 3)
    world.await_(lambda: world.explained(address)["hello"] is not None or world.fails(address, rc4_and_3des_only()), "it is seen")
    assert world.explained(address)["ruling"]["rule"] == "floor"
    explained = world.explained(address)
    assert "by its ClientHello the strict door refuses it (no shared cipher)" in explained["ruling"]["reasons"][0]
    assert explained["hello"]["narrowest"] == "sslv3"
    assert address not in world.waived()
    ran = world.ctl("explain", address)
    assert "What it offered when it was last seen" in ran.said
    assert re.search(r"sslv3: TLSv1.2 with \S+", ran.said)


def test_without_the_observer_the_log_alone_decides_and_mail_goes_on(world: ObservedWorld) -> None:
    world.observer.stop()
    address = peer("IPv4", 4)
    world.fails(address, TLS12_RSA_ONLY, 4)
    assert world.explained(address)["ruling"]["rule"] == "undetermined"
    assert address not in world.waived()
    assert world.internet.meet(insists(TLS13_MODERN), peer("IPv4", 5)).delivered
    world.observe()
    until_it_is_waived(world, address, TLS12_RSA_ONLY, "legacy-rsa")


def test_a_peer_that_was_renewed_is_led_back_by_what_it_offers(world: ObservedWorld) -> None:
    """TLS 1.3 at the door does not tell which certificates the peer takes; its hello does."""
    address = peer("IPv4", 6)
    until_it_is_waived(world, address, TLS12_RSA_ONLY, "legacy-rsa")
    world.await_(lambda: world.internet.meet(insists(TLS12_RSA_ONLY), address).delivered, "its mail arrives")
    world.await_(lambda: world.internet.meet(insists(TLS13_MODERN), address).delivered, "it was renewed")
    world.await_(lambda: address not in world.waived(), "it has outgrown its door")
    withdrawn = next(step for step in world.history(address) if step["rule"] == "outgrown")
    assert "by its ClientHello the strict door would take it, too" in withdrawn["reasons"][0]


# --- what is never seen ----------------------------------------------------------------------------------------------


@FAMILIES
def test_of_mail_nothing_passes_the_filter(world: ObservedWorld, family: str) -> None:
    """9 MB in clear text and 9 MB in TLS 1.3, of which the kernel passes one packet: the hello."""
    world.observer.stop()
    world.observe()
    world.await_(lambda: world.hears()["passed"] == 0, "it counts anew")
    for secure in (False, True):
        with world.internet.conversation(peer(family, 9)) as conversation:
            conversation.secure(TLS13_MODERN) if secure else conversation.greet()
            for command in ("MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA"):
                assert conversation.say(command)[0] in "23"
            line = os.urandom(36).hex().encode() + b"\r\n"
            for _ in range(9):
                conversation.send(line * (CHUNK // len(line)))
            assert conversation.say("\r\n.").startswith("250")
            conversation.quit()
    world.internet.meet(insists(TLS13_MODERN), peer(family, 10))
    world.await_(lambda: world.hears()["passed"] >= 2, "the second hello is counted")
    assert world.hears()["passed"] == 2


# --- what may happen to it -------------------------------------------------------------------------------------------


def test_killed_it_is_missed_by_nobody_and_begun_anew_it_is_heard_again(world: ObservedWorld) -> None:
    world.observer.kill()
    assert world.internet.meet(insists(TLS13_MODERN), peer("IPv4", 11)).delivered
    assert world.asked("status")["mailtlsd"]["faults"] == []
    world.observe()
    heard = world.hears()["hellos"]
    assert world.internet.meet(insists(TLS13_MODERN), peer("IPv4", 11)).delivered
    world.await_(lambda: world.hears()["hellos"] == heard + 1, "the next hello is heard")


def test_a_mailtlsd_that_begins_anew_is_told_again(world: ObservedWorld) -> None:
    world.daemon.stop()
    assert world.internet.meet(insists(TLS13_MODERN), peer("IPv4", 12)).delivered
    world.daemon.start()
    world.await_daemon()
    world.await_(lambda: bool(world.hears().get("running")), "the observer found it")


def test_a_flood_of_forged_hellos_and_of_garbage_costs_nobody_his_mail(world: ObservedWorld) -> None:
    """Segments without a connection, in the names of a thousand peers; and datagrams that are no records."""
    world.await_(lambda: bool(world.hears().get("running")), "mailtlsd hears the observer")
    before = _memory_kb(world.daemon.process)
    _garbage(world.root / "run/mailtls-observer/hellos.sock")
    _flood(world, 20_000)
    address = peer("IPv4", 13)
    until_it_is_waived(world, address, TLS12_RSA_ONLY, "legacy-rsa")
    world.await_(lambda: world.hears()["passed"] + world.hears()["lost"] > 20_000, "the flood was seen, or dropped")
    fares = world.hears()
    assert fares["garbage"] >= 100
    assert fares["running"]
    assert _memory_kb(world.observer.process) < MOST_MEMORY_KB
    assert _memory_kb(world.daemon.process) < before + MORE_MEMORY_KB
    assert world.observer.running


def test_with_mailtlsd_stopped_what_waits_is_bounded(world: ObservedWorld) -> None:
    before = world.hears()["lost"]
    world.daemon.signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            _flood(world, 4000)
        assert _memory_kb(world.observer.process) < MOST_MEMORY_KB
    finally:
        world.daemon.signal(signal.SIGCONT)
    world.await_(lambda: world.hears()["lost"] > before, "what was dropped is counted")
    assert world.internet.meet(insists(TLS13_MODERN), peer("IPv4", 14)).delivered


def _garbage(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for number in range(100):
            sender.sendto(os.urandom(number * LONGEST // 100), str(path))


def _flood(world: ObservedWorld, number: int) -> None:
    """Send hellos in the names of peers, from their network, to port 25: no connection ever begins."""
    hello = b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x01" + bytes(32) + b"\0\0\4\0\x05\0\x0a\1\0" + bytes(200)
    with world.network.peers, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as wire:
        for each in range(number):
            segment = struct.pack(">HHIIBBHHH", 1024 + each % 60000, 25, each, 0, 0x50, 0x18, 512, 0, 0) + hello
            source = socket.inet_aton(f"198.51.100.{50 + each % 100}")
            head = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 6, 0) + source + socket.inet_aton(SERVER4)
            wire.sendto(head + segment, (SERVER4, 0))


def _memory_kb(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
