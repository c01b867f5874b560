"""Where a service of master.cf listens: `port`, `host:port` or `[address]:port` (util/host_port.c)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host` is empty where the addresses of inet_interfaces are meant; `port` is a number or a name."""

    host: str
    port: str

    @property
    def number(self) -> int:
        """Give the port as a number to listen at. Raises ValueError."""
        if not (self.port.isascii() and self.port.isdigit() and 0 < int(self.port[:6]) < 0x10000):
            raise ValueError(f"{self.port} is no port; a number from 1 to 65535 is")
        return int(self.port)


def parse_endpoint(name: str) -> Endpoint:
    """Read the first field of an `inet` service. Raises ValueError where it has no port."""
    host, _, port = name.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not port or "[" in port or "]" in port:
        raise ValueError(f"{name}: a port is missing; write port, host:port or [address]:port")
    return Endpoint(host, port)
