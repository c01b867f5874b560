"""The follower: the second way through a large log, when it is known who is to be listed.

It counts the successful and the plaintext sessions of those addresses, by service, client and kind, and the mails that
they delivered. Lines of anybody else cost no more than the search: the addresses are part of the pattern.
"""

from __future__ import annotations

from collections import Counter

from mailtls.core.search import PLAIN, Search, one_of
from mailtls.core.shape import LAST, Row, Shapes, delivered
from mailtls.core.sieve import SHAPES

# Bytes from a line's beginning to the end of its client's address: nearly always, and at most (RFC 3164 and 1035:
# stamp, host, tag, Postfix's words, name and address). What is further on in its line are a stranger's words.
_NEAR, _FAR = 192, 640
_MOST = 2_000  # addresses in a pattern; of more every line is looked at


class Follower:
    """Counts the sessions of some addresses. `rows`: by `host tag` and text of the line, joined with NUL."""

    def __init__(self, stamp_width: int, addresses: frozenset[bytes], search: Search = PLAIN) -> None:
        self.rows: dict[bytes, Row] = {}
        self.left_out = 0
        self._addresses = addresses
        any_of = one_of(list(addresses)) if len(addresses) <= _MOST else rb"[^]\n]++"
        self._lines = {window: search.gatherer(lines_of(any_of, window), b"\0%b\0%b\n") for window in (_NEAR, _FAR)}
        self._sessions = search.gatherer(sessions_of(stamp_width), b"%b\0%b%b\n")

    def follow(self, block: bytes, number: int) -> None:
        """Take one block of whole lines."""
        asked, keys = self._keys(block, _NEAR)
        if len(keys) < asked:
            _, keys = self._keys(block, _FAR)
        rows = self.rows
        for key in keys:
            row = rows.get(key)
            if row is not None:
                row[0] += 1
                row[LAST] = number
            elif len(rows) < SHAPES:
                rows[key] = [1, number, number, 0, key]
            else:
                self.left_out += 1

    def _keys(self, block: bytes, window: int) -> tuple[int, list[bytes]]:
        """How many lines name these addresses, and the keys of those whose beginning is so near."""
        gather = self._lines[window]
        first = block.find(b"\n", window) + 1 or len(block)  # so much is needed before what is found
        some, head = gather(b"\n" * window + block[:first])
        more, rest = gather(block, first)
        keys = self._sessions(head + rest)[1].split(b"\n")
        keys.pop()
        return some + more, keys

    def join(self, rows: dict[bytes, Row], left_out: int) -> None:
        """Add what was counted of the part of the log that follows this one."""
        self.left_out += left_out
        for key, later in rows.items():
            row = self.rows.setdefault(key, later)
            if row is not later:
                row[0] += later[0]
                row[LAST] = later[LAST]

    def lanes(self) -> tuple[dict[bytes, Shapes], Counter[tuple[bytes, bytes]]]:
        """Rows by `host tag`, and the mails of sessions with TLS by `host tag` and client."""
        lanes: dict[bytes, Shapes] = {}
        mails: Counter[tuple[bytes, bytes]] = Counter()
        for key, row in self.rows.items():
            host_and_tag, _, text = key.partition(b"\0")
            client = text[: text.find(b"]") + 1]
            if client[client.find(b"[") + 1 : -1] not in self._addresses:
                continue
            shapes = lanes.setdefault(host_and_tag, Shapes(host_and_tag))
            row[-1] = text
            if text.startswith(b"TLS"):
                shapes.established[text] = row
            elif b" starttls=" not in text:
                shapes.ended[text] = row
            elif b" starttls=0/" not in text and delivered(text):
                mails[host_and_tag, client[16:]] += row[0]
        return lanes, mails


def lines_of(addresses: bytes, window: int) -> bytes:
    """Write the pattern of all lines of some addresses: so many bytes up to the address, and the rest of the line."""
    return (
        rb"(?:disconnect|TLS connection established) from [^[\n]++\[" + addresses
        + rb"\](?<=((?s:.{%d})))([^\n]*+)" % window
    )  # fmt: skip


def sessions_of(stamp_width: int) -> bytes:
    """Write the pattern of what `lines_of` gathered: each window ends with a line that has its own header in front.

    A window begins anywhere in a line: the NUL before it tells that from the beginning of a line.
    """
    return (
        rb"\n[^\n\x00]{%d}([^]\n\x00[]*+)\[\d{1,7}\]: (?:Anonymous |Untrusted |Trusted |Verified )?"
        rb"((?:disconnect|TLS connection established) from [^[\n]++\[[^]\n]*+\])\x00([^\n]*+)" % stamp_width
    )
