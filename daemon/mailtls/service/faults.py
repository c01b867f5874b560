"""What the keeper cannot do at present: each fault is logged when it appears, when it changes, and when it is gone."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mailtls.core.keeperprotocol import Fault

LOG = logging.getLogger("mailtls.keeper")


class Faults:
    """The faults that stand, by their kind."""

    def __init__(self) -> None:
        self._standing: dict[str, Fault] = {}

    def tell(self, kind: str, sentence: str | None) -> None:
        """Say what is wrong, or that nothing is."""
        known = self._standing.get(kind)
        if sentence is None:
            if known is not None:
                del self._standing[kind]
                LOG.warning("mended: %s", known.sentence)
        elif known is None or known.sentence != sentence[:500]:
            self._standing[kind] = Fault(kind=kind, sentence=sentence[:500])
            LOG.error("%s", sentence)

    def all(self) -> tuple[Fault, ...]:
        """Give them all."""
        return tuple(self._standing.values())

    def sentence(self, kind: str) -> str | None:
        """Give the sentence of one kind."""
        fault = self._standing.get(kind)
        return fault.sentence if fault is not None else None

    def has(self, kinds: Iterable[str]) -> bool:
        """Tell whether one of these stands."""
        return not self._standing.keys().isdisjoint(kinds)
