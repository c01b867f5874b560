"""The skim: the quick way through a large log, for a report that lists only the peers that fail most.

Two passes over the blocks. The first finds what failed: `SSL_accept error`, OpenSSL's reason behind it, the lines of
Dovecot, and whatever is odd. The second, when it is known who is to be listed, counts successes and plaintext sessions:
one by one for those peers, by version and cipher for all others. Nothing is kept of a peer that nobody asks for, so
memory does not grow with the log.

`regular` tells afterwards whether the counts of both passes fit together: successes without an `established` line
(smtpd_tls_loglevel = 0), or refused STARTTLS without `SSL_accept error`, need the sieve, which follows every session.

BUGS: as the sieve; and nothing tells that STARTTLS was hidden from a peer.
"""

from __future__ import annotations

import re
from collections import Counter, deque

from mailtls.core.cause import Service
from mailtls.core.marks import Marks
from mailtls.core.postfixlog import FAULT_MARKS, Program
from mailtls.core.search import PLAIN, Search
from mailtls.core.shape import MAILS, Shapes, Trouble, delivered
from mailtls.core.sieve import SHAPES

_ESTABLISHED = b"TLS connection established from "
_DISCONNECT = b"]: disconnect from "
SUITE = re.compile(rb": ((?:TLS|SSL)v[\d.]{1,4}) with cipher (\S{1,80})")
TAILS = 10_000
_X = 0x78  # of `postfix/smtpd[`: most lines have that tag
PENDING = 50_000
AROUND = 16  # lines of one process looked at, back and on


class Skim:
    """What one part of a log holds. `lanes`: shapes by `host tag`; the first part of a log absorbs the second."""

    def __init__(self, stamp_width: int, search: Search = PLAIN) -> None:
        self.width = stamp_width
        self.search = search
        self.lanes: dict[bytes, Shapes] = {}
        self.logins = Shapes(b" dovecot")
        self.stamps: list[tuple[bytes, bytes]] = self.logins.stamps
        self.odd: list[bytes] = []
        self.alerts: list[list[bytes]] = []
        self.pending: dict[bytes, Trouble] = {}
        self.broken: set[bytes] = set()
        self.orphans: dict[bytes, tuple[bytes, bytes, int]] = {}
        self.chosen: frozenset[bytes] = frozenset()
        self.tails: dict[bytes, int] = {}
        self.plain = 0
        self.failures = 0
        self.ended_tls = 0
        self.ended_refused = 0
        self.established = 0
        self.mails: Counter[tuple[bytes, bytes]] = Counter()
        self._before: deque[bytes] = deque([b""], maxlen=2)

    def lane(self, host_and_tag: bytes) -> Shapes:
        """The shapes of one tag."""
        shapes = self.lanes.get(host_and_tag)
        if shapes is None:
            shapes = self.lanes[host_and_tag] = Shapes(host_and_tag)
            shapes.stamps = self.stamps
        return shapes

    # --- first pass ------------------------------------------------------------------------------------------

    def find_failures(self, block: bytes) -> None:
        """First pass over one block of whole lines."""
        number = self.logins.begin_block(block, self.width - 1, self.search)
        marks = Marks(block)
        for login in marks.logins:
            key = login.key(block)
            if key is not None:
                self.logins.count(self.logins.logins, key, number, SHAPES)
            elif login.is_one(block):
                self.odd.append(block[login.start : login.end])
        for line in marks.odd:
            self.odd.append(line)
            if any(mark in line for mark in FAULT_MARKS) and len(self.broken) < PENDING:
                self.broken.add(line[self.width : line.find(b"]: ")])
        for line in marks.handshakes:
            self._handshake(line, block)
        while len(self.pending) > PENDING:
            self._close(self.pending.pop(next(iter(self.pending))))
        self._before.append(block)

    def _handshake(self, line: bytes, block: bytes) -> None:
        """A line of `SSL_accept error` or of OpenSSL, of whatever program."""
        end = line.find(b"]: ")
        source = line[self.width : end]
        name = source.rfind(b"[")
        if not source.endswith(b"smtpd", 0, max(name, 0)):
            return
        text = line[end + 3 :]
        if source in self.broken:
            self.odd.append(line)  # whatever the reason sounds like, it is not the peer's: the assembler knows
            return
        if text.startswith(b"SSL_accept error from "):
            before = self.pending.pop(source, None)
            if before is not None:
                self._close(before)
            session = Trouble(source[name + 1 :], [text], [line], line[: self.width - 1])
            if text.endswith((b": -1", b": 0")):
                self.pending[source] = session  # the reason follows
            else:
                self._close(session, source[:name])
            return
        if not text.startswith(b"warning: TLS library problem"):
            return
        session_open = self.pending.pop(source, None)
        if session_open is not None:
            session_open.messages.append(text)
            session_open.lines.append(line)
            session_open.stamp = line[: self.width - 1]
            self._close(session_open, source[:name])
        else:
            self._reason_alone(source, text, line, block)

    def _close(self, session: Trouble, host_and_tag: bytes | None = None) -> None:
        if host_and_tag is None:
            line = session.lines[0] or b""
            source = line[self.width : line.find(b"]: ")]
            host_and_tag = source[: source.rfind(b"[")]
        shapes = self.lane(host_and_tag)
        if Program(host_and_tag.rsplit(b" ", 1)[-1]).service is not Service.SMTPS:
            self.failures += 1
        shapes.close(session)

    def _reason_alone(self, source: bytes, text: bytes, line: bytes, block: bytes) -> None:
        """OpenSSL's error without a failed handshake: a further one of the same failure, an alert behind a success, or
        one whose beginning stands in the part of the log before this one."""
        at = block.find(line)
        before = block.rfind(source + b"]: ", 0, at)
        if before >= 0 and block.startswith(b"warning: TLS library problem", before + len(source) + 3):
            return
        if before < 0 and source not in self.orphans and len(self.orphans) < PENDING:
            self.orphans[source] = (text, line, len(self.alerts) if b" alert " in text else -1)
        if b" alert " in text:
            self.alerts.append(self._session_around(source, block, at))

    def _session_around(self, source: bytes, block: bytes, at: int) -> list[bytes]:
        """The lines of this process around a place: back to its `connect`, on to its `disconnect`."""
        text = self._before[-1] + block
        at += len(self._before[-1])
        mark = source + b"]: "
        behind = text.find(b"\n", at)
        lines: deque[bytes] = deque((text[at:behind],))
        place = at
        for _ in range(AROUND):
            place = text.rfind(mark, 0, place)
            line = _line_at(text, place)
            if line is None or b"]: disconnect from " in line:
                break
            lines.appendleft(line)
            if b"]: connect from " in line:
                break
        place = behind
        for _ in range(AROUND):
            place = text.find(mark, place)
            line = _line_at(text, place)
            if line is None or b"]: connect from " in line:
                break
            lines.append(line)
            if b"]: disconnect from " in line:
                break
            place += len(mark)
        return list(lines)

    # --- second pass -----------------------------------------------------------------------------------------

    def count_successes(self, block: bytes, number: int) -> None:
        """Second pass over one block: `chosen` holds the addresses that are followed one by one.

        All lanes are counted together: these two loops run for every session of a large log.
        """
        find, chosen, counted = block.find, self.chosen, self.tails
        found = self.search.places(block, _ESTABLISHED)
        self.established += len(found)
        for at in found:
            if block[at + 32] == 0x5B:  # [: tlsproxy names no client; its lines are odd ones
                self.established -= 1
                continue
            client_end = find(b"]", at)
            end = find(b"\n", client_end)
            tail = block[client_end:end]
            try:
                counted[tail] += 1
            except KeyError:
                self._new_tail(tail)
            if block[find(b"[", at) + 1 : client_end] in chosen:
                self._follow(block, at, end, number)
        self._count_ends(block, number)

    def _count_ends(self, block: bytes, number: int) -> None:
        find, chosen = block.find, self.chosen
        refused = ended = plain = 0
        for at in self.search.places(block, _DISCONNECT):
            end = find(b"\n", at)
            starttls = find(b" starttls=", at + 24, end)
            if starttls >= 0:
                ended += 1
                refused += block.startswith(b" starttls=0/", starttls)
            elif block[find(b"/smtpd[", at - 16, at) - 1] == _X:
                plain += 1
            else:
                self._plain_elsewhere(block, at)
            if block[find(b"[", at + 19) + 1 : find(b"]", at + 19)] in chosen:
                self._follow(block, at, end, number)
        self.plain += plain
        self.ended_tls += ended - refused
        self.ended_refused += refused

    def _plain_elsewhere(self, block: bytes, at: int) -> None:
        """An end without STARTTLS at a service of another name: in wrapper mode it is no plaintext session."""
        head = self._head(block, at)
        if head is not None and Program(head.rsplit(b" ", 1)[-1]).service is not Service.SMTPS:
            self.plain += 1

    def _head(self, block: bytes, at: int) -> bytes | None:
        """`host tag` of the line that has `]: ` at this place, or a trust word before it; None: a stranger's words."""
        start = block.rfind(b"\n", 0, at) + 1 + self.width
        head_end = block.find(b"]: ", start, at + 3)
        if head_end < 0 or at - head_end > 13:
            return None
        return block[start : block.find(b"[", start, head_end)]

    def _follow(self, block: bytes, at: int, end: int, number: int) -> None:
        """Count a line of a chosen address by its text."""
        head = self._head(block, at)
        if head is None:
            return
        if block[at] != 0x5D:  # ]
            shapes = self.lane(head)
            shapes.count(shapes.established, block[at:end], number, SHAPES)
        else:
            self._end_followed(head, block[at + 3 : end], number)

    def _new_tail(self, tail: bytes) -> None:
        counted = self.tails
        if len(counted) >= TAILS or tail[:3] != b"]: ":  # ports and SNI names make every tail another
            match = SUITE.search(tail)
            tail = match[0] if match is not None else b""
        counted[tail] = counted.get(tail, 0) + 1

    def _end_followed(self, host_and_tag: bytes, text: bytes, number: int) -> None:
        if b" starttls=" not in text:
            shapes = self.lane(host_and_tag)
            shapes.count(shapes.ended, text, number, SHAPES)
        elif b" starttls=0/" not in text and delivered(text):
            self.mails[host_and_tag, text[16 : text.find(b"]") + 1]] += 1

    # --- both parts ------------------------------------------------------------------------------------------

    def end_failures(self, later: Skim | None) -> None:
        """The first pass is done: take the later part's failures, and close what is open."""
        if later is not None:
            for source, session in list(self.pending.items()):
                reason = later.orphans.get(source)
                if reason is not None:
                    session.messages.append(reason[0])
                    session.lines.append(reason[1])
                    if reason[2] >= 0:
                        later.alerts[reason[2]] = []  # not an alert behind a success after all
            self._close_pending()
            later._close_pending()
            offset = len(self.stamps)
            for host_and_tag, shapes in later.lanes.items():
                self.lane(host_and_tag).join_rows(shapes, offset)
            self.logins.join_rows(later.logins, offset)
            self.stamps.extend(later.stamps)
            self.odd.extend(later.odd)
            self.alerts.extend(later.alerts)
            self.failures += later.failures
            self.logins.read += later.logins.read
        self._close_pending()

    def _close_pending(self) -> None:
        for source, session in self.pending.items():
            self._close(session, source[: source.rfind(b"[")])
        self.pending.clear()

    def end_successes(self, later: Skim | None, offset: int) -> None:
        """The second pass is done: take the later part's counts; its blocks have numbers from `offset` on."""
        if later is not None:
            for host_and_tag, shapes in later.lanes.items():
                self.lane(host_and_tag).join_rows(shapes, offset)
            for tail, count in later.tails.items():
                self.tails[tail] = self.tails.get(tail, 0) + count
            self.plain += later.plain
            self.mails.update(later.mails)
            self.established += later.established
            self.ended_tls += later.ended_tls
            self.ended_refused += later.ended_refused

    def give_mails(self) -> None:
        """Which of a client's successes delivered is not known: its first rows take the mails."""
        left = Counter(self.mails)
        for host_and_tag, shapes in self.lanes.items():
            for text, row in shapes.established.items():
                client = (host_and_tag, text[32 : text.find(b"]") + 1])
                row[MAILS] = min(left[client], row[0])
                left[client] -= row[MAILS]

    def understood(self) -> int:
        """How many lines said something of TLS."""
        logins: int = sum(row[0] for row in self.logins.logins.values())
        return self.established + self.ended_tls + self.ended_refused + self.plain + self.failures + logins

    @property
    def regular(self) -> bool:
        """Tell whether the passes fit together, so that nothing was overlooked."""
        unseen_successes = self.ended_tls - self.established - len(self.alerts)
        unseen_refusals = self.ended_refused - self.failures
        return unseen_successes <= 20 + self.ended_tls // 100 and unseen_refusals <= 20 + self.ended_refused // 100

    def suites(self) -> Counter[tuple[str, str]]:
        """Count all successes by version and cipher, those of followed peers too."""
        found: Counter[tuple[str, str]] = Counter()
        for tail, count in self.tails.items():
            match = SUITE.search(tail)
            if match is not None:
                found[match[1].decode(), match[2].decode("ascii", "replace")] += count
        return found


def _line_at(text: bytes, place: int) -> bytes | None:
    """The line that this place is in; None for no place (-1)."""
    return text[text.rfind(b"\n", 0, place) + 1 : text.find(b"\n", place)] if place >= 0 else None
