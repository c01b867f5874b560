"""All remedies together: what Postfix reads, and where nftables leads, made to say what the keeper's list says.

What they need to know of Postfix is in the view that `setup` writes; when it changes they are made anew, and doors come
and go without a restart. One remedy that fails does not hold up the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway, PostfixSettings
from mailtls.core.register import Register
from mailtls.core.waivedterms import FILE, WaivedTerms, waived_terms
from mailtls.edge.conntrack import conntrack_ratio
from mailtls.edge.doorvisit import visit_door
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.edge.standingview import StandingView
from mailtls.errors import PostfixError, StoreError
from mailtls.service.doorremedy import DoorRemedy
from mailtls.service.doorwatch import DoorWatch
from mailtls.service.remedy import CleartextRemedy

LOG = logging.getLogger("mailtls.keeper")
FULL = 0.8
"""Share of the table of connections above which the operator is warned."""

LATELY = timedelta(minutes=10)
"""Waivers that ended so long ago are still asked for by those who repeat their request."""

MENDING = ("tables", "door_tables", "nftables")
"""Kinds of faults that are tried again every second."""

Maker = Callable[[PostfixSettings], tuple[CleartextRemedy, DoorRemedy]]


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of it. `unproved`: of the peers asked for, those for whom a look-up says something else.

    `faults`: by kind, a sentence, or None where this kind is in order.
    """

    unproved: frozenset[str] = frozenset()
    faults: Mapping[str, str | None] = field(default_factory=dict)


class Remedies:
    """`make`: makes them from the view; `only_ends`: doors are closed to who is over, and opened to nobody.

    `board`: where the gateway reads the terms of its peers.
    """

    def __init__(
        self, view: StandingView, make: Maker, visit: Callable[[Doorway], str | None] = visit_door,
        *, only_ends: bool = False, board: NoticeBoard | None = None,
    ) -> None:  # fmt: skip
        self.view = view
        self._board = board
        self._terms: WaivedTerms | None = None
        self._make = make
        self._only_ends = only_ends
        view.refresh()
        self.settings = view.view
        self.cleartext, self.doors = make(view.view)
        self.watch = DoorWatch(lambda: self.doors.doorways, visit)
        self._refused: str | None = None

    # --- what is known of Postfix ------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Follow the view where it has changed; tell whether it has."""
        self.view.refresh()
        if self.view.view == self.settings:
            return False
        self.settings = self.view.view
        self.cleartext, self.doors = self._make(self.settings)
        levels = ", ".join(f"{doorway.level} at port {doorway.port}" for doorway in self.doors.doorways)
        LOG.info("%s has changed; doors: %s", self.view.path, levels or "none")
        self.watch.wake()
        return True

    async def ready(self, level: Level) -> None:
        """Look at view and door once more before a waiver of this level is judged."""
        self.refresh()
        await self.watch.ready(level)

    @property
    def encrypt(self) -> bool:
        """Tell whether the port-25 service demands TLS."""
        return self.settings.security_level == "encrypt"

    @property
    def served(self) -> frozenset[Level]:
        """The levels whose remedy is on this machine."""
        return frozenset((Level.CLEARTEXT, *self.doors.levels))

    def closed(self) -> dict[Level, str]:
        """Say of each door that cannot be used at present why not."""
        found = {level: self._refused or self.watch.why_not(level) for level in self.doors.levels}
        return {level: why for level, why in found.items() if why is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """Name the tables as Postfix does."""
        return (*self.cleartext.tables.names, *self.doors.names)

    # --- what is done ------------------------------------------------------------------------------------------

    def bring(self, register: Register, now: datetime, asked: Collection[str], *, compare: bool) -> Brought:
        """Make everything say what the list says, and prove it for `asked`; may take some milliseconds.

        `compare`: look at what is there, in place of believing what was done last.
        """
        doors, view = self.doors, self.view
        unproved: frozenset[str] = frozenset()
        faults: dict[str, str | None] = {"view": view.fault, "doors": self.watch.alarm()}
        waived = register.peers(now, Level.CLEARTEXT)
        concerned = {*waived, *register.ended_since(now - LATELY, Level.CLEARTEXT)}.intersection(asked)
        try:
            hidden = self.cleartext.bring(waived, tuple(concerned))
        except PostfixError as error:
            unproved = frozenset(concerned)
            faults["tables"] = f"{error}."
        else:
            unproved = hidden.unproved
            faults |= {"tables": None, "own_tables": hidden.fault}
        if self._only_ends:
            led = doors.trim(register, now, sure=view.fault is None)
        else:
            faults["gateway_terms"] = self._tell_the_gateway(register, now)
            led = doors.bring(register, now, asked, self.watch.is_open, compare=compare)
        self._refused = led.nftables.removesuffix(".") if led.nftables is not None else None
        faults |= {"door_tables": led.tables, "nftables": led.nftables, "firewall": led.blocked}
        if compare:
            faults["conntrack"] = _filling(conntrack_ratio()) if doors.levels else None
        return Brought(unproved | led.unproved, faults)

    def _tell_the_gateway(self, register: Register, now: datetime) -> str | None:
        """Write down what its peers may have, before any of them is led there; give a sentence where that fails."""
        waivers = [waiver for waiver in register.at(Level.SSLV3) if waiver.until > now]
        terms = waived_terms(waivers, self.settings.strict)
        if self._board is None or terms == self._terms:
            return None
        try:
            self._board.put(FILE, terms)
        except StoreError as error:
            return f"The gateway lets its peers have what [gateway] says, and no less: {error}."
        self._terms = terms
        return None

    def ensure(self) -> tuple[str, ...]:
        """Make missing tables, empty and valid; name what was made. Raises PostfixError."""
        return (*self.cleartext.tables.ensure(), *self.doors.ensure())

    def interrupt(self) -> None:
        """End what runs in another thread, and refuse whatever comes later."""
        self.cleartext.tables.interrupt()
        self.doors.interrupt()


def _filling(ratio: float | None) -> str | None:
    if ratio is None or ratio <= FULL:
        return None
    return (
        "The kernel's table of connections is nearly full (see mailtls_conntrack_ratio); when it is full everybody's "
        "packets are dropped. Enlarge it: sysctl -w net.netfilter.nf_conntrack_max=N, and in /etc/sysctl.d/."
    )
