"""The terms of waived peers as the gateway reads them: the keeper's file, looked at again when it has changed.

Where it cannot be read the last that could be holds; where it is not there, none: then peers have what [gateway]
says. SECURITY: the keeper writes it, into a directory of root's.
"""

from __future__ import annotations

from contextlib import suppress

from mailtls.core.waivedterms import FILE, WaivedTerms
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.errors import StoreError


class WaivedTermsFile:
    """`board`: the keeper's directory."""

    def __init__(self, board: NoticeBoard) -> None:
        self._board = board
        self._seen: object = None
        self._terms = WaivedTerms()

    def now(self) -> WaivedTerms:
        """Give what holds now."""
        stamp = self._board.stamp(FILE)
        if stamp != self._seen:
            with suppress(StoreError):
                self._terms = self._board.read(FILE, WaivedTerms) or WaivedTerms()
            self._seen = stamp
        return self._terms
