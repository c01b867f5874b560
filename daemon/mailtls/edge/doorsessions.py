"""Who is connected to a port of this machine: how many established connections, from the kernel's own tables.

`/proc/net/tcp` and `tcp6` list the sockets of this network namespace (proc(5)); state 01 is an established connection.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"
BETWEEN_LOOKS_S = 0.5
QUIET_S = 7.0
"""So long nobody must have been there. The keeper looks at the view every 5 s at least and empties the sets then;
whoever the kernel led there before that has arrived soon after."""


def sessions_at(ports: Collection[int]) -> int:
    """Count the established connections whose own port, on this machine's side, is one of these."""
    wanted = {f"{port:04X}" for port in ports}
    count = 0
    for table in TABLES:
        with suppress(OSError):
            rows = (line.split(maxsplit=4) for line in table.read_text().splitlines()[1:])
            count += sum(row[1].rpartition(":")[2] in wanted and row[3] == ESTABLISHED for row in rows)
    return count


def wait_until_left(ports: Collection[int], patience_s: float, quiet_s: float = QUIET_S) -> int:
    """Wait until nobody has been at these ports for a while; give how many are left when patience ends."""
    deadline = time.monotonic() + patience_s
    quiet_since = None
    while True:
        count, now = sessions_at(ports), time.monotonic()
        quiet_since = None if count else (quiet_since if quiet_since is not None else now)
        if quiet_since is not None and now - quiet_since >= quiet_s:
            return 0
        if now >= deadline:
            return count
        time.sleep(BETWEEN_LOOKS_S)
