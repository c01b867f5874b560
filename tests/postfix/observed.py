"""A mail server with doors, and mailtls-observer on it: as its unit starts it, with one capability and no privilege."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from mailtls.core.controlprotocol import AskExplain, AskPeers, AskStatus, AskWaivers, Question
from mailtls.ctl.inquiry import ask_daemon, places_of

from .configuration import Settings
from .doors import EVERYWHERE
from .doors_world import AUTOMATIC, DoorWorld
from .netns import Network
from .programs import Service, program
from .world import NOBODY_HAS_IT

OBSERVERS_UID = 61998
"""Of nobody, too; its group is that of mailtlsd, which owns the socket."""


class ObserverService(Service):
    """The observer with CAP_NET_RAW, and with nothing else."""

    def start(self) -> None:
        """Start it; it is not ready yet."""
        privileges = [
            "--reuid", str(OBSERVERS_UID), "--regid", str(NOBODY_HAS_IT), "--clear-groups", "--pdeathsig", "KILL",
            "--bounding-set=-all,+net_raw", "--inh-caps=-all,+net_raw", "--ambient-caps=+net_raw", "--no-new-privs",
        ]  # fmt: skip
        with self.words.open("ab") as words:
            self._process = subprocess.Popen(
                ["setpriv", *privileges, program(self.name), *self.arguments],
                env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=words, stderr=words, cwd="/",
            )  # fmt: skip


class ObservedWorld(DoorWorld):
    """Postfix logs clients' ports, as is recommended where the observer runs; its thread is in `network.server`."""

    observer: ObserverService

    def __init__(self, network: Network) -> None:
        extra = {**EVERYWHERE, "smtpd_client_port_logging": "yes"}
        super().__init__(network, AUTOMATIC, Settings(extra=extra))

    def __enter__(self) -> ObservedWorld:
        super().__enter__()
        self.observer = ObserverService("mailtls-observer", (), self.environment, self.root / "log/observer.log")
        self._stack.callback(self.observer.stop)
        try:
            self.observe()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _lay_out(self) -> None:
        super()._lay_out()
        place = self.root / "run/mailtls-observer"
        place.mkdir(mode=0o710)
        os.chown(place, NOBODY_HAS_IT, NOBODY_HAS_IT)

    def observe(self) -> None:
        """Start the observer, and wait until mailtlsd hears it."""
        begun = self._begun()
        self.observer.start()
        self.await_(lambda: self._begun() > begun, "the observer sees hellos")
        self.await_(lambda: bool(self.hears().get("running")), "mailtlsd hears the observer")

    def _begun(self) -> int:
        return self.observer.words.read_text().count("sees hellos to port") if self.observer.words.exists() else 0

    # --- asked without starting a program each time ---------------------------------------------------------------

    def _answer(self, question: Question) -> dict[str, Any]:
        return ask_daemon(places_of(str(self.config)), question).model_dump(mode="json")

    def hears(self) -> dict[str, Any]:
        """Give what mailtlsd says of the observer."""
        fares: dict[str, Any] = self._answer(AskStatus())["status"]["observer"] or {}
        return fares

    def explained(self, address: str) -> dict[str, Any]:
        """Explain a peer."""
        (explained,) = self._answer(AskExplain(whom=address))["explained"]
        found: dict[str, Any] = explained
        return found

    def waived(self) -> dict[str, str]:
        """Give the level of every waiver by its network."""
        return {waiver["network"]: waiver["level"] for waiver in self._answer(AskWaivers())["waivers"]}

    def _failures(self, address: str) -> int:
        return sum(peer["failures"] for peer in self._answer(AskPeers(whom=address))["peers"])
