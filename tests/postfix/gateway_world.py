"""A mail server with the sslv3 door too: as DoorWorld, with a mailtls-gateway that is started as a site without systemd
starts it. What it says goes into the mail log, as a syslog would have it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime
from typing import IO, Any

from .doors_world import DoorWorld
from .netns import Network

PORT = 10325
SECTION = '\n[gateway]\nlisten = ["0.0.0.0:{port}", "[::]:{port}"]\nbackend = "{queue}/public/mailtls-sslv3"\n'


class GatewayWorld(DoorWorld):
    """Postfix, keeper, mailtlsd and mailtls-gateway for the time of a `with` block.

    `limits`: further lines of its section of mailtls.toml.
    """

    def __init__(self, network: Network, *, limits: str = "", **choices: Any) -> None:
        super().__init__(network, **choices)
        self._limits = limits
        self._gateway: subprocess.Popen[bytes] | None = None

    def _lay_out(self) -> None:
        super()._lay_out()
        text = self.config.read_text().replace('["/log/mail.log"]', '["/log/mail.log", "/log/gateway.log"]')
        self.config.write_text(text + SECTION.format(port=PORT, queue=self.root / "queue") + self._limits)
        (self.root / "log/gateway.log").touch()
        self._stack.callback(self.kill_gateway)

    def await_doors(self) -> None:
        """Start the gateway when it has a key, and wait until every door is up, and mailtlsd knows that."""
        if self._gateway is None and (self.root / "etc/mailtls/doors/sslv3.key.der").exists():
            self.start_gateway()
        super().await_doors()
        if self._gateway is not None:
            self.await_(lambda: 'mailtls_door_up{door="sslv3"} 1.0' in self.metrics(), "mailtlsd knows of the gateway")

    def start_gateway(self) -> None:
        doors = self.root / "etc/mailtls/doors"
        key, certificate = doors / "sslv3.key.der", doors / "sslv3.certificate.der"
        self._gateway = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "mailtls.gateway", "--key", str(key), "--certificate",
             str(certificate)],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
        )  # fmt: skip
        assert self._gateway.stdout is not None
        threading.Thread(target=self._log, args=(self._gateway.stdout, self._gateway.pid), daemon=True).start()

    def _log(self, said: IO[bytes], number: int) -> None:
        with said, (self.root / "log/gateway.log").open("ab", buffering=0) as log:
            for line in said:
                stamp = datetime.now().strftime("%b %e %H:%M:%S").encode()
                log.write(b"%b mail mailtls-sslv3/tlsproxy[%d]: %b" % (stamp, number, line))

    def signal_gateway(self, number: int) -> None:
        assert self._gateway is not None
        os.kill(self._gateway.pid, number)

    def kill_gateway(self) -> None:
        """End it with SIGKILL."""
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway.wait()
            self._gateway = None

    def gateway_lines(self) -> list[str]:
        """What it has said so far."""
        return (self.root / "log/gateway.log").read_text(errors="replace").splitlines()
