"""Others that lead port 25 away: a container that publishes it (docker), or a redirection of the operator's own.

Where they do, mail comes to another program than the Postfix whose doors are kept here, and whether a waived peer comes
to its door depends on whose rule is asked first. Such rules are looked for in what nftables lists, ours left out.

BUGS: this reads rules, it does not run them; old iptables (iptables-legacy) and docker's userland proxy are not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mailtls.core.inputchain import OURS, holds, terms_of, values_of

SMTP = 25
_VERBS = frozenset({"dnat", "redirect"})
_DPORT = ({"payload": {"protocol": "tcp", "field": "dport"}}, {"payload": {"protocol": "th", "field": "dport"}})


@dataclass(frozen=True, slots=True)
class PortForward:
    """A chain with a rule that leads port 25 elsewhere."""

    family: str
    table: str
    chain: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.chain}"


def forwards_of(ruleset: Iterable[Mapping[str, Any]], port: int = SMTP) -> tuple[PortForward, ...]:
    """Find the chains of others that lead this port elsewhere (`nft -j list ruleset`)."""
    found: dict[PortForward, None] = {}
    for rule in (each["rule"] for each in ruleset if "rule" in each):
        terms = terms_of(rule)
        if (rule["family"], rule["table"]) != OURS and any(map(_leads, terms)) and _is_about(terms, port):
            found[PortForward(rule["family"], rule["table"], rule["chain"])] = None
    return tuple(found)


def _leads(term: Mapping[str, Any]) -> bool:
    target = term.get("xt")
    by_iptables = isinstance(target, dict) and str(target.get("name", "")).lower() in _VERBS
    return by_iptables or bool(term.keys() & _VERBS)


def _is_about(terms: Iterable[Mapping[str, Any]], port: int) -> bool:
    """Tell whether a match names the port; a rule without one is about every port."""
    named = [term["match"] for term in terms if "match" in term and term["match"].get("left") in _DPORT]
    return all(
        match.get("op") in ("==", "in") and any(holds(value, port) for value in values_of(match.get("right")))
        for match in named
    )
