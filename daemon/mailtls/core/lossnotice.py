"""What a syslog daemon says of lines that it did not write: then sessions are missing, and counts are too low.

rsyslog (plugins/imuxsock/imuxsock.c, plugins/imjournal/imjournal.c, runtime/ratelimit.c) and journald
(src/journal/journald-rate-limit.c) say so under their own tags. The words alone prove nothing: a stranger can put them
into a HELO name, which stands behind Postfix's tag.
"""

from __future__ import annotations

from mailtls.core.logline import split
from mailtls.core.printable import printable

_DAEMONS = (b"rsyslogd", b"systemd-journal", b"imjournal", b"imuxsock")


def loss_told(line: bytes) -> str | None:
    """Give the daemon's own words where this line says that lines were left out, printable; else None."""
    if b"rate-limiting" not in line and b"Suppressed " not in line:
        return None
    parts = split(line)
    if parts is None or not parts.tag.startswith(_DAEMONS):
        return None
    return printable(b"%b: %b" % (parts.tag, parts.message), 200)
