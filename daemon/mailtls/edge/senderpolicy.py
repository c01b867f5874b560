"""What senders check beside TLS itself: DANE (TLSA records, RFC 7672) and MTA-STS (RFC 8461), asked of the DNS.

dnspython is optional (Debian: python3-dnspython); where it is missing, or the DNS does not answer within seconds, a
sentence says that nobody has looked. A TLSA record counts for senders only where DNSSEC signs it; that is not checked
here, since the sentence is a warning.

SECURITY: records are counted, never printed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

PATIENCE_S = 3.0
MOST_NAMES = 5
NOT_LOOKED = (
    "Whether senders check DANE or MTA-STS for {names} was not looked at: {why}. Look: dig TLSA _25._tcp.{first}, "
    "dig TXT _mta-sts.DOMAIN"
)

Ask = Callable[[str, str], int]
"""Asks for the records of a name and a type; gives how many there are. Raises OSError where the DNS does not answer."""


def checks_of(names: tuple[str, ...], ask: Ask | None = None) -> tuple[str, ...]:
    """Say in sentences which of these names have TLSA records, and which of their domains MTA-STS."""
    asked = names[:MOST_NAMES]
    try:
        question = ask or _resolver()
        dane = [name for name in asked if question(f"_25._tcp.{name}", "TLSA")]
        domains = tuple(dict.fromkeys(part for name in asked for part in _domains(name)))
        strict = [name for name in domains if question(f"_mta-sts.{name}", "TXT")]
    except OSError as error:
        return (NOT_LOOKED.format(names=", ".join(asked), first=asked[0], why=error),)
    said = [f"{name} has TLSA records: senders that check DANE accept no other certificate." for name in dane]
    said += [f"{name} publishes MTA-STS: senders that check it accept trusted certificates only." for name in strict]
    return tuple(said)


def _domains(name: str) -> tuple[str, ...]:
    """Give the domain that an MX of this name most likely serves, and the name itself."""
    parent = name.partition(".")[2]
    return (name, parent) if "." in parent else (name,)


def _resolver() -> Ask:
    try:
        dns: Any = import_module("dns.resolver")
    except ImportError:
        raise OSError("python3-dnspython is not installed") from None
    try:
        resolver = dns.Resolver()
    except dns.dns.exception.DNSException as error:
        raise OSError(f"this machine asks no DNS ({type(error).__name__})") from error
    resolver.lifetime = PATIENCE_S

    def ask(name: str, kind: str) -> int:
        try:
            return len(resolver.resolve(name, kind))
        except (dns.NXDOMAIN, dns.NoAnswer):
            return 0
        except dns.dns.exception.DNSException as error:
            raise OSError(f"the DNS does not answer ({type(error).__name__})") from error

    return ask
