"""Tickets: numbered pieces of work for this process and its forks; each piece is done by whoever comes first.

The numbers lie in a pipe, one byte each, and a read takes one away from all. So a process that the machine gives less
time does less, and no piece is done twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_MOST = 256  # what one byte tells apart; a pipe holds far more


class Tickets:
    """Make it before the fork; then each process iterates over it until nothing is left."""

    def __init__(self, pieces: int) -> None:
        """Lay out as many numbers, from 0 on, as there are pieces, at most 256: see `share`."""
        self.many = min(pieces, _MOST)
        self._read, write = os.pipe()
        os.write(write, bytes(range(self.many)))
        os.close(write)

    def __iter__(self) -> Iterator[int]:
        while number := os.read(self._read, 1):
            yield number[0]

    def share(self, number: int, length: int) -> range:
        """Of so many things, those that belong to this ticket."""
        return range(number * length // self.many, (number + 1) * length // self.many)

    def close(self) -> None:
        """Take the pipe away, in this process."""
        os.close(self._read)
