"""The follower: the second way through a large log, when it is known who is to be listed.

It counts the successful and the plaintext sessions of those addresses, by service, client and kind, and the mails that
they delivered. Lines of anybody else cost no more than the search: the addresses are part of the pattern.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mailtls.core.search import PLAIN, Search, one_of
from mailtls.core.shape import Shapes, delivered
from mailtls.core.sieve import SHAPES

_WINDOW = 384  # bytes from a line's beginning to the end of its client's address; longer ones are strangers' words
_PADDING = b"\n" * _WINDOW
_MOST = 2_000  # addresses in a pattern; of more every line is looked at
_TRUST = len(b"Untrusted ")


class Follower:
    """Counts the sessions of some addresses. `lanes`: rows by `host tag`; `mails`: by `host tag` and client."""

    def __init__(self, stamp_width: int, addresses: frozenset[bytes], search: Search = PLAIN) -> None:
        self.lanes: dict[bytes, Shapes] = {}
        self.mails: Counter[tuple[bytes, bytes]] = Counter()
        self._width = stamp_width
        self._addresses = addresses
        any_of = one_of(list(addresses)) if len(addresses) <= _MOST else rb"[^]\n]++"
        self._gather = search.gatherer(pattern_of(any_of, _WINDOW), b"%b%b\n")

    def follow(self, block: bytes, number: int) -> None:
        """Take one block of whole lines."""
        for host_and_tag, text in self._lines(block):
            shapes = self.lane(host_and_tag)
            if text.startswith(b"TLS"):
                shapes.count(shapes.established, text, number, SHAPES)
            elif b" starttls=" not in text:
                shapes.count(shapes.ended, text, number, SHAPES)
            elif b" starttls=0/" not in text and delivered(text):
                self.mails[host_and_tag, text[16 : text.find(b"]") + 1]] += 1

    def _lines(self, block: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield `host tag` and text of the lines of these addresses; a word of trust is left out."""
        first = block.find(b"\n", _WINDOW) + 1 or len(block)
        found = self._gather(_PADDING + block[:first])[1] + self._gather(block, first)[1]
        place = 0
        while place < len(found):
            window = place + _WINDOW
            end = found.find(b"\n", window)
            start = found.rfind(b"\n", place, window) + 1
            head_end = found.find(b"]: ", start + self._width, window)
            text = found[head_end + 3 : end]
            address = found[found.rfind(b"[", start, window) + 1 : window - 1]
            if start > place and head_end >= 0 and address in self._addresses:
                if text[0] != 0x64:  # d
                    trust = text.find(b"TLS connection", 0, _TRUST + 14)
                    text = text[trust:] if trust >= 0 else b""
                if text.startswith((b"TLS connection established from ", b"disconnect from ")):
                    head = found[start + self._width : head_end]
                    yield head[: head.rfind(b"[")], text
            place = end + 1

    def lane(self, host_and_tag: bytes) -> Shapes:
        """The rows of one tag."""
        shapes = self.lanes.get(host_and_tag)
        if shapes is None:
            shapes = self.lanes[host_and_tag] = Shapes(host_and_tag)
        return shapes


def pattern_of(addresses: bytes, window: int) -> bytes:
    """Write the pattern of all lines of some addresses: so many bytes up to the address, and the rest of the line."""
    return (
        rb"(?:disconnect|TLS connection established) from [^[\n]++\[" + addresses
        + rb"\](?<=((?s:.{%d})))([^\n]*+)" % window
    )  # fmt: skip
