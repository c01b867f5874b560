"""Whom to probe: HOST[:PORT] as an operator writes it, and what is spoken there.

A host is a name, also with letters beyond ASCII (RFC 5890; made ASCII by IDNA 2003, as Python does it), an IPv4
address, or an IPv6 address, which needs brackets where a port follows: `[2001:db8::1]:465`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.printable import printable

LONGEST_NAME = 253
HOME = "localhost"


class Service(StrEnum):
    """What is spoken; those that end in s begin with TLS, the others with STARTTLS."""

    SMTP = "smtp"
    SMTPS = "smtps"
    SUBMISSION = "submission"
    IMAP = "imap"
    IMAPS = "imaps"
    POP3 = "pop3"
    POP3S = "pop3s"

    @property
    def starttls(self) -> bool:
        """Tell whether TLS begins with a command."""
        return self not in (Service.SMTPS, Service.IMAPS, Service.POP3S)

    @property
    def port(self) -> int:
        """Give the port that IANA has for it."""
        return PORTS[self]


PORTS = {
    Service.SMTP: 25,
    Service.SMTPS: 465,
    Service.SUBMISSION: 587,
    Service.IMAP: 143,
    Service.IMAPS: 993,
    Service.POP3: 110,
    Service.POP3S: 995,
}
_NO_HOST = "is no host; write a name or an address, as mx.example.com:25 or [2001:db8::1]:25"
_AT = {port: service for service, port in PORTS.items()}


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """`host` as it is looked up, ASCII; `shown`: as it was written; `name`: what to ask for in a hello, if anything."""

    host: str
    port: int
    service: Service
    shown: str

    @property
    def name(self) -> str | None:
        """Give the name to ask the server for: none for an address, nor for this machine itself."""
        return None if _is_address(self.host) or self.host == HOME else self.host

    def __str__(self) -> str:
        """Write it as it can be given again."""
        return f"[{self.shown}]:{self.port}" if ":" in self.host else f"{self.shown}:{self.port}"


def read_target(given: str | None, service: Service | None) -> ProbeTarget:
    """Read HOST[:PORT]; None is this machine. Raises ValueError with a sentence."""
    words = HOME if given is None else given.strip()
    host, port = _divided(words)
    if service is None:
        service = _AT.get(port, Service.SMTP) if port is not None else Service.SMTP
    return ProbeTarget(_ascii(host, words), port if port is not None else service.port, service, host)


def _divided(words: str) -> tuple[str, int | None]:
    """Take host and port apart."""
    shown = printable(words, longest=100)
    host, port = words, ""
    if "/" in words:
        raise ValueError(f"'{shown}' {_NO_HOST}")
    if words.startswith("["):
        host, closed, rest = words[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")) or ":" not in host:
            raise ValueError(f"'{shown}' is no host; write an IPv6 address as [2001:db8::1] or [2001:db8::1]:25")
        port = rest[1:] if rest else ""
    elif words.count(":") == 1:
        host, _, port = words.partition(":")
    if words.endswith(":"):
        raise ValueError(f"'{shown}' has no port behind the colon; write {shown[:-1]}:25, or the host alone")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 1 << 16):
        raise ValueError(f"'{printable(port, longest=40)}' is no port; write a number from 1 to 65535, as in mx:25")
    return host, int(port)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ascii(host: str, words: str) -> str:
    """Make a host what can be looked up."""
    shown = printable(words, longest=100)
    if _is_address(host):
        return host
    if ":" in host:
        raise ValueError(f"'{shown}' {_NO_HOST}")
    try:
        name = host.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"'{shown}' cannot be a name in DNS: its labels have 1 to 63 characters (RFC 5890)") from None
    letters = name.replace("-", "").replace("_", "").replace(".", "")
    if not letters.isalnum() or len(name) > LONGEST_NAME or name.startswith("-"):
        raise ValueError(f"'{shown}' is no host; write a name or an address, such as mx.example.com or 192.0.2.1")
    return name
