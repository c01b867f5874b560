"""A hello on its way to a decision: from the observer's socket beside the log to the keeper, the store and the answers."""

from __future__ import annotations

from pathlib import Path
from time import time

from core.hellotexts import extension, message, numbers, record, sized
from core.test_offer import BOTH, HARD_ECDSA
from mailtls.core.controlprotocol import AskExplain, AskFloor
from mailtls.core.hellorecord import Kind, Sighting, write_record
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.edge.hellosocket import HelloSender

from .world import Keeper, Server, World, listening, running

PEER = "192.0.2.7"
POLICY = """
[causes.no_shared_cipher]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "24h" }
[limits]
automatic = ["legacy-rsa", "legacy"]
"""
ECDSA_ONLY = PostfixSettings(strict=HARD_ECDSA, doors=BOTH)
RSA_ONLY = record(
    message(0x0303, [0xC030], extension(10, sized(numbers([0x17]), 2)) + extension(13, sized(numbers([0x0401]), 2)))
)


class Observed(Server):
    """Its peers share no cipher with it, and the observer saw what they offered."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.observer = HelloSender(directory / "hellos.sock")

    def shares_no_cipher(self, ip: str, port: int | None = None) -> list[str]:
        who = f"mail.example.net[{ip}]" + (f":{port}" if port is not None else "")
        return self._lines(
            f"connect from {who}",
            f"SSL_accept error from {who}: -1",
            "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2220:",
            f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2",
        )

    def comes_with(self, ip: str, suite: str) -> list[str]:
        who = f"mail.example.net[{ip}]"
        return self._lines(
            f"connect from {who}",
            f"Anonymous TLS connection established from {who}: TLSv1.2 with cipher {suite} (256/256 bits)",
            f"disconnect from {who} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
        )

    def sees(self, ip: str, data: bytes = RSA_ONLY, port: int = 40000) -> None:
        assert self.observer.send(write_record(Sighting(Kind.HELLO, time(), ip, port, "198.51.100.1", 25, data)))


def a_world(directory: Path, keeper: Keeper, view: PostfixSettings = ECDSA_ONLY) -> World:
    keeper.doors = {door.level: True for door in ECDSA_ONLY.doors}
    world = World(directory, keeper, POLICY)
    world.decider.see(view)
    world.hellos.open()
    return world


async def test_what_a_peer_offers_decides_its_level_without_waiting_for_it_to_be_read(tmp_path: Path) -> None:
    """Nobody reads the socket here but the desk itself, before it looks at the sessions of a batch."""
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            server = Observed(tmp_path)
            await world.until(lambda: world.link.reachable)
            for _ in range(3):
                server.sees(PEER)
                world.write(*server.shares_no_cipher(PEER))
            await world.until(lambda: PEER in keeper.waivers)
            assert keeper.waivers[PEER].level is Level.LEGACY_RSA
            status = await world.answers.status()
            assert status.observer is not None
            assert (status.observer.hellos, status.observer.matched, status.observer.ports_logged) == (3, 3, False)


async def test_what_peers_offer_tells_who_would_be_lost_by_a_list_of_ciphers(tmp_path: Path) -> None:
    """One has nothing else, one has; of a third only the log tells."""
    keeper, suite, other = Keeper(), "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    view = PostfixSettings(strict=HARD_ECDSA.model_copy(update={"ciphers": (suite, other)}), doors=BOTH)
    groups = extension(10, sized(numbers([0x17]), 2)) + extension(13, sized(numbers([0x0403]), 2))
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper, view)) as world:
            server = Observed(tmp_path)
            server.sees("192.0.2.1", record(message(0x0303, [0xC02C], groups)))
            server.sees("192.0.2.2", record(message(0x0303, [0xC02C, 0xC02B], groups)))
            for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
                world.write(*server.comes_with(ip, suite))
            await world.until(lambda: world.desk.figures.sessions == 3)
            found = await world.answers.floor(AskFloor(ciphers=(other,)))
            assert [(peer.ip, peer.fate, peer.by_hello) for peer in found.peers] == [
                ("192.0.2.1", "lost", "no shared cipher"),
                ("192.0.2.3", "doubtful", None),
            ]
            assert found.spared == 1


async def test_the_port_of_the_log_tells_which_of_two_hellos_it_is(tmp_path: Path) -> None:
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            server = Observed(tmp_path)
            await world.until(lambda: world.link.reachable)
            server.sees(PEER, record(message(0x0301, [0x2F])), port=50000)
            for _ in range(3):
                server.sees(PEER)
                world.write(*server.shares_no_cipher(PEER, 40000))
            await world.until(lambda: PEER in keeper.waivers)
            assert keeper.waivers[PEER].level is Level.LEGACY_RSA


async def test_a_hello_is_remembered_over_a_restart_and_told(tmp_path: Path) -> None:
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            server = Observed(tmp_path)
            server.sees(PEER)
            world.write(*server.shares_no_cipher(PEER))
            await world.until(lambda: world.sessions == 1)
            assert await world.memory.commit()
        async with running(a_world(tmp_path, keeper)) as world:
            await world.until(lambda: world.link.reachable)
            (explained,) = await world.answers.explain(AskExplain(whom=PEER))
            assert explained.hello is not None
            assert explained.hello.ciphers == ("ECDHE-RSA-AES256-GCM-SHA384",)
            assert (explained.hello.narrowest, explained.hello.level) == ("rsa-beside", "legacy-rsa")
            assert explained.hello.doors_known
            for _ in range(2):  # no observer any more
                world.write(*server.shares_no_cipher(PEER))
            await world.until(lambda: PEER in keeper.waivers)
            assert keeper.waivers[PEER].level is Level.LEGACY_RSA


async def test_without_an_observer_the_log_alone_decides_and_nothing_is_told_of_it(tmp_path: Path) -> None:
    keeper, server = Keeper(), Observed(tmp_path)
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            await world.until(lambda: world.link.reachable)
            for _ in range(5):
                world.write(*server.shares_no_cipher(PEER))
            await world.until(lambda: world.sessions == 5)
            assert await world.link.settled(5)
            assert keeper.waivers == {}
            (explained,) = await world.answers.explain(AskExplain(whom=PEER))
            assert explained.hello is None
            assert (await world.answers.status()).observer is None


async def test_a_hello_that_is_slower_than_the_log_counts_from_the_next_session_on(tmp_path: Path) -> None:
    keeper = Keeper()
    with listening(tmp_path / "keeper.sock", keeper.serve):
        async with running(a_world(tmp_path, keeper)) as world:
            server = Observed(tmp_path)
            await world.until(lambda: world.link.reachable)
            server.sees("192.0.2.8")
            for _ in range(3):
                world.write(*server.shares_no_cipher(PEER, 40000))
            await world.until(lambda: world.sessions == 3)
            server.sees(PEER, port=40000)
            world.write(*server.shares_no_cipher(PEER, 40001))  # of this one nothing was seen
            await world.until(lambda: PEER in keeper.waivers)
            assert keeper.waivers[PEER].level is Level.LEGACY_RSA
