"""What mailtls-apply says of Postfix's configuration becomes alarms; what peers show after a change becomes a request.

Looked at once a second; a note is read when it is another one. mailtlsd has no right to change anything: if peers that
used to succeed begin to fail soon after a change of ours, it asks mailtls-apply, once per change, to take it back
(`applyguard`).

DIAGNOSTICS: faults `configuration`, `doors` and `guard` in `mailtlsctl status`;
mailtls_server_fault{kind="configuration"}.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from datetime import datetime, timedelta
from typing import TypeVar

from mailtls.core.notice import ChangeNotice, Examination, GuardOutcome, GuardRequest, Notice
from mailtls.core.printable import printable
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.errors import StoreError

LOG = logging.getLogger("mailtls.changewatch")
CHANGE, EXAMINATION, GUARD = "change.json", "examination.json", "guard.json"
TOLD = timedelta(days=1)
"""So long it is shown that a change was taken back."""
MOST_PEERS = 64
SHOWN = 3  # clauses of an examination
CONFIGURATION = "configuration"

TurnedSince = Callable[[datetime, datetime], tuple[str, ...]]
Told = TypeVar("Told", bound=Notice)


class ChangeWatch:
    """Reads the board of mailtls-apply, `told`, and asks on its own, `asks`.

    `faults` are shown by kind in `status`; `configuration_fault` is told whether one stands.
    """

    def __init__(
        self,
        told: NoticeBoard,
        asks: NoticeBoard,
        faults: MutableMapping[str, str],
        configuration_fault: Callable[[bool], None],
    ) -> None:
        self._told = told
        self._asks = asks
        self._faults = faults
        self._configuration_fault = configuration_fault
        self._stamps: dict[str, object] = {}
        self._change: ChangeNotice | None = None
        self._outcome: GuardOutcome | None = None
        self._asked = ""

    def look(self, turned_since: TurnedSince, now: datetime) -> None:
        """See what is new. `turned_since` names the peers that fail since a change, as of a time."""
        if self._is_new(EXAMINATION):
            self._examined(self._read(EXAMINATION, Examination))
        if self._is_new(CHANGE):
            self._change = self._read(CHANGE, ChangeNotice)
        if self._is_new(GUARD):
            self._answered(self._read(GUARD, GuardOutcome))
        if self._outcome is not None and now - self._outcome.at > TOLD:
            self._outcome = None
            self._faults.pop("guard", None)
        if self._change is not None:
            self._guard(self._change, turned_since, now)

    def _is_new(self, name: str) -> bool:
        stamp = self._told.stamp(name)
        new = name not in self._stamps or self._stamps[name] != stamp
        self._stamps[name] = stamp
        return new

    def _read(self, name: str, kind: type[Told]) -> Told | None:
        try:
            return self._told.read(name, kind)
        except StoreError as error:
            LOG.warning("%s", error)
            return None

    # --- what was examined ---------------------------------------------------------------------------------------

    def _examined(self, found: Examination | None) -> None:
        faulty = found is not None and bool(found.faults)
        self._configuration_fault(faulty)
        self._show(CONFIGURATION, _broken(found) if found is not None and found.faults else "")
        self._show("doors", _some(found.drift) if found is not None else "")

    def _show(self, kind: str, sentence: str) -> None:
        if not sentence:
            if self._faults.pop(kind, None) is not None:
                LOG.info("the fault of the %s is over", kind)
        elif self._faults.get(kind) != sentence:
            self._faults[kind] = sentence
            LOG.error("%s", sentence)

    # --- the guard -----------------------------------------------------------------------------------------------

    def _guard(self, change: ChangeNotice, turned_since: TurnedSince, now: datetime) -> None:
        """Charge a change with peers that fail since; stamps of logs have whole seconds."""
        if self._asked == change.id or not change.at <= now <= change.until:
            return
        peers = turned_since(change.at.replace(microsecond=0), now)
        if not peers:
            return
        self._asked = change.id
        since = f"{len(peers)} peers that used to succeed fail since {change.what} at {change.at:%H:%M:%S}"
        if not change.guarded:
            self._show("guard", f"{since}; it is not guarded: if it was not meant, undo it with mailtlsctl edit")
            return
        try:
            request = GuardRequest(change=change.id, at=now, peers=peers[:MOST_PEERS])
            self._asks.put(GUARD, request)
            self._show("guard", f"{since}; mailtls-apply was asked to take it back")
        except StoreError as error:
            self._show("guard", f"{since}, and nobody can be asked to take it back: {error}")

    def _answered(self, outcome: GuardOutcome | None) -> None:
        """Tell what became of a request; of one that was answered before this process began, too."""
        self._outcome = outcome
        if outcome is None:
            return
        self._asked = outcome.change
        again = "; to make it stand all the same: mailtlsctl edit --no-guard" if outcome.taken_back else ""
        self._show("guard", printable(f"{outcome.sentence.rstrip('.')}{again}", 500))


def _broken(found: Examination) -> str:
    where, what = found.configuration, printable(_some(found.faults), 300)
    return f"What is in {where} would break Postfix: {what}. Go back to the last good files with: mailtlsctl reload"


def _some(clauses: tuple[str, ...]) -> str:
    more = f", and {len(clauses) - SHOWN} more" if len(clauses) > SHOWN else ""
    return f"{'; '.join(clauses[:SHOWN])}{more}"
