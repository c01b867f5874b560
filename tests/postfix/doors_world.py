"""A mail server with doors as a whole: Postfix, keeper and mailtlsd in their network namespace, and `mailtlsctl setup`.

The thread that makes it, and every thread that asks it, has to be in `network.server`; clients come by `internet`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mailtls.core.keeperprotocol import DoorState, KeeperStatus
from mailtls.ctl.inquiry import ask_keeper, places_of
from mailtls.edge.runningmaster import find_master

from .applying import age
from .clients import TLS13_MODERN, insists
from .configuration import Settings
from .conversation import Handshake, Server
from .doors import EVERYWHERE, Internet, MailServer
from .netns import SERVER4, Network
from .world import World

AUTOMATIC = """\
[causes.peer_too_old]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "1h" }
lifetime = "1d"
longest = "7d"

[causes.no_shared_cipher]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "1h" }
lifetime = "1d"
longest = "7d"

[limits]
automatic = ["legacy-rsa", "legacy"]
waivers = 100
per_day = 100
"""
BY_HAND = "[limits]\nautomatic = []\n"
"""Everything waits for a person."""

OWN_NETWORKS = ("127.0.0.0/8", "198.51.100.240/28", "[2001:db8:77::f0]/124")


class DoorWorld(World):
    """Postfix, keeper and mailtlsd on the mail server, for the time of a `with` block; set up unless told otherwise."""

    def __init__(
        self, network: Network, policy: str = BY_HAND, settings: Settings | None = None, *,
        entry: str = "smtp inet n - y - - smtpd", setup: tuple[str, ...] | None = ("--self-signed",),
        known: str = "", names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        super().__init__(policy)
        wanted = settings or Settings()
        extra = {**EVERYWHERE, "mynetworks": " ".join(OWN_NETWORKS), **wanted.extra}
        self.network, self.internet = network, Internet(network)
        self.postfix = MailServer(Settings(key_types=wanted.key_types, protocols=wanted.protocols, extra=extra), entry)
        if names:
            extra["smtpd_peername_lookup"] = "yes"
        self._setup, self._known, self._names = setup, known, names

    def __enter__(self) -> DoorWorld:
        super().__enter__()
        try:
            self._name()
            if self._setup is not None:
                self.set_up(*self._setup)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _lay_out(self) -> None:
        super()._lay_out()
        if self._known:
            (self.policy.parent / "known-legacy.toml").write_text(self._known)

    def _name(self) -> None:
        """Give peers names, by the hosts file of the chroot in which smtpd looks."""
        place = self.root / "queue/etc"
        place.mkdir(exist_ok=True)
        (place / "nsswitch.conf").write_text("hosts: files\n")
        (place / "hosts").write_text("".join(f"{address} {name}\n" for address, name in self._names.items()))

    def set_up(self, *options: str) -> str:
        """Run `mailtlsctl setup`, and wait until its doors are up; give what it said."""
        ran = self.ctl("setup", *options)
        assert ran.status == 0, ran
        self.await_doors()
        return ran.said + ran.complained

    def await_doors(self) -> None:
        """Wait until the keeper says of every door in the view that it is up."""
        view = places_of(str(self.config)).postfix_view

        def are_up() -> bool:
            named = re.findall(r'^level = "([a-z0-9-]+)"', view.read_text(), re.MULTILINE) if view.exists() else []
            return sorted(each.level for each in self.doors() if each.up) == sorted(named)

        self.await_(are_up, "every door is up")

    def door(self, way_in: str = "smtp") -> Server:
        return Server(SERVER4, self.postfix.ports[way_in])

    # --- peers -------------------------------------------------------------------------------------------------

    def fails(self, address: str, handshake: Handshake, times: int = 1) -> None:
        """Let a peer fail so many times, and wait until mailtlsd knows."""
        before = self._failures(address)
        for _ in range(times):
            assert not self.internet.meet(insists(handshake), address).delivered
        self.await_(lambda: self._failures(address) >= before + times, f"the failures of {address} are known")

    def _failures(self, address: str) -> int:
        return sum(peer["failures"] for peer in self.asked("peers", address)["peers"])

    def allow(self, whom: str, *options: str) -> dict[str, Any]:
        """Let somebody in, which has to succeed; give what `--json` says."""
        ran = self.ctl("allow-legacy", whom, *options, "--json")
        assert ran.status == 0, ran
        answer: dict[str, Any] = json.loads(ran.said)
        return answer

    def waived(self) -> dict[str, str]:
        """Give the level of every waiver by its network."""
        return {waiver["network"]: waiver["level"] for waiver in self.asked("waivers")["waivers"]}

    def sessions(self, address: str, service: str) -> int:
        """Count the sessions of a peer that have ended at a service, by its syslog_name."""
        wanted = re.compile(rf" {service}/smtpd\[\d+\]: disconnect from unknown\[{re.escape(address)}\]")
        return sum(bool(wanted.search(line)) for line in self.postfix.lines())

    def visits(self, address: str) -> int:
        """Count the sessions of a peer that mailtlsd knows."""
        return sum(peer["sessions"] for peer in self.asked("peers", address)["peers"])

    def is_served(self, address: str) -> bool:
        """Tell whether a modern client is served at this address's way in, and soon."""
        with suppress(OSError), self.internet.conversation(address) as conversation:
            conversation.wire.settimeout(1)
            conversation.secure(TLS13_MODERN)
            conversation.quit()
            return True
        return False

    # --- what happens to it ------------------------------------------------------------------------------------

    def doors(self) -> tuple[DoorState, ...]:
        """Ask the keeper how its doors fare."""
        health = ask_keeper(places_of(str(self.config)), KeeperStatus()).health
        return health.doors if health is not None else ()

    def smtpd_of(self, port: int) -> list[int]:
        """Find the processes of a door by its port, which is the name of its service."""
        found = []
        for words in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                command = words.read_bytes().split(b"\0")
                if command[:3] == [b"smtpd", b"-n", str(port).encode()] and self._is_ours(words.parent):
                    found.append(int(words.parent.name))
        return found

    def _is_ours(self, process: Path) -> bool:
        return f"MAIL_CONFIG={self.postfix.configuration}".encode() in (process / "environ").read_bytes().split(b"\0")

    def forget_entry(self, port: int) -> None:
        """Take a door out of master.cf behind everybody's back, as a backup does, and let Postfix know."""
        master = self.postfix.configuration / "master.cf"
        lines, kept, inside = master.read_text().splitlines(keepends=True), [], False
        for line in lines:
            inside = line.startswith((" ", "\t")) if inside else line.startswith((f"{port} ", f"{port}\t"))
            kept += [] if inside else [line]
        assert len(kept) < len(lines)
        master.write_text("".join(kept))
        age(master)
        running = find_master(self.root / "queue")
        assert running is not None
        reloads = sum("reload --" in line for line in self.postfix.lines())
        os.kill(running.pid, signal.SIGHUP)
        self.postfix.wait_for(r"postfix/master\[\d+\]: reload --", reloads + 1)
        with self.network.server:
            self.await_(lambda: not self._listens(port), f"nobody listens on port {port}")

    def _listens(self, port: int) -> bool:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5).close()
            return True
        return False

    def edit(self, name: str, old: str, new: str) -> None:
        """Edit a file of Postfix by `mailtlsctl edit`."""
        editor = self.root / "editor"
        editor.write_text(f"#!/bin/sh\nexec sed -i 's|{old}|{new}|' \"$1\"\n")
        editor.chmod(0o755)
        self.environment["EDITOR"] = self.environment["VISUAL"] = str(editor)
        ran = self.ctl("edit", name)
        assert ran.status == 0, ran
