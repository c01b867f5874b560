"""Where Postfix is going to listen: names made addresses, and new ones tried before it tries them.

A name that does not resolve, a port that somebody else uses, an address that this machine does not have: each kills a
running master at the next reload, and with it all mail (facts 2.7). `postconf` and `postfix check` see none of them.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from mailtls.core.endpoint import Endpoint, parse_endpoint
from mailtls.core.printable import printable
from mailtls.edge.runningmaster import Address
from mailtls.errors import PostfixError

WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - what inet_interfaces = all stands for
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

LARGEST_PORT = 65535


class Listening:
    """Resolves the names of `inet` services; `values` holds inet_interfaces and inet_protocols, `$name` followed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._interfaces = values.get("inet_interfaces", "all").replace(",", " ").split()
        self._families = _families(values.get("inet_protocols", "all"))

    def addresses(self, name: str) -> tuple[Address, ...]:
        """Give the addresses of a service. Raises PostfixError with what Postfix would die of."""
        try:
            endpoint = parse_endpoint(name)
        except ValueError as error:
            raise PostfixError(f"master.cf: {error}") from error
        port = _port(name, endpoint)
        if endpoint.host:
            return _resolved(endpoint.host, port, self._families, f"master.cf, service {name}")
        return tuple(dict.fromkeys(address for each in self._interfaces for address in self._interface(each, port)))

    def _interface(self, name: str, port: int) -> Iterable[Address]:
        if name in ("all", "loopback-only"):
            known = WILDCARDS if name == "all" else LOOPBACK
            return [(known[family], port) for family in self._families]
        return _resolved(name.strip("[]"), port, self._families, f"inet_interfaces, {name}")


def _families(protocols: str) -> tuple[socket.AddressFamily, ...]:
    named = protocols.replace(",", " ").split()
    families = [socket.AF_INET] if {"all", "ipv4"} & set(named) else []
    return (*families, socket.AF_INET6) if {"all", "ipv6"} & set(named) and _has_ipv6() else tuple(families)


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as trial:
        trial.bind(("::1", 0))
        return True
    return False


def _port(name: str, endpoint: Endpoint) -> int:
    if endpoint.port.isascii() and endpoint.port.isdigit():
        if len(endpoint.port) > 5 or int(endpoint.port) > LARGEST_PORT:
            raise PostfixError(f"master.cf, service {printable(name, 100)}: ports end at {LARGEST_PORT}")
        return int(endpoint.port)
    try:
        return socket.getservbyname(endpoint.port, "tcp")
    except OSError:
        raise PostfixError(
            f"master.cf, service {name}: /etc/services knows no port {endpoint.port}; write its number"
        ) from None


def _resolved(host: str, port: int, families: Collection[socket.AddressFamily], where: str) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "that is no name"
        raise PostfixError(f"{where}: {host} does not resolve: {why.lower()}; write a numeric address") from error
    return tuple(dict.fromkeys((str(at[0]), port) for family, *_, at in found if family in families))


def loopback(address: Address) -> Address:
    """Say where a client on this machine reaches an address: a wildcard at the loopback address."""
    return LOOPBACK_OF.get(address[0], address[0]), address[1]


def bind_fault(address: Address) -> str | None:
    """Try to bind an address as `bind_error` does; say what is in the way, or None."""
    error = bind_error(address)
    return None if error is None else f"{spelled(address)}: {(error.strerror or str(error)).lower()}"


def bind_error(address: Address) -> OSError | None:
    """Try to bind an address as Postfix will, but without sharing it (SO_REUSEPORT); give what is in the way, or None.

    Nobody can connect while it is tried: the socket does not listen.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)
    except OSError as error:
        return error
    return None


def spelled(address: Address) -> str:
    """Write an address and its port."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
