"""The demo's part about doors: old servers are let in by TLS, each through the narrowest door, and nobody else is.

All of it happens in network namespaces that the demo makes for itself, with nftables rules of their own: the
firewall of the machine is neither read nor changed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

from tests.postfix.clients import TLS10_ONLY, TLS12_RSA_ONLY, TLS13_MODERN, insists
from tests.postfix.conversation import Handshake
from tests.postfix.doors import matrix
from tests.postfix.doors_world import DoorWorld
from tests.postfix.netns import Network, network
from tests.postfix.world import Ran

Holds = Callable[[str, bool], None]
Run = Callable[..., Ran]
Say = Callable[[str], None]

PARTNER, FACTORY, FACTORY6, STRANGER = "198.51.100.7", "198.51.100.8", "2001:db8:77::8", "203.0.113.9"
DOORS = {"legacy-rsa": 10125, "legacy": 10225}


class Play:
    """The acts; `run`, `say` and `holds` print as the rest of the demo does."""

    def __init__(self, world: DoorWorld, run: Run, say: Say, holds: Holds) -> None:
        self._world, self._run, self._say, self._holds = world, run, say, holds

    def meet(self, title: str, address: str, handshake: Handshake, times: int = 1) -> bool:
        """Let a client come, and print how it fared."""
        experience = self._world.internet.meet(insists(handshake, times), address)
        self._say(f"{title} ({address}): {experience.words}.")
        return experience.delivered

    def set_up(self) -> None:
        """Say who is where, and make the doors."""
        self._say(
            "A second Postfix, on port 25 of a mail server of its own (192.0.2.25, 2001:db8:25::25) in a network "
            "namespace; its clients are in others. It has an ECDSA certificate only, and takes TLS 1.2 and later."
        )
        self._before = dict(matrix(self._world.internet, STRANGER))
        done = self._run(self._world, "setup", "--self-signed")
        self._world.await_doors()
        made = {each.level for each in self._world.doors()}
        self._holds("setup made the doors, and they answer.", done.status == 0 and made == {*DOORS})

    def let_in(self, title: str, address: str, handshake: Handshake, level: str) -> None:
        """An old server fails, is let in, and delivers."""
        print()
        failed = not self.meet(title, address, handshake, 3)
        self._world.await_(lambda: bool(self._world.asked("peers", address)["peers"]), f"{address} is known")
        done = self._run(self._world, "allow-legacy", address)
        print()
        delivered = self.meet(f"{title} again", address, handshake)
        self._holds(f"{title} failed, was let in by the {level} door, and delivered.",
                    failed and f"level {level}" in done.said and delivered)  # fmt: skip

    def others(self) -> None:
        """Nobody else got anything."""
        print()
        old, modern = (self.meet("a stranger", STRANGER, each) for each in (TLS10_ONLY, TLS13_MODERN))
        self._holds("A stranger as old was refused as before; a modern one was served.", not old and modern)
        after = dict(matrix(self._world.internet, STRANGER))
        self._say(f"The stranger tries all {len(after)} pairs of version and suite, as it did before setup.")
        self._holds("Each ended exactly as before setup.", after == self._before)
        barred = all(self._is_barred(address, port) for address in (STRANGER, FACTORY) for port in DOORS.values())
        self._holds("Nobody reaches a door by its own port, not even who is let in.", barred)

    def _is_barred(self, address: str, port: int) -> bool:
        try:
            self._world.internet.knock(address, port, patience_s=1)
        except OSError as error:
            self._say(f"{address} connects to port {port}: {(error.strerror or str(error)).lower()}.")
            return True
        return False

    def seen(self) -> None:
        """Postfix's own words, and nftables'."""
        print("\nWhat Postfix logged of them at the doors:")
        wanted = re.compile(r"/mailtls-legacy(?:-rsa)?/smtpd\[\d+\]: (?:connect|\S+ TLS \S+ \S+) from unknown\[([^]]+)")
        found = [(line, match[1]) for line in self._world.postfix.lines() if (match := wanted.search(line))]
        lines = [line for line, address in found if address != "127.0.0.1"]  # the keeper, who tries the doors
        print("\n".join(textwrap.indent(textwrap.fill(line, 76, subsequent_indent="  "), "    ") for line in lines))
        self._holds("Postfix saw their true addresses.", all(
            any(f"[{address}]" in line for line in lines) for address in (PARTNER, FACTORY, FACTORY6)))  # fmt: skip
        self._run(self._world, "waivers")

    def undo(self) -> None:
        """Take it back."""
        done = self._run(self._world, "revoke", FACTORY)
        print()
        refused = not self.meet("the factory's server", FACTORY, TLS10_ONLY)
        self._holds("What a person revokes ends with the next connection.", done.status == 0 and refused)


def play(run: Run, say: Say, holds: Holds) -> None:
    """Play the doors, in a network of their own."""
    with network() as net, net.server:
        _play(net, run, say, holds)


def _play(net: Network, run: Run, say: Say, holds: Holds) -> None:
    with DoorWorld(net, setup=None) as world:
        acts = Play(world, run, say, holds)
        acts.set_up()
        acts.let_in("a partner's server of TLS 1.2 with RSA only", PARTNER, TLS12_RSA_ONLY, "legacy-rsa")
        acts.let_in("the factory's server of TLS 1.0", FACTORY, TLS10_ONLY, "legacy")
        acts.let_in("the same server over IPv6", FACTORY6, TLS10_ONLY, "legacy")
        acts.others()
        acts.seen()
        acts.undo()
