"""A file of captured packets, or standard input, read for the hellos in it.

Promises: memory does not grow with the file; whatever is wrong with it is an InputError of one sentence with its name.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from mailtls.core.capture import CaptureReader, Frame
from mailtls.core.hellofinder import PORTS, CapturedHello, HelloFinder
from mailtls.core.printable import printable
from mailtls.core.segment import LINKS, read_segment
from mailtls.errors import InputError

_PIECE = 1 << 18  # bytes
_MOST_LINKS = 16  # kinds of links that are named


class CaptureFile:
    """A capture by its name (`-`: standard input). What it held is known when the hellos have been read.

    `packets`: how many; `connections`: of clients; `given_up`: of these, followed no further for want of room;
    `cut_off`: bytes of a packet that is not whole, at the end; `foreign`: kinds of links that are not understood.
    """

    def __init__(self, name: str, ports: Collection[int] = PORTS) -> None:
        """Take the name; nothing is opened yet."""
        self.name = name
        self.packets = 0
        self.cut_off = 0
        self.foreign: set[int] = set()
        self._finder = HelloFinder(ports)

    @property
    def connections(self) -> int:
        """Count the connections of clients."""
        return self._finder.connections

    @property
    def given_up(self) -> int:
        """Count the connections that there was no room for."""
        return self._finder.given_up

    def hellos(self) -> Iterator[CapturedHello]:
        """Read them all, in the order in which they were complete. Raises InputError."""
        reader = CaptureReader()
        shown = "standard input" if self.name == "-" else printable(self.name)
        try:
            for frame in self._frames(reader):
                self.packets += 1
                yield from self._of(frame)
            self.cut_off = reader.close()
        except OSError as error:
            raise InputError(f"{shown}: {(error.strerror or 'it cannot be read').lower()}") from error
        except InputError as error:
            raise InputError(f"{shown}: {error}") from error
        yield from self._finder.close()
        if self.foreign and not self.connections:
            kinds = ", ".join(str(kind) for kind in sorted(self.foreign))
            raise InputError(f"{shown}: its kind of link ({kinds}) is not understood; capture with `tcpdump -i any`")

    def _of(self, frame: Frame) -> Iterator[CapturedHello]:
        if frame.link not in LINKS:
            if len(self.foreign) < _MOST_LINKS:
                self.foreign.add(frame.link)
            return
        segment = read_segment(frame)
        if segment is not None:
            yield from self._finder.feed(segment)

    def _frames(self, reader: CaptureReader) -> Iterator[Frame]:
        with ExitStack() as stack:
            file: BinaryIO = sys.stdin.buffer if self.name == "-" else stack.enter_context(Path(self.name).open("rb"))
            while data := file.read(_PIECE):
                yield from reader.feed(data)
