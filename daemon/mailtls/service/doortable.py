"""Our table in nftables: made, kept equal to what is wanted, mended where somebody removed it, and taken down.

It lives and dies by transactions, so that no packet ever meets half of it. Sessions go on whatever changes; only the
table's end resets those that it led to a door, so it waits for them. Others who flush the whole ruleset (as reloading
/etc/nftables.conf does) take ours with it: it is made anew as soon as that is seen.

Every call blocks for some milliseconds: the keeper makes them in a thread, one at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from mailtls.core.doorset import Sets, after, armed, difference, shrinking
from mailtls.core.inputchain import InputChain, closed_chains
from mailtls.core.nftlisting import Listing
from mailtls.core.nftscript import change, definition, emptied, removed
from mailtls.core.portforward import forwards_of
from mailtls.core.postfixview import Doorway
from mailtls.edge.nftables import Nftables
from mailtls.errors import FirewallError

LOG = logging.getLogger("mailtls.keeper")


class DoorTable:
    """`nft`: how it is reached; `sessions`: counts the connections at ports. Methods may raise FirewallError."""

    def __init__(self, nft: Nftables, sessions: Callable[[Collection[int]], int]) -> None:
        self.nft = nft
        self._sessions = sessions
        self._doorways: tuple[Doorway, ...] | None = None
        self._shape = ""
        self._held: Sets = {}
        self._waits = False

    def bring(self, doorways: tuple[Doorway, ...], wanted: Sets, now: datetime, *, compare: bool) -> None:
        """Make the table say this. `compare`: look at what is there, in place of believing what was done last."""
        if not doorways:
            self._take_down(compare=compare)
            return
        if self._doorways != doorways or (compare and not self._is_as_made(now)):
            self._make(doorways, wanted, now)
            return
        found = difference(self._held, wanted, now)
        if not found:
            return
        try:
            self.nft.carry_out(change(found, now))
        except FirewallError:
            self._make(doorways, wanted, now)  # what is there is not what it was; say so only if this fails too
        else:
            self._held = after(self._held, found)

    def trim(self, wanted: Sets, now: datetime) -> None:
        """Take out of the table what nobody wants, and open nothing; without a table that is nothing."""
        listing = self.nft.listing()
        if listing is None:
            return
        found = shrinking(listing.ends(now), {**{name: {} for name in listing.left}, **wanted}, now)
        if found:
            self.nft.carry_out(change(found, now))

    def holds(self, name: str, ip: str) -> bool:
        """Ask nftables whether an address is in a set of hosts."""
        return self.nft.holds(name, ip)

    def listed(self) -> Callable[[str, str], bool]:
        """Give the same question for many elements, answered from one listing."""
        listing = self.nft.listing()
        left = listing.left if listing is not None else {}
        return lambda name, element: element in left.get(name, {})

    def blocked(self) -> str | None:
        """Say in a sentence which rules of others keep peers from the doors, or None; nothing hangs on it."""
        ports = {doorway.port for doorway in self._doorways or ()}
        ruleset: tuple[Mapping[str, Any], ...] = ()
        with suppress(FirewallError):
            ruleset = tuple(self.nft.ruleset()) if ports else ()
        for forward in forwards_of(ruleset):
            return (
                f"the firewall's chain {forward} leads port 25 elsewhere, as docker does for a container that "
                "publishes it, so that waived peers may never come to this Postfix; mailtls belongs where that mail is "
                f"taken. Look: nft list chain {forward}"
            )
        for first in closed_chains(ruleset, ports):
            return _dropped(first, ports)
        return None

    def _is_as_made(self, now: datetime) -> bool:
        listing = self.nft.listing()
        if listing is None or listing.shape != self._shape:
            what = "is gone" if listing is None else "was changed"
            LOG.warning("table inet mailtls of nftables %s: somebody flushed or edited it; it is made anew", what)
            return False
        self._held = listing.ends(now)
        return True

    def _make(self, doorways: tuple[Doorway, ...], wanted: Sets, now: datetime) -> None:
        self._doorways = None
        self.nft.carry_out(definition(doorways, wanted, now))
        made = self.nft.listing()
        self._shape, self._held = made.shape if made is not None else "", armed(wanted, now)
        self._doorways, self._waits = doorways, False

    # --- its end -----------------------------------------------------------------------------------------------

    def _take_down(self, *, compare: bool) -> None:
        """Close every door, and remove the table when nobody is behind one any more; without one do nothing."""
        if self._doorways == () and not (self._waits and compare):
            return
        listing = self._listing_if_possible()
        if listing is not None and any(listing.left.values()):
            self.nft.carry_out(emptied(listing.left))
        self._waits = listing is not None and self._sessions(listing.ports) > 0
        if listing is not None and not self._waits:
            self.nft.carry_out(removed())
            LOG.info("table inet mailtls of nftables is removed: there are no doors, and no sessions behind one")
        self._doorways, self._held = (), {}

    def _listing_if_possible(self) -> Listing | None:
        try:
            return self.nft.listing()
        except FirewallError:
            if self._doorways:
                raise
            return None  # a machine without nftables, and without doors, is in order


def _dropped(chain: InputChain, ports: Collection[int]) -> str:
    return (
        f"the firewall's chain {chain.family} {chain.table} {chain.chain} drops what is led to the doors, so that "
        f"waived peers hang; let them in, there and in its configuration: {chain.remedy(ports)}"
    )
