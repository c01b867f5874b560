"""The kernel runs the filter: what it lets pass, in what pieces, over IPv4, IPv6 and VLANs; and what is given up then."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.postfix.instance import wait_until
from tests.postfix.netns import Namespace, made, why_no_namespaces

from core.hellotexts import MODERN, extension, message, record, sslv2
from mailtls.core.helloframe import read_frame
from mailtls.core.hellorecord import Sighting
from mailtls.edge.packetsocket import PacketSocket

why_not = why_no_namespaces(nft=False)
pytestmark = pytest.mark.skipif(bool(why_not), reason=why_not or "")

ENDS = {4: ("10.9.9.1", "10.9.9.2"), 6: ("fd00:9:9::1", "fd00:9:9::2")}
BOTH = pytest.mark.parametrize("version", [4, 6])
HELLO = record(message(0x0303, [0x1301, 0x002F], MODERN))
LONG = record(message(0x0303, [0x1301, 0x002F], MODERN + extension(0xFEFE, bytes(2000))))
ALERT = b"\x15\x03\x01\0\2\2\x30"
PORT = 25


class Wire:
    """A client and a server in namespaces of their own, and what a packet socket on the server sees of the client."""

    def __init__(self, version: int, client: Namespace, server: Namespace) -> None:
        self.version, self.client, self.server = version, client, server
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        with server:
            self.listener = socket.create_server((ENDS[version][0], PORT), family=family)
            self.other = socket.create_server((ENDS[version][0], 26), family=family)
            self.seen = PacketSocket(version, (PORT, 587))
        for inside in (client, server):  # an address of IPv6 begins to work some time after its link is up
            assert wait_until(lambda inside=inside: self._reaches(inside))

    def _reaches(self, inside: Namespace) -> bool:
        with inside, suppress(OSError):
            socket.create_connection((ENDS[self.version][0], PORT), 1).close()
            self.listener.accept()[0].close()
            return True
        return False

    @contextmanager
    def connected(self, port: int = PORT) -> Iterator[tuple[socket.socket, socket.socket]]:
        listener = self.listener if port == PORT else self.other
        with self.client:
            near = socket.create_connection((ENDS[self.version][0], port), 10)
        far = listener.accept()[0]
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with near, far:
            yield near, far

    def say(self, *pieces: bytes, port: int = PORT) -> list[Sighting]:
        """Send pieces, each read before the next is sent; give what was seen."""
        with self.connected(port) as (near, far):
            for piece in pieces:
                near.sendall(piece)
                left = len(piece)
                while left:
                    left -= len(far.recv(left))
        return self.sightings()

    def sightings(self) -> list[Sighting]:
        """Give what was seen; what the server has read, the packet socket has, too."""
        packets = iter(self.seen.receive, None)
        return [seen for packet in packets if (seen := read_frame(packet, 1.0)) is not None]

    def close(self) -> None:
        for each in (self.listener, self.other, self.seen):
            each.close()


@contextmanager
def wired(version: int, vlan: bool = False, lines: tuple[str, ...] = ()) -> Iterator[Wire]:
    with ExitStack() as stack:
        client, server = (stack.enter_context(made(title)) for title in ("the client", "the server"))
        server.ip(f"link add wire type veth peer name wire netns {client.path}")
        name = "tagged" if vlan else "wire"
        for inside, own in ((server, ENDS[version][0]), (client, ENDS[version][1])):
            if vlan:
                inside.ip("link add link wire name tagged type vlan id 7", "link set wire up")
            width = "64 nodad" if version == 6 else "24"
            address, _, option = f"{own}/{width}".partition(" ")
            inside.ip(f"addr add {address} dev {name} {option}", f"link set {name} up")
        if lines:
            client.ip(*lines)
        wire = Wire(version, client, server)
        stack.callback(wire.close)
        yield wire


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with wired(request.param) as wire:
        yield wire


def test_hellos_and_alerts_are_seen_with_their_ends_and_nothing_else_is(wire: Wire) -> None:
    pieces = (b"EHLO x\r\n", b"STARTTLS\r\n", HELLO, b"\x17\x03\x03\x40\x00" + HELLO * 30, ALERT)
    seen = wire.say(*pieces)
    assert [each.data for each in seen] == [HELLO, ALERT]
    server, client = ENDS[wire.version]
    assert {(each.peer, each.server, each.server_port) for each in seen} == {(client, server, PORT)}
    assert wire.seen.lost() == 0


def test_other_ports_are_not_seen_nor_is_what_the_server_says(wire: Wire) -> None:
    assert wire.say(HELLO, port=26) == []
    with wire.connected() as (near, far):
        far.sendall(HELLO)
        assert near.recv(len(HELLO)) == HELLO
    assert wire.sightings() == []


def test_a_hello_that_one_write_sent_is_whole_although_it_is_longer_than_a_segment(wire: Wire) -> None:
    """Cards and the kernel put segments together (GRO), or do not take them apart yet (TSO): mostly, and by their will."""
    seen = [hello for _ in range(20) for hello in wire.say(LONG)]
    assert len(seen) == 20
    assert all(LONG.startswith(each.data) for each in seen)
    assert any(each.data == LONG for each in seen)
    assert all(each.hello is not None and each.hello.truncated == (each.data != LONG) for each in seen)


@BOTH
def test_of_a_hello_in_several_segments_the_first_is_seen_and_known_to_be_cut(version: int) -> None:
    with wired(version, lines=("link set wire gso_max_segs 1",)) as wire:
        (seen,) = wire.say(LONG[:1400], LONG[1400:])
        assert seen.hello is not None
        assert seen.hello.truncated
        assert seen.hello.versions == (0x0304, 0x0303)


@BOTH
def test_a_vlan_makes_no_difference(version: int) -> None:
    with made("a trial") as trial:
        try:
            trial.ip("link add wire type veth peer name other", "link add link wire name tagged type vlan id 7")
        except RuntimeError as error:
            pytest.skip(f"this kernel has no VLANs: {str(error).splitlines()[-1][:100]}")
    with wired(version, vlan=True) as wire:
        seen = wire.say(b"EHLO x\r\n", HELLO, sslv2(0x0301, [0x2F]))
        assert [each.data for each in seen] == [HELLO, sslv2(0x0301, [0x2F])]


def test_each_packet_of_loopback_is_seen_once(wire: Wire) -> None:
    server = ENDS[wire.version][0]
    with wire.server, socket.create_connection((server, PORT), 10) as near:
        near.sendall(HELLO)
        wire.listener.accept()[0].recv(len(HELLO))
    assert [(each.peer, each.data) for each in wire.sightings()] == [(server, HELLO)]


def test_there_is_no_moment_in_which_it_sees_everything(wire: Wire) -> None:
    """It listens to nothing before its filter is locked: here mail comes in while the filter is being attached."""

    class Slow(PacketSocket):
        def _filter(self, version: int, ports: Collection[int]) -> None:
            wire.say(b"EHLO x\r\n", b"mail" * 1000)
            super()._filter(version, ports)

    with wire.server:
        seen = Slow(wire.version, (PORT,))
    assert seen.receive() is None
    seen.close()


SEES_NO_MORE = """
import socket, sys
from mailtls.edge.packetsocket import PacketSocket, drop_capabilities
seen = PacketSocket(4, (25,))
drop_capabilities()
for family, kind in ((socket.AF_PACKET, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind, 6)
    except PermissionError:
        continue
    sys.exit("another socket can be had")
try:
    seen._socket.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
except PermissionError:
    sys.exit(0)
sys.exit("the filter can be taken away")
"""


def test_whoever_takes_the_process_over_sees_no_more_than_it() -> None:
    with made("a machine"):
        ran = subprocess.run([sys.executable, "-c", SEES_NO_MORE], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_the_capability_it_is_said_what_is_missing() -> None:
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "mailtls.observer"]
    ran = subprocess.run(without, capture_output=True, text=True, check=False, env={**os.environ, "HOME": "/"})
    assert ran.returncode == 2
    assert ran.stderr == (
        "mailtls-observer: a packet socket needs CAP_NET_RAW, which its unit has: systemctl start mailtls-observer\n"
    )
