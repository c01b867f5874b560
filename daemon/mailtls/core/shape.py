"""Shapes: what the sieve counts.

A row is a list `[count, first block, last block, mails, text]`, so that it travels by marshal; `text` is its own key,
for those who hold the row alone; `mails`: how many of the sessions delivered.
"""

from __future__ import annotations

import re
from typing import Any

from mailtls.core.search import PLAIN, Search

FIRST, LAST, MAILS, TEXT = 1, 2, 3, 4
TIMES = 16  # exact times kept for each kind of failure
Row = list[Any]

delivered = re.compile(rb" (?:data|bdat)=[1-9]").search
"""Tell from the statistics of a `disconnect` line whether a mail was accepted."""


def address_in(text: bytes) -> bytes:
    """The first address in brackets of a message, as the log spells it."""
    start = text.find(b"[") + 1
    return text[start : text.find(b"]", start)]


class Trouble:
    """A session whose TLS failed, or that is none of the plain shapes, so far. A line is None until it is looked up."""

    __slots__ = ("lines", "messages", "pid", "stamp")

    def __init__(self, pid: bytes, messages: list[bytes], lines: list[bytes | None], stamp: bytes) -> None:
        self.pid = pid
        self.messages = messages
        self.lines = lines
        self.stamp = stamp


class Shapes:
    """Counts of a part of a log.

    `established`, `ended`: rows by the text behind the tag. `troubles`: `[count, stamps, lines of the first]` by
    the messages of a session joined with NUL. `logins`: rows by program, word, address and state joined with NUL.
    `running`: rows of established sessions that are still open, by pid; `trouble`: other open sessions. `heads`: the
    first end of each pid that had no beginning in this part. `odd`: lines for the assembler, in order. `stamps`:
    first and last stamp of each block.
    """

    __slots__ = (
        "broken", "ended", "established", "heads", "host_and_tag", "left_out", "logins", "odd", "read", "running",
        "stamps", "trouble", "troubles", "understood",
    )  # fmt: skip

    def __init__(self, host_and_tag: bytes) -> None:
        self.host_and_tag = host_and_tag
        self.established: dict[bytes, Row] = {}
        self.ended: dict[bytes, Row] = {}
        self.logins: dict[bytes, Row] = {}
        self.troubles: dict[bytes, tuple[list[int], list[bytes], list[bytes]]] = {}
        self.running: dict[bytes, Row] = {}
        self.trouble: dict[bytes, Trouble] = {}
        self.heads: dict[bytes, bytes] = {}
        self.broken: set[bytes] = set()
        self.odd: list[bytes] = []
        self.stamps: list[tuple[bytes, bytes]] = []
        self.read = 0
        self.understood = 0
        self.left_out = 0

    def begin_block(self, block: bytes, width: int, search: Search = PLAIN) -> int:
        """Take the times of a block, count its lines; return its number."""
        last = block.rfind(b"\n", 0, len(block) - 1) + 1
        self.stamps.append((block[:width], block[last : last + width]))
        self.read += search.lines(block) + (not block.endswith(b"\n"))
        return len(self.stamps) - 1

    def new_row(self, rows: dict[bytes, Row], key: bytes, number: int, most: int) -> Row:
        """Begin to count a shape, if there is room."""
        row = [1, number, number, 0, key]
        if len(rows) < most:
            rows[key] = row
        else:
            self.left_out += 1
        return row

    def count(self, rows: dict[bytes, Row], key: bytes, number: int, most: int) -> Row:
        """Count a session of this shape in this block."""
        row = rows.get(key)
        if row is None:
            return self.new_row(rows, key, number, most)
        row[0] += 1
        row[LAST] = number
        return row

    def close(self, session: Trouble) -> None:
        """Count a session that has ended."""
        key = b"\0".join(session.messages)
        row = self.troubles.get(key)
        if row is None:
            if len(self.troubles) >= 100_000:
                self.left_out += 1
                return
            self.troubles[key] = ([1], [session.stamp], self.lines_of(session))
            return
        row[0][0] += 1
        if len(row[1]) < TIMES:
            row[1].append(session.stamp)
        else:
            row[1][-1] = session.stamp

    def lines_of(self, session: Trouble) -> list[bytes]:
        """The session's lines; those that were not found again are put together from what was counted."""
        if None not in session.lines:
            return [line for line in session.lines if line is not None]
        head = b"%b %b[%b]: " % (session.stamp, self.host_and_tag, session.pid)
        return [
            line if line is not None else head + message
            for line, message in zip(session.lines, session.messages, strict=True)
        ]

    def add_odd(self, line: bytes) -> None:
        """Keep a line for the assembler."""
        self.odd.append(line[:16_384])

    def forget_oldest(self, most: int) -> None:
        """Bound what is open: established sessions are counted already, troubles count as far as they are proven."""
        while len(self.running) > most:
            del self.running[next(iter(self.running))]
        while len(self.trouble) > most:
            self.close(self.trouble.pop(next(iter(self.trouble))))

    def close_all(self) -> None:
        """The log ends: what is open counts as far as its lines prove it."""
        for session in self.trouble.values():
            self.close(session)
        self.trouble.clear()

    def join(self, later: Shapes) -> None:
        """Append the counts of the part of the log that follows this one."""
        self._join_open_sessions(later)
        self.join_rows(later, len(self.stamps))
        self.stamps.extend(later.stamps)
        self.odd.extend(later.odd)
        self.read += later.read
        self.understood += later.understood
        self.left_out += later.left_out
        self.running = later.running
        self.trouble.update(later.trouble)

    def join_rows(self, later: Shapes, offset: int) -> None:
        """Add the later part's rows, whose blocks have numbers from `offset` on."""
        for mine, theirs in (
            (self.established, later.established),
            (self.ended, later.ended),
            (self.logins, later.logins),
        ):
            _join_rows(mine, theirs, offset)
        for key, (counts, stamps, lines) in later.troubles.items():
            known = self.troubles.get(key)
            if known is None:
                self.troubles[key] = (counts, stamps, lines)
            else:
                known[0][0] += counts[0]
                known[1].extend(stamps[-1:] if len(known[1]) >= TIMES else stamps)

    def _join_open_sessions(self, later: Shapes) -> None:
        """Sessions that the cut went through: their ends stand in the later part as ends without a beginning."""
        for pid, row in self.running.items():
            end = later.heads.get(pid)
            if end is not None and end in later.ended:
                later.ended[end][0] -= 1
                row[MAILS] += 1 if delivered(end) else 0
            elif end is not None and end in later.troubles:
                row[0] -= 1
                self.trouble[pid] = Trouble(pid, [row[TEXT]], [None], self.stamps[row[LAST]][1])
        for pid, session in list(self.trouble.items()):
            end = later.heads.get(pid)
            if end is None:
                continue
            if end in later.ended:
                later.ended[end][0] -= 1
            elif end in later.troubles:
                later.troubles[end][0][0] -= 1
            for message in end.split(b"\0"):
                session.messages.append(message)
                session.lines.append(None)
            self.close(session)
            del self.trouble[pid]


def _join_rows(mine: dict[bytes, Row], theirs: dict[bytes, Row], offset: int) -> None:
    """Add rows; takes `theirs` apart, so that both are never in memory whole."""
    while theirs:
        key, later = theirs.popitem()
        row = mine.get(key)
        if row is None:
            later[FIRST] += offset
            later[LAST] += offset
            mine[key] = later
        else:
            row[0] += later[0]
            row[LAST] = later[LAST] + offset
            row[MAILS] += later[MAILS]
