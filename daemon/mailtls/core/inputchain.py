"""The firewalls of others: would one of them drop what nftables has led to a door?

A packet that was led from port 25 to the door's port comes to the input hook with the *door's* port. A firewall that
lets in port 25 and nothing else drops it, and the waived peer hangs. So the base chains of the input hook that are not
ours are looked at: one that drops what no rule accepts has to accept what was led (`ct status dnat`, as firewalld does)
or the door's port.

BUGS: this reads rules, it does not run them. A rule whose matches nft cannot name (those of iptables-nft) counts as
none; old iptables (iptables-legacy) is not seen by nft at all. What is found is a warning, nothing hangs on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OURS = ("inet", "mailtls")
Rule = Mapping[str, Any]
Place = tuple[str, str, str]
"""Family, table and chain."""


@dataclass(frozen=True, slots=True)
class InputChain:
    """A base chain of the input hook that drops what none of its rules accepts."""

    family: str
    table: str
    chain: str

    def remedy(self, ports: Iterable[int]) -> str:
        """Give the command that makes it accept what was led to these ports."""
        listed = sorted(ports)
        if self.chain == "INPUT" and self.family in ("ip", "ip6"):
            program = "iptables" if self.family == "ip" else "ip6tables"
            several = ",".join(str(port) for port in listed)
            return f"{program} -I INPUT -p tcp -m multiport --dports {several} -m conntrack --ctstate DNAT -j ACCEPT"
        rule = f"ct status dnat tcp dport {{ {', '.join(str(port) for port in listed)} }} accept"
        return f"nft 'insert rule {self.family} {self.table} {self.chain} {rule}'"


def closed_chains(ruleset: Iterable[Mapping[str, Any]], ports: Iterable[int]) -> tuple[InputChain, ...]:
    """Find the input chains of others that drop what was led to these ports (`nft -j list ruleset`)."""
    ports = frozenset(ports)
    bases: list[Mapping[str, Any]] = []
    rules: defaultdict[Place, list[Rule]] = defaultdict(list)
    for each in ruleset:
        if "chain" in each and each["chain"].get("hook") == "input" and each["chain"].get("type") == "filter":
            bases.append(each["chain"])
        elif "rule" in each:
            rule = each["rule"]
            rules[rule["family"], rule["table"], rule["chain"]].append(rule)
    found = []
    for base in bases:
        where = (base["family"], base["table"], base["name"])
        theirs = where[:2] != OURS and base["family"] in ("inet", "ip", "ip6")
        if theirs and _drops(base, rules[where]) and not _accepts(where, rules, ports):
            found.append(InputChain(*where))
    return tuple(found)


def _drops(base: Mapping[str, Any], rules: list[Rule]) -> bool:
    """Tell whether it drops what no rule accepts: by its policy, or by a last rule without a match."""
    if base.get("policy") == "drop":
        return True
    return any(len(terms) == 1 and terms[0].keys() & {"drop", "reject"} for terms in map(terms_of, rules))


def _accepts(where: Place, rules: Mapping[Place, list[Rule]], ports: frozenset[int]) -> bool:
    """Tell whether a rule of this chain, or of one that it leads to, accepts what was led to all these ports."""
    seen: set[Place] = set()
    waiting, accepted = [where], set[int]()
    while waiting:
        chain = waiting.pop()
        if chain in seen:
            continue
        seen.add(chain)
        for rule in rules.get(chain, ()):
            terms = terms_of(rule)
            waiting += [(*where[:2], target) for target in _targets(terms)]
            if any("accept" in term for term in terms):
                accepted |= _accepted(terms, ports)
    return accepted >= ports


def terms_of(rule: Rule) -> list[Mapping[str, Any]]:
    """Give a rule's terms, without those that only count."""
    return [term for term in rule.get("expr", ()) if isinstance(term, dict) and not term.keys() & {"counter", "log"}]


def _targets(terms: list[Mapping[str, Any]]) -> Iterator[str]:
    for term in terms:
        for verb in ("jump", "goto"):
            if verb in term:
                yield term[verb]["target"]


def _accepted(terms: list[Mapping[str, Any]], ports: frozenset[int]) -> frozenset[int]:
    """Say which of the ports a rule that accepts lets in from anywhere, new connections included."""
    reach = ports
    for term in terms:
        if "accept" in term:
            continue
        match = term.get("match")
        if match is None or match.get("op") not in ("==", "in"):
            return frozenset()
        reach &= _matched(match.get("left"), match.get("right"), ports)
    return reach


def _matched(left: Any, right: Any, ports: frozenset[int]) -> frozenset[int]:
    """Say for which of the ports a match holds for every packet that was led there."""
    if left == {"ct": {"key": "status"}} and "dnat" in values_of(right):
        return ports
    if left == {"ct": {"key": "state"}} and "new" in values_of(right):
        return ports
    if left == {"meta": {"key": "l4proto"}} and "tcp" in values_of(right):
        return ports
    if left in ({"payload": {"protocol": "tcp", "field": "dport"}}, {"payload": {"protocol": "th", "field": "dport"}}):
        return frozenset(port for port in ports if any(holds(value, port) for value in values_of(right)))
    return frozenset()


def values_of(right: Any) -> list[Any]:
    """Give what a match names: one value, or the members of a set."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    return right if isinstance(right, list) else [right]


def holds(value: Any, port: int) -> bool:
    """Tell whether a value of a match, a number or a range, is this port or holds it."""
    if isinstance(value, dict) and "range" in value:
        first, last = value["range"]
        return bool(first <= port <= last)
    return bool(value == port)
