"""The kernel's table of connections: how full it is. When it is full, everybody's packets are dropped.

A nat chain switches connection tracking on for the whole machine, so that a mail server which never had such a table
has one as soon as it has a door (facts 11.4).
"""

from __future__ import annotations

from pathlib import Path

PLACE = Path("/proc/sys/net/netfilter")


def conntrack_ratio(place: Path = PLACE) -> float | None:
    """Give the share of the table that is in use, from 0 to 1; None: the kernel tracks no connections."""
    try:
        count, most = (int((place / f"nf_conntrack_{name}").read_text("ascii")) for name in ("count", "max"))
    except (OSError, ValueError):
        return None
    return count / most if most > 0 else None
