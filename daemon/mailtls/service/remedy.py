"""The remedy of level cleartext: the tables that hide STARTTLS say exactly who is waived.

Desired state, then difference: from the waived peers and what the operator's own tables say of them follow the wanted
tables (core/discardtable.py); `PostTables` makes the files say it, and a look-up proves it. Every call blocks for some
milliseconds: the keeper makes them in a thread, one at a time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from mailtls.core.discardtable import discard_tables, still_standing
from mailtls.core.tablepair import EMPTY, TablePair, apart
from mailtls.edge.owntables import OwnTables
from mailtls.edge.posttable import PostTables
from mailtls.errors import PostfixError


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of it. `unproved`: of the peers that were asked for, those for whom a look-up says something else.

    `fault`: why some waived peers cannot stand in the tables at present, as a sentence.
    """

    unproved: frozenset[str]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    tables: TablePair
    missing: frozenset[str] = frozenset()
    fault: str | None = None


class CleartextRemedy:
    """`keywords`: what the port-25 service discards anyway; `own`: the operator's tables behind ours."""

    def __init__(self, tables: PostTables, own: OwnTables, keywords: Iterable[str] = ()) -> None:
        self.tables = tables
        self._own = own
        self._keywords = tuple(keywords)

    def opaque(self) -> str | None:
        """Name the operator's table beside which no network can be waived."""
        return self._own.opaque()

    def bring(self, waived: tuple[str, ...], asked: tuple[str, ...]) -> Brought:
        """Make the tables say who is waived, and ask them about `asked`. Raises PostfixError; then all is as before."""
        wanted = self._wanted(waived)
        self.tables.put(wanted.tables)
        keys = {key for peer in asked for key in _keys(peer)}
        differing = self.tables.differing(wanted.tables, keys) if keys else set()
        unproved = (peer for peer in asked if peer in wanted.missing or not differing.isdisjoint(_keys(peer)))
        return Brought(frozenset(unproved), wanted.fault)

    def _wanted(self, waived: tuple[str, ...]) -> _Wanted:
        hosts, networks = apart(waived)
        opaque = self.opaque() if networks else None
        shown = hosts if opaque is not None else waived
        try:
            tables = discard_tables(shown, self._keywords, self._own.entries(shown))
        except PostfixError as error:
            return self._without_the_operators(waived, shown, error)
        if opaque is None:
            return _Wanted(tables)
        return _Wanted(tables, frozenset(networks), _beside_opaque(networks, opaque))

    def _without_the_operators(self, waived: tuple[str, ...], shown: tuple[str, ...], error: PostfixError) -> _Wanted:
        """Only take away: nobody knows what else Postfix hides from a new peer."""
        tables = still_standing(self.tables.held() or EMPTY, shown)
        there = {*tables.hosts, *(network for network, _ in tables.networks)}
        missing = frozenset(peer for peer in waived if peer not in there)
        return _Wanted(tables, missing, f"{error}; until it answers, new waivers are not live.")


def _keys(peer: str) -> tuple[str, ...]:
    """Give addresses to ask for: the peer's own, or the first and the last of a network."""
    if "/" not in peer:
        return (peer,)
    network = ipaddress.ip_network(peer)
    return str(network[0]), str(network[-1])


def _beside_opaque(networks: tuple[str, ...], table: str) -> str:
    return (
        f"{', '.join(sorted(networks)[:3])}: not live, because your own table {table} cannot be listed; allow the "
        "addresses one by one."
    )
