"""Our table in nftables, `table inet mailtls`, as the text that nft(8) reads: one text is one transaction.

Doors' peers are sent to the door's port by `dnat to :PORT`, which keeps the address (`redirect` would not, facts 11.4),
in prerouting and, since connections of this machine never pass there (facts 7.7), in output. The guard lets nobody else
to a door: what comes there, loopback aside, must be known to have been sent to port 25 and led here; where the site
has connections not tracked (`notrack`) nothing is known. It answers as a closed port does, so that a door looks like
none. What it accepts still meets the chains of others.

Nothing but addresses that Python has parsed, names of ours and numbers ever goes into a text. An element is put, taken
and put again (`add`, `delete`, `add`): the first makes the second possible where it has just run out, the third sets
the timeout also where the kernel would leave an old one as it is (facts 7.4). Sets of networks are few: filled anew.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from mailtls.core.doorset import HOSTS, NETWORKS, Difference, Sets, armed, set_names, set_of
from mailtls.core.postfixview import Doorway

TABLE = "inet mailtls"
FIRST = -110
"""Priority of the nat chains: just before dstnat, where others may lead port 25 elsewhere; the first one is obeyed."""


def definition(doorways: Sequence[Doorway], elements: Sets, now: datetime) -> str:
    """Make the whole table anew with these elements; whatever was there goes in the same moment.

    Within one transaction no packet meets the time between, and sessions that were led elsewhere go on (facts 7.2).
    """
    lines = (f"add table {TABLE}", f"delete table {TABLE}", *_table(doorways), *_filled(armed(elements, now), now))
    return "\n".join((*lines, ""))


def change(found: Difference, now: datetime) -> str:
    """Change the elements."""
    lines: list[str] = []
    for name in sorted(found.fresh):
        fresh = found.fresh[name]
        if NETWORKS in name:
            lines.append(f"flush set {TABLE} {name}")
        else:
            touched = ", ".join(sorted(fresh.keys() | found.gone[name]))
            lines += [f"{verb} element {TABLE} {name} {{ {touched} }}" for verb in ("add", "delete")]
        lines += _added(name, fresh, now)
    return "\n".join((*lines, ""))


def emptied(names: Iterable[str]) -> str:
    """Empty these sets."""
    return "".join(f"flush set {TABLE} {name}\n" for name in names)


def removed() -> str:
    """Remove the table; sessions that it led to a door are reset by that (facts 7.2)."""
    return f"delete table {TABLE}\n"


def _filled(elements: Sets, now: datetime) -> Iterator[str]:
    for name, of in elements.items():
        yield from _added(name, of, now)


def _added(name: str, elements: Mapping[str, datetime], now: datetime) -> list[str]:
    timed = ", ".join(f"{each} timeout {_seconds(end, now)}s" for each, end in elements.items())
    return [f"add element {TABLE} {name} {{ {timed} }}"] if timed else []


def _seconds(end: datetime, now: datetime) -> int:
    return max(1, math.ceil((end - now).total_seconds()))


def _table(doorways: Sequence[Doorway]) -> Iterator[str]:
    levels = dict.fromkeys(doorway.level for doorway in doorways)
    yield f"table {TABLE} {{"
    for name in (name for level in levels for name in set_names(level)):
        flags = "interval, timeout" if NETWORKS in name else "timeout"
        yield f"  set {name} {{ type ipv{name[-1]}_addr; flags {flags}; }}"
    leading = list(_leading(doorways))
    for hook in ("prerouting", "output"):
        yield f"  chain {hook} {{"
        yield f"    type nat hook {hook} priority {FIRST}; policy accept;"
        yield from leading
        yield "  }"
    ports = ", ".join(str(port) for port in sorted({doorway.port for doorway in doorways}))
    yield "  chain guard {"
    yield "    type filter hook input priority filter; policy accept;"
    for known in ('iifname "lo"', "ct original proto-dst 25 ct status dnat"):
        yield f"    tcp dport {{ {ports} }} {known} accept"
    yield f"    tcp dport {{ {ports} }} reject with tcp reset"
    yield "  }"
    yield "}"


def _leading(doorways: Sequence[Doorway]) -> Iterator[str]:
    """Lead hosts first, then networks: the narrowest waiver holds."""
    for kind in (HOSTS, NETWORKS):
        for doorway in doorways:
            for family, version in (("ip", 4), ("ip6", 6)):
                where = _addressed(doorway, family, version)
                if where is not None:
                    name = set_of(doorway.level, kind, ":" if version == 6 else ".")
                    yield f"    tcp dport 25 {where} {family} saddr @{name} dnat to :{doorway.port}"


def _addressed(doorway: Doorway, family: str, version: int) -> str | None:
    """Say which of this machine's addresses lead to the door: those of the MX entry, or all; None: none of these."""
    if not doorway.addresses:
        return "fib daddr type local"
    parsed = (ipaddress.ip_address(each) for each in doorway.addresses)
    addresses = [str(each) for each in parsed if each.version == version]
    return f"{family} daddr {{ {', '.join(addresses)} }}" if addresses else None
