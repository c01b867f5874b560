"""The header of the PROXY protocol, version 2, that tells Postfix who the client is.

Sources: haproxy's doc/proxy-protocol.txt section 2.2; Postfix's global/haproxy_srvr.c takes it for
`smtpd_upstream_proxy_protocol = haproxy` since 3.5 and ignores what follows the addresses.
"""

from __future__ import annotations

import ipaddress
import struct

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_2_PROXY = 0x21
_TCP = {4: 0x11, 6: 0x21}

Place = tuple[str, int]
"""An address as Postfix prints it, and a port."""


def proxy_header(client: Place, server: Place) -> bytes:
    """Say that this client has connected to that place of ours; both of the same family, or ValueError."""
    source, target = ipaddress.ip_address(client[0]), ipaddress.ip_address(server[0])
    if source.version != target.version:
        raise ValueError(f"{source} cannot have connected to {target}")
    addresses = source.packed + target.packed + struct.pack("!HH", client[1], server[1])
    return _SIGNATURE + struct.pack("!BBH", _VERSION_2_PROXY, _TCP[source.version], len(addresses)) + addresses
