"""The remedy of the doors: tables that each door's service asks, and the nftables sets that lead peers there.

Order is everything. Who is let in stands in the tables first, and is led to the door then; who is not any more is led
there no longer, and leaves the tables ten minutes later. Where the tables cannot be written, sets only shrink.

Every call blocks for some milliseconds: the keeper makes them in a thread, one at a time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from mailtls.core.doorset import DOOR_LEVELS, HOSTS, NETWORKS, Sets, Waived, door_sets, set_names, set_of
from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway
from mailtls.core.register import Register
from mailtls.core.rule import Network
from mailtls.core.secondlock import LINGERS, waived_tables
from mailtls.core.tablepair import TablePair
from mailtls.edge.posttable import PostTables
from mailtls.errors import FirewallError, PostfixError
from mailtls.service.doortable import DoorTable

FEW = 3
"""Addresses up to which each is asked for; for more, and for networks, the whole table is listed once."""


@dataclass(frozen=True, slots=True)
class DoorsBrought:
    """What came of it. `unproved`: of the peers asked for, those for whom nftables or a table says something else.

    `tables`, `nftables`, `blocked`: sentences about what went wrong there.
    """

    unproved: frozenset[str] = frozenset()
    tables: str | None = None
    nftables: str | None = None
    blocked: str | None = None


@dataclass(slots=True)
class DoorRemedy:
    """`doorways`: what the view names; `own`: the site's networks; `pair`: gives the tables of a level."""

    doorways: tuple[Doorway, ...]
    own: tuple[Network, ...]
    pair: Callable[[Level], PostTables]
    table: DoorTable
    _pairs: dict[Level, PostTables] = field(default_factory=dict)
    _blocked: str | None = None

    def __post_init__(self) -> None:
        """Leave out what this version cannot serve."""
        self.doorways = tuple(doorway for doorway in self.doorways if doorway.level in DOOR_LEVELS)
        self._pairs = {level: self.pair(level) for level in self.levels}

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that have a door."""
        return tuple(dict.fromkeys(doorway.level for doorway in self.doorways))

    @property
    def names(self) -> tuple[str, ...]:
        """Name the tables as Postfix does."""
        return tuple(name for pair in self._pairs.values() for name in pair.names)

    def ensure(self) -> tuple[str, ...]:
        """Make missing tables, empty and valid; name what was made. Raises PostfixError."""
        return tuple(name for pair in self._pairs.values() for name in pair.ensure())

    def interrupt(self) -> None:
        """End what runs in another thread."""
        self.table.nft.interrupt()

    def bring(
        self, register: Register, now: datetime, asked: Collection[str], is_open: Callable[[Level], bool],
        *, compare: bool,
    ) -> DoorsBrought:  # fmt: skip
        """Let in who is waived, as far as the doors are open, and prove it for `asked`."""
        wanted = self._wanted(register, now, is_open)
        tables = {level: self._table(register, level, now) for level in self.levels}
        asked = [peer for peer in asked if any(peer in table for table in tables.values())]
        try:
            for level, pair in self._pairs.items():
                pair.put(tables[level])
        except PostfixError as error:
            return DoorsBrought(frozenset(asked), tables=f"{error}.", nftables=self._shrink(wanted, now))
        try:
            self.table.bring(self.doorways, wanted, now, compare=compare)
            unproved = self._unproved(wanted, tables, asked)
            if compare:
                self._blocked = self.table.blocked()
        except FirewallError as error:
            return DoorsBrought(frozenset(asked), nftables=f"{error}.")
        except PostfixError as error:
            return DoorsBrought(frozenset(asked), tables=f"{error}.")
        return DoorsBrought(unproved, blocked=self._blocked)

    def trim(self, register: Register, now: datetime, *, sure: bool = True) -> DoorsBrought:
        """End what is over, and open nothing: for a time without a keeper, when nobody probes the doors.

        Where there is no door any more nobody may be led to one. `sure` False: the view is broken, and a keeper that
        lives may hold doors by the last good one.
        """
        if not self.levels:
            if sure:
                with suppress(FirewallError):  # a machine without nftables, and without doors, is in order
                    self.table.trim({}, now)
            return DoorsBrought()
        failed = self._shrink(self._wanted(register, now, lambda _: True), now)
        try:
            for level, pair in self._pairs.items():
                pair.put(self._table(register, level, now))
        except PostfixError as error:
            return DoorsBrought(tables=f"{error}.", nftables=failed)
        return DoorsBrought(nftables=failed)

    def _shrink(self, wanted: Sets, now: datetime) -> str | None:
        try:
            self.table.trim(wanted, now)
        except FirewallError as error:
            return f"{error}."
        return None

    # --- what is wanted ----------------------------------------------------------------------------------------

    def _wanted(self, register: Register, now: datetime, is_open: Callable[[Level], bool]) -> Sets:
        waived = [
            Waived(waiver.network, level, waiver.until)
            for level in DOOR_LEVELS
            for waiver in register.at(level)
            if waiver.until > now
        ]
        sets = door_sets(waived, self.own, self.levels)
        for level in self.levels:
            if not is_open(level):
                sets.update({name: {} for name in set_names(level)})
        return sets

    def _table(self, register: Register, level: Level, now: datetime) -> TablePair:
        return waived_tables((*register.peers(now, level), *register.ended_since(now - LINGERS, level)))

    # --- proof -------------------------------------------------------------------------------------------------

    def _unproved(self, wanted: Sets, tables: dict[Level, TablePair], asked: Iterable[str]) -> frozenset[str]:
        asked = tuple(dict.fromkeys(asked))
        few = len(asked) <= FEW and not any("/" in peer for peer in asked)
        holds = self.table.holds if few else self.table.listed()
        unproved = {peer for peer in asked if not self._is_led(wanted, peer, holds)}
        keys = {key: peer for peer in asked for key in _keys(peer)}
        for level, pair in self._pairs.items():
            let_in = [key for key in keys if tables[level].answer_for(key) is not None]
            differing = pair.differing(tables[level], let_in) if let_in else set()
            unproved |= {keys[key] for key in differing}
        return frozenset(unproved)

    def _is_led(self, wanted: Sets, peer: str, holds: Callable[[str, str], bool]) -> bool:
        """Ask nftables whether the peer is led where it should be, and nowhere else; of a network, its elements."""
        kind = NETWORKS if "/" in peer else HOSTS
        for name in (set_of(level, kind, peer) for level in self.levels):
            inside = _inside(peer, wanted[name]) if kind is NETWORKS else ([peer] if peer in wanted[name] else [])
            if not all(holds(name, element) for element in inside) or (not inside and holds(name, peer)):
                return False
        return True


def _inside(network: str, elements: Iterable[str]) -> list[str]:
    """Give the elements that lie in a network, at most a few: proof needs no more."""
    outer = ipaddress.ip_network(network)
    found = (each for each in elements if outer.overlaps(ipaddress.ip_network(each)))  # of one version: one set
    return [element for _, element in zip(range(4), found, strict=False)]


def _keys(peer: str) -> tuple[str, ...]:
    """Give addresses to ask the tables for: the peer's own, or the first and the last of a network."""
    if "/" not in peer:
        return (peer,)
    network = ipaddress.ip_network(peer)
    return str(network[0]), str(network[-1])
