"""Trying where the entries of master.cf are to listen: names resolved, addresses and ports bound for a moment.

What the running Postfix listens at itself is left out: only root can see which ports those are. Nothing is listened at,
and with SO_REUSEADDR on both sides a Postfix that starts in this very moment is not held up.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mailtls.core.doctorlisteners import ListenerFault, Trouble
from mailtls.core.endpoint import parse_endpoint
from mailtls.core.mastercf import Service
from mailtls.edge.listening import WILDCARDS, Listening, bind_error, spelled
from mailtls.edge.runningmaster import Address, find_master, listened_here
from mailtls.errors import PostfixError

MOST_SERVICES = 256


@dataclass(slots=True)
class Listeners:
    """What came of it. `unseen`: ports that are in use, by whom this user cannot see."""

    faults: list[ListenerFault] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ports:
    """What this machine says of its ports. `own`: where the Postfix of a queue listens, None where that is hidden."""

    bind: Callable[[Address], OSError | None]
    own: Callable[[Path], frozenset[Address] | None]
    used: Callable[[], frozenset[int]]


def this_machine() -> Ports:
    """Ask the system itself."""
    return Ports(bind_error, _own, lambda: frozenset(port for _, port in listened_here()))


def _own(queue: Path) -> frozenset[Address] | None:
    if os.geteuid() != 0:
        return None
    master = find_master(queue)
    if master is None:
        return frozenset()
    with suppress(PostfixError):
        return master.listens()
    return None


def try_listeners(services: Iterable[Service], values: Mapping[str, str], queue: Path, ports: Ports) -> Listeners:
    """Try every `inet` entry. `values`: inet_interfaces and inet_protocols, `$name` followed."""
    found, listening, own = Listeners(), Listening(values), ports.own(queue)
    inet = [each for each in services if each.kind == "inet"][:MOST_SERVICES]
    for service in inet:
        try:
            addresses = listening.addresses(service.name)
        except PostfixError as error:
            found.faults.append(ListenerFault(service, Trouble.UNKNOWN, _port(service.name), f"{error}."))
            continue
        if not addresses:
            words = f"{service.name} has no address of a kind that inet_protocols allows here."
            found.faults.append(ListenerFault(service, Trouble.UNKNOWN, _port(service.name), words))
        for address in addresses:
            found.faults += _tried(service, address, ports, own, found.unseen)
    return found


def _port(name: str) -> int:
    with suppress(ValueError):
        return int(parse_endpoint(name).port)
    return 0


def _tried(
    service: Service, address: Address, ports: Ports, own: frozenset[Address] | None, unseen: list[int]
) -> Iterator[ListenerFault]:
    error = ports.bind(address)
    if error is None:
        return
    if error.errno == errno.EADDRNOTAVAIL or _is_not_here(address, ports):
        words = f"{spelled(address)}: this machine has no address {address[0]}."
        yield ListenerFault(service, Trouble.NOT_HERE, address[1], words)
    elif error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
        if own is None and (error.errno == errno.EADDRINUSE or address[1] in ports.used()):
            unseen.append(address[1])
        elif own is not None and error.errno == errno.EADDRINUSE and not _is_own(address, own):
            words = f"{spelled(address)} is in use, and not by this Postfix."
            yield ListenerFault(service, Trouble.TAKEN, address[1], words)


def _is_not_here(address: Address, ports: Ports) -> bool:
    """Ask for the address alone: a low port is refused to a plain user before its address is looked at."""
    error = ports.bind((address[0], 0))
    return error is not None and error.errno == errno.EADDRNOTAVAIL


def _is_own(address: Address, own: frozenset[Address]) -> bool:
    """Tell whether Postfix itself is what is in the way, at this address or all."""
    wild = frozenset(WILDCARDS.values())
    return any(
        port == address[1] and (host == address[0] or host in wild or address[0] in wild) for host, port in own
    )
