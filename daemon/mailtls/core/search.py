"""How a text is searched for in a block: with Python's own search, or with a faster one that the edge brings along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Search:
    """`find(block, text, start)`: first place at or behind `start`, or -1. `count(block, text)`: how often."""

    find: Callable[[bytes, bytes, int], int]
    count: Callable[[bytes, bytes], int]

    def places(self, block: bytes, text: bytes) -> list[int]:
        """All places of `text` in `block`, in order, not overlapping."""
        found: list[int] = []
        add, find, length = found.append, self.find, len(text)
        at = find(block, text, 0)
        while at >= 0:
            add(at)
            at = find(block, text, at + length)
        return found


PLAIN = Search(bytes.find, bytes.count)
