"""The sslv3 door met from outside: by other people's mail servers, and by floods and garbage from peers that are waived.

As in test_gateway_door, in namespaces, through nftables, from port 25 to the queue; the gateway may serve few at a time.
What these senders can be is in test_gateway_clients, what the gateway does under pressure by itself in the service's tests.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random

import pytest

from mailtls.core.gatewayrule import GatewaySettings
from mailtls.edge.nss import capability
from mailtls.service.gateway import FOR_VISITS

from .clients import TLS10_ONLY, TLS13_MODERN, insists
from .conversation import Conversation, Handshake
from .gateway_world import GatewayWorld
from .handshakes import SSLV3, openssl, tlslite
from .netns import SERVER4, network, why_no_namespaces
from .sendingservers import hand_in, postfix_sender, send_with_exim, send_with_java, why_no_exim, why_no_java

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or ""),
    pytest.mark.skipif(capability() is not None, reason=capability() or ""),
]

SESSIONS, PER_ADDRESS = 8, 4
STRANGER, LET_DOWN, OLD = "203.0.113.9", "2001:db8:77::40", "198.51.100.40"
RC4 = tlslite(SSLV3, SSLV3, ("rc4",))


@pytest.fixture(scope="module")
def shared() -> Iterator[GatewayWorld]:
    limits = f"sessions = {SESSIONS}\nper_address = {PER_ADDRESS}\n"
    with network() as net, net.server, GatewayWorld(net, limits=limits) as world:
        world.allow(LET_DOWN, "--level", "legacy")
        world.allow(OLD, "--level", "sslv3")
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


# --- other people's mail servers ---------------------------------------------------------------------------------


def queued(world: GatewayWorld, source: str, agreed: str) -> None:
    """Hold that this sender shook hands at the gateway with this, and that Postfix queued its mail as coming from it."""
    world.postfix.wait_for(rf" postfix/mailtls-backend/smtpd\[\d+\]: \w+: client=unknown\[{re.escape(source)}\]")
    said = f"TLS connection established from [{source}]:"
    assert [line for line in world.gateway_lines() if said in line and agreed in line]


def was_refused(world: GatewayWorld, source: str) -> None:
    """Hold that the strict door refused its handshake, and that the gateway has not seen it."""
    world.postfix.wait_for(rf" postfix/smtpd\[\d+\]: SSL_accept error from unknown\[{re.escape(source)}\]")
    assert not [line for line in world.gateway_lines() if f"[{source}]" in line]


def test_what_a_postfix_could_not_deliver_goes_out_by_itself_once_it_is_waived(world: GatewayWorld) -> None:
    source = "198.51.100.41"
    with ExitStack() as stack:
        with world.internet.home_of(source):
            sender = stack.enter_context(postfix_sender(25, source, "TLSv1", "AES128-SHA", SERVER4, again_s=1))
            hand_in(sender, 300_000)
        sender.wait_for(r"smtp\[\d+\]: .* status=deferred \(Cannot start TLS: handshake failure\)")
        was_refused(world, source)
        world.allow(source, "--level", "sslv3")
        sender.wait_for(rf"smtp\[\d+\]: .* relay={re.escape(SERVER4)}\S*:25, .* status=sent \(250 ")
    queued(world, source, "TLSv1 with cipher AES128-SHA")
    world.postfix.wait_for(r"qmgr.*size=3\d{5}")


PRIORITIES = "NONE:+VERS-TLS1.0:+3DES-CBC:+RSA:+SHA1:+COMP-NULL:%COMPAT:%NO_EXTENSIONS"


def test_exim_with_nothing_but_3des_is_refused_and_delivers_once_it_is_waived(world: GatewayWorld) -> None:
    if (reason := why_no_exim()) is not None:
        pytest.skip(reason)
    source = "198.51.100.42"

    def sent(number: int) -> str:
        with world.internet.home_of(source):
            place = world.root / f"exim{number}"
            return send_with_exim(place, 25, source, PRIORITIES, 300_000, SERVER4)

    assert re.search(r"== b@example.test .* TLS session: \(gnutls_handshake\)", said := sent(1)), said
    was_refused(world, source)
    world.allow(source, "--level", "sslv3")
    assert re.search(r"=> b@example.test .* C=\"250 ", said := sent(2)), said
    queued(world, source, "TLSv1 with cipher DES-CBC3-SHA")


JAVA = {
    "198.51.100.43": ("SSLv3", "TLS_RSA_WITH_AES_128_CBC_SHA", "SSLv3 with cipher AES128-SHA"),
    "198.51.100.44": ("SSLv2Hello,SSLv3", "SSL_RSA_WITH_RC4_128_SHA", "SSLv3 with cipher RC4-SHA"),
}


def test_java_with_sslv3_enabled_again_is_refused_and_delivers_once_it_is_waived(
    world: GatewayWorld, tmp_path: Path
) -> None:
    if (reason := why_no_java()) is not None:
        pytest.skip(reason)
    clients = [(source, protocols, suite, 300_000) for source, (protocols, suite, _) in JAVA.items()]

    def sent() -> dict[str, str]:
        with world.internet.home_of(clients[0][0]):
            return send_with_java(tmp_path, 25, clients, SERVER4)

    for source, answer in sent().items():
        assert answer.startswith("failed: "), answer
        was_refused(world, source)
        world.allow(source, "--level", "sslv3")
    for source, answer in sent().items():
        assert " 250 2.0.0 Ok: queued as" in answer
        queued(world, source, JAVA[source][-1])


# --- floods and garbage ------------------------------------------------------------------------------------------


def delivers(world: GatewayWorld, address: str, handshake: Handshake = RC4) -> bool:
    return world.internet.meet(insists(handshake), address).delivered


def others_notice_nothing(world: GatewayWorld) -> bool:
    return delivers(world, STRANGER, TLS13_MODERN) and delivers(world, LET_DOWN, TLS10_ONLY)


def occupies(client: Conversation, number: int) -> bool:
    """Take one session of the gateway and keep it: in clear, before a hello, or within one; tell whether there was one."""
    if not client.hear().startswith("220"):
        return False
    for command in ("EHLO client.test", "STARTTLS")[: 1 + (number % 3 > 0)]:
        assert client.say(command).startswith("2")
    if number % 3 == 2:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x01")
    return True


def test_waived_peers_that_take_every_session_are_noticed_by_nobody_else(world: GatewayWorld) -> None:
    flooders = [f"198.51.100.{51 + number}" for number in range(SESSIONS // PER_ADDRESS)]
    for address in flooders:
        world.allow(address, "--level", "sslv3")
    with ExitStack() as stack:
        for number in range(SESSIONS):
            call = partial(world.internet.conversation, flooders[number // PER_ADDRESS])
            # not at once where the session of an earlier client, or of the keeper, is just about to end
            world.await_(lambda: occupies(stack.enter_context(call()), number), "there is a session")  # noqa: B023
        for address in (OLD, *flooders):
            refused = stack.enter_context(world.internet.conversation(address))
            assert refused.hear() == "421 4.7.0 Error: too many connections, try again later"
        assert others_notice_nothing(world)
        assert visited(world), "a gateway that is full is not dead"
        assert others_notice_nothing(world)
    world.await_(lambda: serves(world, OLD), "the gateway serves again")
    assert delivers(world, OLD)


def visited(world: GatewayWorld) -> bool:
    """Let the keeper visit the doors, and tell what it thinks of the gateway then."""

    def own() -> int:
        return sum("DISCONNECT [127.0.0.1]:" in line for line in world.gateway_lines())

    before = own()
    world.keeper.signal(signal.SIGHUP)
    world.await_(lambda: own() > before, "the keeper has visited the gateway")
    return next(each.up for each in world.doors() if each.level == "sslv3")


def serves(world: GatewayWorld, address: str) -> bool:
    with world.internet.conversation(address) as client:
        return client.hear().startswith("220")


def test_a_gateway_that_is_full_by_default_leaves_postfix_processes_for_visits() -> None:
    """Else the keeper would wait for a greeting, and shut the door: there is a smtpd for each session."""
    asked = subprocess.run(("postconf", "-dh", "default_process_limit"), capture_output=True, text=True, check=True)
    assert GatewaySettings().sessions + FOR_VISITS <= int(asked.stdout)


def below(client: Conversation) -> socket.socket:
    """Give its connection once more, as it is below TLS."""
    return socket.socket(fileno=os.dup(client.wire.fileno()))


def test_garbage_from_waived_peers_is_noticed_by_nobody_else(world: GatewayWorld) -> None:
    chance = Random(5)
    sources = [f"198.51.100.{61 + number}" for number in range(4)]
    for address in sources:
        world.allow(address, "--level", "sslv3")
    for number in range(24):
        with world.internet.conversation(sources[number % 4]) as client, below(client) as wire:
            if number % 3 == 1:
                client.approach()
            elif number % 3 == 2:
                client.secure(openssl(ssl.TLSVersion.TLSv1, "AES128-SHA"))
            wire.sendall(chance.randbytes(chance.randrange(1, 3000)))
        if number % 8 == 0:
            assert others_notice_nothing(world)
    world.await_(lambda: serves(world, OLD), "there is a session for others")
    assert delivers(world, OLD)
    assert visited(world)
