"""What `setup --milter` asks before it tells Postfix of the milter: whether it runs."""

from __future__ import annotations

import socket
from pathlib import Path

from mailtls.core.milterentry import SOCKET
from mailtls.edge.postconf import Postconf
from mailtls.errors import RefusedError

PATIENCE_S = 2.0


def insist_on_milter(postconf: Postconf) -> None:
    """Refuse to tell Postfix of a milter that does not run: it would say so of every connection. RefusedError."""
    path = Path(postconf.values("queue_directory")["queue_directory"]) / SOCKET
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PATIENCE_S)
            probe.connect(str(path))
    except OSError as error:
        raise RefusedError(
            f"nothing was changed: mailtls-milter does not run ({path}: {(error.strerror or str(error)).lower()}); "
            "first: systemctl enable --now mailtls-milter"
        ) from error
