"""The keeper's own end of its socket: made here, or passed in by systemd (sd_listen_fds(3)).

Mode 0660, mailtlsd's user as its owner and the operators' group: who cannot connect cannot waste connections; who can
is still asked for his credentials. The directory is root's, so that the owner can neither remove nor replace it. Where
there is no such user or group, root's stands.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mailtls.edge.activation import passed_sockets
from mailtls.edge.credentials import gid_of, uid_of
from mailtls.errors import ConfigError

BACKLOG = 128


def passed_socket() -> socket.socket | None:
    """Take the socket that systemd passed to this very process; None where there is none. Raises ConfigError."""
    passed = passed_sockets()
    return socket.socket(fileno=passed[0].descriptor) if passed else None


def own_socket(path: Path, daemon: str, admins: str) -> socket.socket:
    """Listen at `path`, replacing what a predecessor left. Raises ConfigError."""
    owner, group = uid_of(daemon), gid_of(admins)
    beside = path.with_name(f"{path.name}.new")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        listening.bind(str(beside))
        beside.chmod(0o660)  # before it is given away: after that it would take another capability
        os.chown(beside, owner if owner is not None else -1, group if group is not None else -1)
        listening.listen(BACKLOG)
        beside.rename(path)
    except OSError as error:
        listening.close()
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: the keeper cannot listen there: {why}; does it run as root?") from error
    return listening
