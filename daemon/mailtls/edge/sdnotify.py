"""What systemd is told: ready, alive, reloading, stopping, and one line of status (sd_notify(3)).

Without NOTIFY_SOCKET nothing is told and nothing fails, so that the programs run in the foreground as they are. What
cannot be told is not tried again: systemd has its own deadlines, and this program has work to do.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from time import CLOCK_MONOTONIC, clock_gettime_ns

SEND_TIMEOUT_S = 1.0  # systemd reads at once; a manager that is stuck must not stop us
LONGEST = 4096  # bytes of one message; systemd drops longer ones (NOTIFY_BUFFER_MAX in core/manager.c)


class Notifier:
    """Speaks to the manager that `environ` names. `watchdog_seconds`: its patience, None where it has no watchdog."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog(environ)

    def send(self, *assignments: str) -> bool:
        """Tell it `NAME=value` pairs in one message; False where nobody took it. Line ends in a value become spaces."""
        if self._address is None:
            return False
        text = "\n".join(" ".join(each.splitlines()) for each in assignments)
        message = text.encode("utf-8", "replace")[:LONGEST]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(SEND_TIMEOUT_S)
                channel.sendto(message, self._address)
        except OSError:
            return False
        return True

    def reloading(self) -> bool:
        """Tell that configuration is being read; READY=1 must follow. systemd 253 and later wants the time with it."""
        return self.send("RELOADING=1", f"MONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")


def _address(named: str) -> bytes | None:
    """Give the socket's address: a path, or one without a file, written with `@` for its leading zero byte."""
    if not named.startswith(("/", "@")) or len(named) < 2:
        return None
    raw = os.fsencode(named)
    return b"\0" + raw[1:] if raw.startswith(b"@") else raw


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Give the watchdog's seconds, if it is this process that it watches (sd_watchdog_enabled(3))."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
    if not (microseconds.isascii() and microseconds.isdigit()) or pid != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None
