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
    codes_of,
    ends,
    headed,
    other_lines,
    own_ends,
    own_successes,
    successes,
)
from mailtls.core.shape import FIRST, LAST, Row, Shapes, delivered
from mailtls.core.sieve import SHAPES

SUITES = 10_000
_MOST = 2_000  # addresses in a pattern; of more every line is looked at
_SEEN = 1_000  # successes after which it is known which suites are frequent
_CODED = 12  # of them are gathered as a few bytes: one for the first, two for the second, and so on
_SPACE = b" "[0]  # of a client that was asked for
_X = b"x"[0]  # of `postfix/smtpd[`: most lines have that tag


class Follower:
    """Counts sessions, and follows those of some addresses; `own`: `host tag` of the service that has most lines.

    `established`, `ended_tls`, `ended_refused`, `plain`: successful handshakes, and ends of sessions where STARTTLS
    succeeded, failed, was not asked for.
    """

    def __init__(
        self, stamp_width: int, addresses: frozenset[bytes], search: Search = PLAIN, own: bytes = b""
    ) -> None:
        self.left_out = 0
        self.established = self.ended_tls = self.ended_refused = self.plain = 0
        self._width = stamp_width
        self._own = own
        self._rows: dict[bytes, Row] = {}  # by `host tag` and text of the line, joined with NUL
        self._own_plain: dict[bytes, Row] = {}  # at `own`: by client and the rest of the line
        self._own_mails: dict[bytes, Row] = {}  # by client without its `]`
        self._own_successes: dict[bytes, Row] = {}  # by client and suite, or its code
        self._suites: Counter[bytes] = Counter()
        self._codes: dict[bytes, bytes] | None = None
        self._addresses = addresses
        self._any_of = one_of(list(addresses)) if len(addresses) <= _MOST else rb"[^]\n]++"
        self._heads = heads = own_ends(stamp_width, own), own_successes(stamp_width, own)
        self._search = search
        self._find_ends = search.gatherer(*ends(self._any_of, heads[0]))
        self._find_successes = search.gatherer(*successes(self._any_of, heads[1]))
        self._elsewhere = search.finder(ELSEWHERE)
        self._others = {
            window: search.gatherer(other_lines(self._any_of, heads, window), b"\0%b\0%b\n") for window in (NEAR, FAR)
        }
        self._headed = search.gatherer(headed(stamp_width), b"%b\0%b%b\n")

    def follow(self, block: bytes, number: int) -> None:
        """Take one block of whole lines."""
        others = self._follow_ends(block, number)
        if self._follow_successes(block, number) or others:
            self._follow_others(block, number)
        if self._codes is None and self.established > _SEEN:
            self._codes = codes_of([suite for suite, _ in self._suites.most_common(_CODED)])
            found = successes(self._any_of, self._heads[1], list(self._codes.values()))
            self._find_successes = self._search.gatherer(*found)

    def _follow_ends(self, block: bytes, number: int) -> bool:
        """Count ends of sessions of all services; tell whether any were of clients asked for, but elsewhere."""
        found, text = self._find_ends(block)
        if b"\n" in text:
            *plain, text = text.split(b"\n")
            for piece in plain:
                start = piece.rfind(b" ", 0, piece.rfind(b"["))
                text += piece[:start]
                self._count(self._own_plain, piece[start + 1 :], 1, number)
        clients = [piece.rstrip(b"]=/") for piece in text.split(b" ")[1:]]
        for client in clients:
            if client:
                self._count(self._own_mails, client, 1, number)
        others = clients.count(b"")
        refused = text.count(b"/")
        with_tls = text.count(b"=") + refused
        self.ended_tls += with_tls - refused
        self.ended_refused += refused
        self.plain += found - with_tls
        if text.count(b"]") > len(clients) - others:
            self.plain -= sum(1 for at in self._elsewhere(block) if not self._may_be_plain(block, at))
        return others > 0

    def _follow_successes(self, block: bytes, number: int) -> bool:
        """Count successes of all services; tell whether any were of clients asked for, but elsewhere."""
        found, text = self._find_successes(block)
        self.established += found
        pieces = Counter(text.split(b"\n"))
        del pieces[b""]
        others = False
        suites = self._suites
        for piece, count in pieces.items():
            if piece[0] != _SPACE:
                suites[piece] += count
            elif b"]" in piece:
                self._count(self._own_successes, piece, count, number)
            else:
                suites[piece[1:]] += count
                others = True
        if len(suites) > SUITES:  # no server has so many: a stranger's words
            self._suites = Counter(dict(suites.most_common(SUITES // 2)))
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
        program = Program(tag)
        return program.service is not Service.SMTPS and not program.retold

    def _follow_others(self, block: bytes, number: int) -> None:
        """Count the sessions of those addresses at other services, and at any whose header is in another place."""
        asked, keys = self._other_keys(block, NEAR)
        if len(keys) < asked:
            _, keys = self._other_keys(block, FAR)
        for key in keys:
            self._count(self._rows, key, 1, number)

    def _other_keys(self, block: bytes, window: int) -> tuple[int, list[bytes]]:
        """How many lines name these addresses, and the keys of those whose beginning is so near."""
        gather = self._others[window]
        first = block.find(b"\n", window) + 1 or len(block)  # so much is needed before what is found
        some, head = gather(b"\n" * window + block[:first])
        more, rest = gather(block, first)
        keys = self._headed(head + rest)[1].split(b"\n")
        keys.pop()
        return some + more, keys

    def _count(self, rows: dict[bytes, Row], key: bytes, count: int, number: int) -> None:
        row = rows.get(key)
        if row is not None:
            row[0] += count
            row[LAST] = number
        elif len(rows) < SHAPES:
            rows[key] = [count, number, number, 0, key]
        else:
            self.left_out += count

    @property
    def rows(self) -> dict[bytes, Row]:
        """Rows by `host tag` and as much of the line's text as matters, joined with NUL."""
        self._put_together()
        return self._rows

    @property
    def suites(self) -> Counter[bytes]:
        """Successes of all clients by version and cipher."""
        self._put_together()
        return self._suites

    def _put_together(self) -> None:
        """Write in full what was counted by codes and in parts."""
        codes = self._codes or {}
        suites: Counter[bytes] = Counter()
        for code, count in self._suites.items():
            suites[codes.get(code, code)] += count
        head = self._own + b"\0disconnect from "
        texts = {head + text: row for text, row in self._own_plain.items()}
        texts.update((head + text + b"] starttls=1 data=1", row) for text, row in self._own_mails.items())
        _join(self._rows, texts)
        for text, row in self._own_successes.items():
            client, _, code = text.partition(b"]")
            suite = codes.get(code, code)
            suites[suite] += row[0]
            _join(self._rows, {b"%b\0TLS connection established from%b]: %b" % (self._own, client, suite): row})
        for rows in (self._own_plain, self._own_mails, self._own_successes):
            rows.clear()
        self._suites = suites

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
            if client[client.find(b"[") + 1 : -1] not in self._addresses or _is_retold(host_and_tag):
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


def _is_retold(host_and_tag: bytes) -> bool:
    return Program(host_and_tag.rsplit(b" ", 1)[-1]).retold


def _join(rows: dict[bytes, Row], others: dict[bytes, Row]) -> None:
    """Add rows of other blocks."""
    for key, other in others.items():
        row = rows.setdefault(key, other)
        if row is not other:
            row[0] += other[0]
            row[FIRST] = min(row[FIRST], other[FIRST])
            row[LAST] = max(row[LAST], other[LAST])
