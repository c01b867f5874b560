"""What the DNS and a policy host say of this mail server's names: MX, TLSA, MTA-STS.

dnspython is optional (Debian: python3-dnspython). Where it is missing, or the DNS does not answer within seconds,
`NotAskedError` says so, and nothing is concluded.

SECURITY: answers are strangers': counted, cut, and compared; the policy is fetched over HTTPS with the system's
authorities, at most 64 KB within seconds (`edge/policyhost.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from importlib import import_module
from typing import Any

from mailtls.core.doctorsenders import LONGEST_POLICY, StsPolicy, TlsaRecord, parse_policy
from mailtls.core.printable import printable
from mailtls.edge.policyhost import fetch

PATIENCE_S = 3.0
MOST_RECORDS = 50
MOST_DOMAINS = 5
MOST_ADDRESSES = 8
HTTPS = 443

Ask = Callable[[str, str], tuple[str, ...]]
"""Asks for the records of a name and a type, as text. Raises NotAskedError."""


@dataclass(frozen=True, slots=True)
class Names:
    """Who answers: `ask` for records, `fetch` for a domain's policy file, None where there is none."""

    ask: Ask
    fetch: Callable[[str], str | None]


class NotAskedError(Exception):
    """The DNS was not asked, or did not answer; the text is a clause why. `alone`: other questions may be answered."""

    def __init__(self, words: str, *, alone: bool = False) -> None:
        super().__init__(words)
        self.alone = alone


def resolver() -> Names:
    """Make what asks this machine's DNS. Raises NotAskedError."""
    try:
        dns: Any = import_module("dns.resolver")
    except ImportError:
        raise NotAskedError("python3-dnspython is not installed") from None
    try:
        asker = dns.Resolver()
    except dns.dns.exception.DNSException as error:
        raise NotAskedError(f"this machine asks no DNS ({type(error).__name__})") from error
    asker.lifetime = PATIENCE_S

    def ask(name: str, kind: str) -> tuple[str, ...]:
        try:
            return tuple(record.to_text() for record in list(asker.resolve(name, kind))[:MOST_RECORDS])
        except (dns.NXDOMAIN, dns.NoAnswer):
            return ()
        except dns.dns.exception.Timeout as error:
            raise NotAskedError(f"the DNS does not answer ({type(error).__name__})") from error
        except dns.dns.exception.DNSException as error:  # its own servers fail, or it is no name at all
            words = f"the DNS does not answer for {printable(name, 100)} ({type(error).__name__})"
            raise NotAskedError(words, alone=True) from error

    return Names(ask, lambda domain: _fetch(domain, ask))


def tlsa_records(host: str, names: Names) -> tuple[TlsaRecord, ...]:
    """Give the TLSA records for port 25 of a host. Raises NotAskedError."""
    found = []
    for text in names.ask(f"_25._tcp.{host}", "TLSA"):
        words = text.split()
        with suppress(ValueError):
            usage, selector, matching = (int(word) for word in words[:3])
            found.append(TlsaRecord(usage, selector, matching, bytes.fromhex("".join(words[3:]))))
    return tuple(found)


def exchangers(domain: str, names: Names) -> tuple[str, ...]:
    """Give the names of a domain's mail servers. Raises NotAskedError."""
    return tuple(text.split()[-1].rstrip(".").lower() for text in names.ask(domain, "MX") if text.split())


def policies(host: str, domains: tuple[str, ...], names: Names) -> tuple[StsPolicy, ...]:
    """Give the MTA-STS policies of the domains that this host is an MX of. Raises NotAskedError."""
    found = []
    for domain in domains[:MOST_DOMAINS]:
        if host not in exchangers(domain, names):
            continue
        if any("v=STSv1" in text for text in names.ask(f"_mta-sts.{domain}", "TXT")):
            text = names.fetch(domain)
            found += [parse_policy(domain, text)] if text is not None else []
    return tuple(found)


def _fetch(domain: str, ask: Ask) -> str | None:
    host = f"mta-sts.{domain}"
    addresses = [(each, HTTPS) for each in (*ask(host, "A"), *ask(host, "AAAA"))[:MOST_ADDRESSES]]
    try:
        found = fetch(host, "/.well-known/mta-sts.txt", addresses, LONGEST_POLICY)
    except (OSError, HTTPException, ValueError) as error:
        raise NotAskedError(f"the policy of {domain} cannot be fetched ({type(error).__name__})", alone=True) from error
    return None if found is None else found.decode("ascii", "replace")
