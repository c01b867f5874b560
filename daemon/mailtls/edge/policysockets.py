"""The sockets at which Postfix asks: passed by systemd, or opened here where nobody passed one, and a TCP port.

The unit `mailtls-policy.socket` makes the UNIX socket in Postfix's queue directory as root, for Postfix's group, and
keeps it while mailtlsd restarts: Postfix then waits a moment instead of finding nobody. Without systemd, in a private
instance, mailtlsd makes it by itself where the directory is there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

from mailtls.core.endpoint import parse_endpoint
from mailtls.edge.activation import PassedSocket
from mailtls.edge.socketfile import SocketFile
from mailtls.errors import ConfigError, MailtlsError

NAME = "policy"  # FileDescriptorName= of the unit
POSTFIX = "postfix"  # the group of its processes that talk to strangers
BACKLOG = 128
KEY = "[policy_service] listen"


class PolicySockets:
    """`path`: of the UNIX socket; `listen`: `address:port` on loopback, or empty; `passed`: what systemd passed."""

    def __init__(self, path: Path, listen: str, passed: Callable[[], tuple[PassedSocket, ...]]) -> None:
        self._listen = listen
        self._passed = passed
        self._file = SocketFile(path, "mailtlsd", POSTFIX)

    def open(self) -> list[socket.socket]:
        """Give the sockets, not blocking, each a descriptor of its own. Raises ConfigError, MailtlsError."""
        found = [socket.socket(fileno=each.descriptor) for each in self._passed() if each.name == NAME]
        sockets = [each.dup() for each in found]
        for each in found:
            each.detach()  # systemd's own stays open, so that it can be asked for again
        if not sockets and self._file.path.parent.is_dir():
            sockets = [self._file.open().dup()]
        if self._listen:
            sockets.append(_loopback(self._listen))
        for each in sockets:
            each.setblocking(False)
        return sockets

    def close(self) -> None:
        """Remove what was made here."""
        self._file.close()


def _loopback(spelled: str) -> socket.socket:
    try:
        place = parse_endpoint(spelled)
        address = ipaddress.ip_address(place.host)
        port = place.number
    except ValueError:
        raise ConfigError(f'{KEY} = "{spelled}": write an address and a port, such as "127.0.0.1:9812"') from None
    if not address.is_loopback:
        raise ConfigError(
            f'{KEY} = "{spelled}": whoever reaches this port can ask how this site treats a peer, and feed facts; '
            'write a loopback address, such as "127.0.0.1:9812"'
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        return socket.create_server((str(address), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise MailtlsError(
            f"{spelled}: the policy service cannot listen there: {(error.strerror or str(error)).lower()}; "
            "see who does: ss -ltnp"
        ) from error
