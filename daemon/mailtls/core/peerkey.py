"""Addresses as keys that sort: one byte for the family, then the address as it travels on the wire.

A network is then one range of keys, and no address of the other family lies within it. 5 bytes for IPv4, 17 for IPv6.
"""

from __future__ import annotations

import ipaddress

_FOUR, _SIX = b"\x04", b"\x06"


def key_of(ip: str) -> bytes | None:
    """Give the key of an address; None for text that is none (`unknown`, `x.x.x.x`)."""
    return _four(ip) or _slowly(ip)


def _four(ip: str) -> bytes | None:
    """Give the key of an IPv4 address as everybody spells it, at an eighth of the time that `ipaddress` takes."""
    try:
        packed = bytes(map(int, ip.split(".")))
    except ValueError:
        return None
    return _FOUR + packed if len(packed) == 4 and "%d.%d.%d.%d" % (*packed,) == ip else None  # noqa: UP031


def _slowly(ip: str) -> bytes | None:
    try:
        return _key(ipaddress.ip_address(ip))
    except ValueError:
        return None


def span_of(network: str) -> tuple[bytes, bytes] | None:
    """Give the first and the last key of an address or network; None for text that is neither."""
    try:
        whole = ipaddress.ip_network(network)
    except ValueError:
        return None
    return _key(whole.network_address), _key(whole.broadcast_address)


def ip_of(key: bytes) -> str:
    """Spell the address of a key, as Postfix does in look-up keys."""
    return str(ipaddress.ip_address(key[1:]))


def _key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return _SIX + address.packed
        address = address.ipv4_mapped
    return _FOUR + address.packed
