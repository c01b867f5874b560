"""The doctor's look at what senders are told: by which names they know this host, DANE, MTA-STS.

The DNS is asked as long as it answers: after the first question that it leaves open no other is put, and that is told.
A domain whose own servers fail is left out alone, and told as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar

from mailtls.core.doctorfinding import DoctorFinding, Unseen
from mailtls.core.doctoridentity import Identity, ascii_name
from mailtls.core.doctorsenders import dane_findings, sts_findings
from mailtls.edge.doctordns import Names, NotAskedError, exchangers, policies, resolver, tlsa_records
from mailtls.edge.doctorpostfix import Instance
from mailtls.edge.doctorserved import is_whole, served
from mailtls.edge.listening import bind_fault, spelled
from mailtls.edge.runningmaster import Address

T = TypeVar("T")
MOST_DOMAINS = 5
MOST_ADDRESSES = 16


@dataclass(slots=True)
class Senders:
    """Asks the DNS on behalf of senders. `silence`: why it was not asked to the end; `over`: it is asked no more.

    `unseen`: servers whose chain was not seen, so that the files had to do.
    """

    names: Names | None = None
    silence: str = ""
    over: bool = False
    unseen: list[Unseen] = field(default_factory=list)

    def known_as(self, instance: Instance) -> tuple[str, ...]:
        """Name the MX records that lead here: those of its domains that are its own name or its own address."""
        host = ascii_name(instance.basics.get("myhostname", ""))
        asked = (self._asked(partial(_leading_here, host, domain)) for domain in domains_of(instance))
        return tuple(dict.fromkeys(chain.from_iterable(asked)))

    def findings(
        self, held: Mapping[str, tuple[Identity, ...]], domains: tuple[str, ...], ports: Mapping[str, Address | str]
    ) -> Iterator[DoctorFinding]:
        """Hold records and policies against what is shown, by myhostname.

        `held`: what the files hold; `ports`: where the running Postfix can be asked, or why it cannot, a clause.
        """
        for host, files in held.items():
            name = ascii_name(host)
            records = self._asked(partial(tlsa_records, name))
            followed = [each for domain in domains for each in self._asked(partial(policies, name, (domain,)))]
            if records or followed:
                shown = self._shown(name, files, ports.get(host, "there is no such port"))
                yield from dane_findings(host, records, shown)
                yield from sts_findings(host, followed, shown)

    def _shown(self, name: str, files: tuple[Identity, ...], port: Address | str) -> tuple[Identity, ...]:
        """Give what the running Postfix shows; where that is not seen, what its files hold."""
        why = port
        if not isinstance(port, str):
            shown = served(name, port)
            if is_whole(shown, files):
                return shown
            why = f"not all certificates were shown at {spelled(port)}"
        command = f"openssl s_client -starttls smtp -connect {name}:25 -servername {name} -showcerts"
        self.unseen.append(Unseen(f"the chain that {name} shows", f"{why}; DANE and MTA-STS by the files", command))
        return files

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
