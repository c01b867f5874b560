"""Peers, each with something: found by address, by the narrowest network that holds it, or by name.

Looked up for every message, so an address costs one look-up, a network one for each prefix length that occurs, a name
one for each of its labels; none of them depends on how many peers there are.

SECURITY: names are those that Postfix prints: forward-confirmed, `unknown` matches nothing. Names longer than DNS
allows match nothing, so that a stranger's megabyte of dots costs nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

LONGEST_NAME = 255  # RFC 1035 2.3.4; with the dot at the end, as text 254

T = TypeVar("T")
_Prefix = tuple[int, int]


class PeerMap(Generic[T]):
    """Immutable. Keys: `192.0.2.1`, `192.0.2.0/24`, `mx.example.net`, or `.example.net` for it and all below it."""

    __slots__ = ("_names", "_networks")

    def __init__(self, entries: Mapping[str, T] = MappingProxyType({})) -> None:
        names: dict[str, T] = {}
        networks: dict[_Prefix, dict[int, T]] = {}
        for key, value in entries.items():
            try:
                network = ipaddress.ip_network(key)
            except ValueError:
                names[key.lower().rstrip(".")] = value
                continue
            span = networks.setdefault((network.version, network.prefixlen), {})
            span[int(network.network_address)] = value
        self._names = names
        self._networks = sorted(networks.items(), key=lambda item: item[0], reverse=True)

    def by_address(self, ip: str) -> T | None:
        """Give what the narrowest entry for this canonical address says; None where there is none."""
        if not self._networks:
            return None
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        number = int(address)
        for (version, length), values in self._networks:
            if version == address.version:
                idle = address.max_prefixlen - length
                found = values.get(number >> idle << idle)
                if found is not None:
                    return found
        return None

    def by_name(self, name: str | None) -> T | None:
        """Give what the narrowest entry for this name, or for a domain above it, says."""
        names = self._names
        if not names or not name or len(name) > LONGEST_NAME:
            return None
        name = name.lower().rstrip(".")
        if name in ("", "unknown"):
            return None
        found = names.get(name)
        while found is None and name:
            found = names.get(f".{name}")
            name = name.partition(".")[2]
        return found

    def of(self, ip: str, name: str | None) -> T | None:
        """Give what is said of this address, or else of its name."""
        found = self.by_address(ip)
        return found if found is not None else self.by_name(name)

    def items(self) -> Iterator[tuple[str, T]]:
        """Give the entries: a map made of them is equal to this one."""
        for (version, length), values in self._networks:
            kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
            for number, value in values.items():
                network = kind((number, length))
                whole = length == network.max_prefixlen
                yield str(network.network_address if whole else network), value
        yield from self._names.items()

    def values(self) -> Iterator[T]:
        """Give what is said of anybody, in no particular order."""
        for _, values in self._networks:
            yield from values.values()
        yield from self._names.values()

    def __len__(self) -> int:
        return len(self._names) + sum(len(values) for _, values in self._networks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PeerMap):
            return NotImplemented
        return bool(self._names == other._names and self._networks == other._networks)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PeerMap({dict(self.items())!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic read and write a map as an object of its entries (core/snapshotfile.py)."""
        (value,) = get_args(source) or (Any,)
        entries = handler.generate_schema(dict[str, value])  # type: ignore[valid-type]
        written = core_schema.plain_serializer_function_ser_schema(
            lambda found: dict(found.items()), return_schema=entries
        )
        return core_schema.no_info_after_validator_function(cls, entries, serialization=written)
