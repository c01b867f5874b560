"""The follower: the second way through a large log, when it is known who is to be listed.

It counts all sessions by what they were, and follows the successful and the plaintext sessions of the addresses that
it was given: by service, client and kind, and the mails that they delivered. Both come of the same two searches.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from mailtls.core.cause import Service
from mailtls.core.postfixlog import Program
from mailtls.core.search import PLAIN, Search, one_of
from mailtls.core.sessionlines import (
    ELSEWHERE,
    FAR,
    NEAR,
    ends,
    headed,
    own_ends,
    own_successes,
    successes,
    windows_of,
)
from mailtls.core.shape import FIRST, LAST, Row, Shapes, delivered
from mailtls.core.sieve import SHAPES

SUITES = 10_000
_MOST = 2_000  # addresses in a pattern; of more every line is looked at
_SPACE, _OTHER = b" "[0], b"m"[0]  # of a client that was asked for
_X = b"x"[0]  # of `postfix/smtpd[`: most lines have that tag


class Follower:
    """Counts sessions, and follows those of some addresses; `own`: `host tag` of the service that has most lines.

    `established`, `ended_tls`, `ended_refused`, `plain`: successful handshakes, and ends of sessions where STARTTLS
    succeeded, failed, was not asked for. `suites`: successes by version and cipher.
    """

    def __init__(
        self, stamp_width: int, addresses: frozenset[bytes], search: Search = PLAIN, own: bytes = b""
    ) -> None:
        self.left_out = 0
        self.established = self.ended_tls = self.ended_refused = self.plain = 0
        self.suites: Counter[bytes] = Counter()
        self._width = stamp_width
        self._own = own
        self._rows: dict[bytes, Row] = {}  # by `host tag` and text of the line, joined with NUL
        self._own_ends: dict[bytes, Row] = {}
        self._own_successes: dict[bytes, Row] = {}
        self._addresses = addresses
        any_of = one_of(list(addresses)) if len(addresses) <= _MOST else rb"[^]\n]++"
        heads = own_ends(stamp_width, own), own_successes(stamp_width, own)
        self._ends = search.gatherer(*ends(any_of, heads[0]))
        self._successes = search.gatherer(*successes(any_of, heads[1]))
        self._elsewhere = search.finder(ELSEWHERE)
        self._windows = {
            window: search.gatherer(windows_of(any_of, heads, window), b"\0%b\0%b\n") for window in (NEAR, FAR)
        }
        self._headed = search.gatherer(headed(stamp_width), b"%b\0%b%b\n")

    def follow(self, block: bytes, number: int) -> None:
        """Take one block of whole lines."""
        others = self._follow_ends(block, number)
        if self._follow_successes(block, number) or others:
            self._follow_others(block, number)

    def _follow_ends(self, block: bytes, number: int) -> bool:
        """Count ends of sessions of all services; tell whether any were of clients asked for, but elsewhere."""
        found, text = self._ends(block)
        kinds = text
        if b"\n" in text:
            *mixed, last = text.split(b"\n")
            pieces = [piece.partition(b" ") for piece in mixed]
            self._count([client for _, _, client in pieces], self._own_ends, number)
            kinds = b"".join([kind for kind, _, _ in pieces]) + last
        with_tls = kinds.count(b"s")
        refused = kinds.count(b"0")
        self.ended_tls += with_tls - refused
        self.ended_refused += refused
        self.plain += found - with_tls
        if b"]" in kinds:
            self.plain -= sum(1 for at in self._elsewhere(block) if not self._may_be_plain(block, at))
        return b"m" in kinds

    def _follow_successes(self, block: bytes, number: int) -> bool:
        """Count successes of all services; tell whether any were of clients asked for, but elsewhere."""
        found, text = self._successes(block)
        self.established += found
        pieces = text.split(b"\n")
        pieces.pop()
        clients = [piece for piece in pieces if piece[0] == _SPACE]
        if clients:
            self._count(clients, self._own_successes, number)
            pieces = [piece for piece in pieces if piece[0] != _SPACE]
        others = b"mTLS" in text or b"mSSL" in text
        if others:
            pieces = [piece[piece[0] == _OTHER :] for piece in pieces]
        self.suites.update(pieces)
        if len(self.suites) > SUITES:  # no server has so many: a stranger's words
            self.suites = Counter(dict(self.suites.most_common(SUITES // 2)))
        return others

    def _may_be_plain(self, block: bytes, at: int) -> bool:
        """Tell whether an end without STARTTLS is a plaintext session: at a service in wrapper mode it is none."""
        if block[block.find(b"/smtpd[", at - 16, at) - 1] == _X:
            return True
        start = block.rfind(b"\n", 0, at) + 1 + self._width
        head_end = block.find(b"]: ", start, at + 3)
        if head_end != at:
            return False  # a stranger's words
        tag = block[start : block.find(b"[", start, head_end)].rsplit(b" ", 1)[-1]
        return Program(tag).service is not Service.SMTPS

    def _follow_others(self, block: bytes, number: int) -> None:
        """Count the sessions of those addresses at other services, and at any whose header is in another place."""
        asked, keys = self._others(block, NEAR)
        if len(keys) < asked:
            _, keys = self._others(block, FAR)
        self._count(keys, self._rows, number)

    def _others(self, block: bytes, window: int) -> tuple[int, list[bytes]]:
        """How many lines name these addresses, and the keys of those whose beginning is so near."""
        gather = self._windows[window]
        first = block.find(b"\n", window) + 1 or len(block)  # so much is needed before what is found
        some, head = gather(b"\n" * window + block[:first])
        more, rest = gather(block, first)
        keys = self._headed(head + rest)[1].split(b"\n")
        keys.pop()
        return some + more, keys

    def _count(self, keys: list[bytes], rows: dict[bytes, Row], number: int) -> None:
        for key in keys:
            row = rows.get(key)
            if row is not None:
                row[0] += 1
                row[LAST] = number
            elif len(rows) < SHAPES:
                rows[key] = [1, number, number, 0, key]
            else:
                self.left_out += 1

    @property
    def rows(self) -> dict[bytes, Row]:
        """Rows by `host tag` and text of the line, joined with NUL."""
        for rows, words in (
            (self._own_ends, b"disconnect from "),
            (self._own_successes, b"TLS connection established from"),
        ):
            head = self._own + b"\0" + words
            _join(self._rows, {head + text: row for text, row in rows.items()})
            rows.clear()
        return self._rows

    def parcel(self) -> tuple[Any, ...]:
        """What was counted, as plain values; `join` of another follower takes them."""
        counts = self.left_out, self.established, self.ended_tls, self.ended_refused, self.plain
        return self.rows, dict(self.suites), counts

    def join(self, rows: dict[bytes, Row], suites: dict[bytes, int], counts: tuple[int, ...]) -> None:
        """Add what was counted in other blocks of the log."""
        _join(self.rows, rows)
        self.suites.update(suites)
        left_out, established, ended_tls, ended_refused, plain = counts
        self.left_out += left_out
        self.established += established
        self.ended_tls += ended_tls
        self.ended_refused += ended_refused
        self.plain += plain

    def lanes(self) -> tuple[dict[bytes, Shapes], Counter[tuple[bytes, bytes]]]:
        """Rows by `host tag` in the order of the log, and the mails of sessions with TLS by `host tag` and client."""
        lanes: dict[bytes, Shapes] = {}
        mails: Counter[tuple[bytes, bytes]] = Counter()
        for key, row in sorted(self.rows.items(), key=lambda item: (item[1][FIRST], item[0])):
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


def _join(rows: dict[bytes, Row], others: dict[bytes, Row]) -> None:
    """Add rows of other blocks."""
    for key, other in others.items():
        row = rows.setdefault(key, other)
        if row is not other:
            row[0] += other[0]
            row[FIRST] = min(row[FIRST], other[FIRST])
            row[LAST] = max(row[LAST], other[LAST])
