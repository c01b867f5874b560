"""The doctor's look at what senders are told: by which names they know this host, DANE, MTA-STS.

The DNS is asked as long as it answers: after the first question that it leaves open no other is put, and that is told.
A domain whose own servers fail is left out alone, and told as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.doctoridentity import Identity, ascii_name
from mailtls.core.doctorsenders import dane_findings, sts_findings
from mailtls.edge.doctordns import Names, NotAskedError, exchangers, policies, resolver, tlsa_records
from mailtls.edge.doctorpostfix import Instance
from mailtls.edge.listening import bind_fault

T = TypeVar("T")
MOST_DOMAINS = 5
MOST_ADDRESSES = 16


@dataclass(slots=True)
class Senders:
    """Asks the DNS on behalf of senders. `silence`: why it was not asked to the end; `over`: it is asked no more."""

    names: Names | None = None
    silence: str = ""
    over: bool = False

    def known_as(self, instance: Instance) -> tuple[str, ...]:
        """Name the MX records that lead here: those of its domains that are its own name or its own address."""
        host = ascii_name(instance.basics.get("myhostname", ""))
        asked = (self._asked(partial(_leading_here, host, domain)) for domain in domains_of(instance))
        return tuple(dict.fromkeys(chain.from_iterable(asked)))

    def findings(self, shown: Mapping[str, tuple[Identity, ...]], domains: tuple[str, ...]) -> Iterator[DoctorFinding]:
        """Hold records and policies against what is shown, by myhostname."""
        for host, identities in shown.items():
            name = ascii_name(host)
            yield from dane_findings(host, self._asked(partial(tlsa_records, name)), identities)
            for domain in domains:
                yield from sts_findings(host, self._asked(partial(policies, name, (domain,))), identities)

    def _asked(self, question: Callable[[Names], tuple[T, ...]]) -> tuple[T, ...]:
        if self.over:
            return ()
        try:
            self.names = self.names or resolver()
            return question(self.names)
        except NotAskedError as error:
            self.silence, self.over = self.silence or str(error), not error.alone
            return ()


def _leading_here(host: str, domain: str, names: Names) -> tuple[str, ...]:
    return tuple(
        exchanger
        for exchanger in exchangers(domain, names)
        if exchanger == host or any(_is_own(each) for each in _addresses(exchanger, names))
    )


def _addresses(host: str, names: Names) -> tuple[str, ...]:
    return (*names.ask(host, "A"), *names.ask(host, "AAAA"))[:MOST_ADDRESSES]


def _is_own(address: str) -> bool:
    """Tell whether this machine has an address: only then it can be bound."""
    try:
        return bind_fault((str(ipaddress.ip_address(address)), 0)) is None
    except ValueError:
        return False


def domains_of(instance: Instance) -> tuple[str, ...]:
    """Name the domains that this Postfix most likely takes mail for: those that are written out, and its own."""
    host = ascii_name(instance.basics.get("myhostname", ""))
    written = f"{instance.basics.get('mydestination', '')} {instance.basics.get('virtual_mailbox_domains', '')}"
    plain = (word.lower() for word in written.replace(",", " ").split() if "." in word and not set(word) & set(":/${}"))
    named = (ascii_name(word) for word in plain if not word.startswith("localhost"))
    parent = host.partition(".")[2]
    return tuple(dict.fromkeys((*named, host, *((parent,) if "." in parent else ()))))[:MOST_DOMAINS]
