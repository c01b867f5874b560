"""What nft(8) lists of our table, as values (`nft -j list table`, libnftables-json(5)).

Its shape (sets, chains, rules, without handles and elements) is compared with what it was when it was made, so that
whatever somebody changes in it is noticed. nft writes an interval as a prefix or as a range; here all are prefixes.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailtls.core.doorset import spelled_prefix

FOREVER = timedelta(days=36_500)
"""Stands for an element without a timeout, which is none of ours."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing. `shape`: text that is equal for equal tables; `left`: time left, by set and element.

    `ports`: where the table leads.
    """

    shape: str
    left: Mapping[str, Mapping[str, timedelta]]
    ports: frozenset[int]

    def ends(self, now: datetime) -> dict[str, dict[str, datetime]]:
        """Give the end of each element."""
        return {name: {each: now + left for each, left in of.items()} for name, of in self.left.items()}


def parse_listing(text: str) -> Listing:
    """Read a listing of one table. Raises ValueError for what nft does not write."""
    try:
        listed = json.loads(text)["nftables"]
        things = [thing for each in listed for thing in each.items() if thing[0] in ("set", "chain", "rule")]
        left = {of["name"]: dict(_elements(of.get("elem", ()))) for kind, of in things if kind == "set"}
        bare = [(kind, {key: of[key] for key in of if key not in ("handle", "elem")}) for kind, of in things]
        ports = {term["dnat"]["port"] for kind, of in things if kind == "rule" for term in of["expr"] if "dnat" in term}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no listing of nft: {text[:80]!r}") from error
    return Listing(json.dumps(bare, sort_keys=True), left, frozenset(ports))


def _elements(listed: list[Any]) -> Iterator[tuple[str, timedelta]]:
    for each in listed:
        inner = each.get("elem", each) if isinstance(each, dict) else {"val": each}
        left = timedelta(seconds=inner["expires"]) if "expires" in inner else FOREVER
        for element in _spelled(inner.get("val", inner)):
            yield element, left


def _spelled(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif "prefix" in value:
        yield f"{value['prefix']['addr']}/{value['prefix']['len']}"
    else:
        first, last = (ipaddress.ip_address(end) for end in value["range"])
        yield from (spelled_prefix(each) for each in ipaddress.summarize_address_range(first, last))
