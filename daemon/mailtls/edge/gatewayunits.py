"""The gateway's units in systemd: started when `setup` makes the sslv3 door, and stopped when it goes.

The port and Postfix's socket stand in the units as Debian's defaults have them. Where a site has others, a file beside
the units says so (systemd.unit(5), "drop-in"), and goes again with the door.

SECURITY: root only; the names of units are our own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailtls.edge.postconf import PATH
from mailtls.edge.swapfile import content_of, digest, swap
from mailtls.errors import PostfixError

SOCKET, SERVICE = "mailtls-gateway.socket", "mailtls-gateway.service"
BACKEND_SOCKET, BACKEND_SERVICE = "mailtls-backend.socket", "mailtls-backend.service"
SOCKETS = (BACKEND_SOCKET, SOCKET)
USUAL_PORT, USUAL_POSTFIX = 10325, Path("/var/spool/postfix/public/mailtls-sslv3")
PLACES = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
DROP_IN = "setup.conf"
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class GatewayUnits:
    """Where systemd is, and its command."""

    running: Path = Path("/run/systemd/system")
    places: Sequence[str] = PLACES
    systemctl: str = "systemctl"

    def why_not(self) -> str | None:
        """Say in a clause why systemd cannot start the gateway here; None where it can."""
        if not self.running.is_dir():
            return "no systemd runs here that would start mailtls-gateway"
        if not any(Path(place, SOCKET).exists() for place in self.places):
            return f"systemd has no {SOCKET}; scripts/install puts it in place"
        return None

    def bring_up(self, port: int, postfix: Path) -> None:
        """Let systemd listen at the port, now and at every boot. Raises PostfixError."""
        listen = f"[Socket]\nListenStream=\nListenStream=0.0.0.0:{port}\nListenStream=[::]:{port}\n"
        proxy = (
            "[Service]\nExecStart=\n"
            f"ExecStart=/usr/lib/systemd/systemd-socket-proxyd --connections-max=512 {_quoted(postfix)}\n"
        )
        moved = (
            self._set(SOCKET, listen if port != USUAL_PORT else None),
            self._set(BACKEND_SERVICE, proxy if postfix != USUAL_POSTFIX else None),
        )
        self._run("daemon-reload")
        self._run("--quiet", "enable", *SOCKETS)
        if any(moved):  # a socket takes no other port while it listens
            self._run("stop", SOCKET, SERVICE, BACKEND_SOCKET, BACKEND_SERVICE)
        self._run("start", *SOCKETS)

    def renew(self) -> None:
        """Let the gateway read its key anew, if it runs. Raises PostfixError."""
        self._run("try-restart", SERVICE)

    def take_down(self) -> None:
        """Stop everything of the gateway, now and at every boot. Raises PostfixError."""
        if self.why_not() is not None:
            return
        self._run("--quiet", "disable", *SOCKETS)
        self._run("stop", SOCKET, SERVICE, BACKEND_SOCKET, BACKEND_SERVICE)
        gone = self._set(SOCKET, None), self._set(BACKEND_SERVICE, None)
        if any(gone):
            self._run("daemon-reload")

    def _set(self, unit: str, text: str | None) -> bool:
        """Write the file beside a unit, or remove it; tell whether anything was changed. Raises PostfixError."""
        path = Path(self.places[0], f"{unit}.d", DROP_IN)
        before, wanted = content_of(path), text.encode() if text is not None else None
        if before == wanted:
            return False
        try:
            path.parent.mkdir(mode=0o755, exist_ok=True)
            swap(path, wanted, digest(before))
            if wanted is None and not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            raise PostfixError(f"{path}: {(error.strerror or 'it cannot be written').lower()}") from error
        return True

    def _run(self, *words: str) -> None:
        try:
            ran = subprocess.run(  # noqa: S603 - our own words
                [self.systemctl, *words], capture_output=True, text=True, errors="replace", timeout=PATIENCE_S,
                check=False, stdin=subprocess.DEVNULL, env={"PATH": PATH, "LC_ALL": "C"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PostfixError(f"systemctl {words[0]} did not end within {PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise PostfixError(f"systemctl cannot be run: {(error.strerror or '').lower()}") from error
        if ran.returncode:
            raise PostfixError(f"systemctl {' '.join(words)} failed: {' '.join(ran.stderr.split())[-300:]}")


def _quoted(path: Path) -> str:
    """Write a path as one word of ExecStart= (systemd.service(5), "COMMAND LINES"). Raises PostfixError."""
    spelled = str(path)
    if any(sign in spelled for sign in "\n\"'\\"):
        raise PostfixError(f"{path}: systemd cannot be told of such a path")
    return '"' + spelled.replace("%", "%%").replace("$", "$$") + '"'
