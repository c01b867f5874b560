"""The skim: the quick way through a large log, for a report that lists only the peers that fail most.

Two passes over the blocks. The first finds what failed: `SSL_accept error`, OpenSSL's reason behind it, the lines of
Dovecot, and whatever is odd. The second (`follower`), when it is known who is to be listed, counts successes by version
and cipher and ends of sessions, and follows those of the listed peers alone. Nothing is kept of a peer that nobody
asks for, so memory does not grow with the log.

`regular` tells after both whether the counts fit together: successes without an `established` line
(smtpd_tls_loglevel = 0), or refused STARTTLS without `SSL_accept error`, need the sieve, which follows every session.

BUGS: as the sieve; and nothing tells that STARTTLS was hidden from a peer.
"""

from __future__ import annotations

import re
from collections import Counter, deque

from mailtls.core.cause import Service
from mailtls.core.follower import Follower
from mailtls.core.logincrowd import failed_logins
from mailtls.core.marks import Marker
from mailtls.core.postfixlog import FAULT_MARKS, Program
from mailtls.core.search import PLAIN, Search
from mailtls.core.shape import LAST, MAILS, Shapes, Trouble, address_in
from mailtls.core.sieve import SHAPES

SUITE = re.compile(rb": ((?:TLS|SSL)v[\d.]{1,4}) with cipher (\S{1,80})")
PENDING = 50_000
BEGINNING = 4  # blocks in which the reason of a failure may stand that the part of the log before this one ended with
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
        self.suites: Counter[bytes] = Counter()
        self.plain = 0
        self.failures = 0
        self.ended_tls = 0
        self.ended_refused = 0
        self.established = 0
        self._failing_lanes: dict[bytes, tuple[Shapes, int]] = {}  # and what one failure there counts
        self._before: deque[bytes] = deque([b""], maxlen=2)
        self._marker = Marker(search)

    def lane(self, host_and_tag: bytes) -> Shapes:
        """The shapes of one tag."""
        shapes = self.lanes.get(host_and_tag)
        if shapes is None:
            shapes = self.lanes[host_and_tag] = Shapes(host_and_tag)
            shapes.stamps = self.stamps
        return shapes

    # --- first pass ------------------------------------------------------------------------------------------

    def read(self, block: bytes) -> None:
        """Take one block of whole lines."""
        number = self.logins.begin_block(block, self.width - 1, self.search)
        self._find_failures(block, number)
        self._before.append(block)

    def _find_failures(self, block: bytes, number: int) -> None:
        marks = self._marker.marks(block)
        rows = self.logins.logins
        for key in marks.logins:
            row = rows.get(key)
            if row is not None:
                row[0] += 1
                row[LAST] = number
            else:
                self.logins.new_row(rows, key, number, SHAPES)
        for line in marks.odd:
            self.odd.append(line)
            if any(mark in line for mark in FAULT_MARKS) and len(self.broken) < PENDING:
                self.broken.add(line[self.width : line.find(b"]: ")])
        for line in marks.handshakes:
            self._handshake(line, block)
        while len(self.pending) > PENDING:
            source = next(iter(self.pending))
            self._close(self.pending.pop(source), source[: source.rfind(b"[")])

    def _handshake(self, line: bytes, block: bytes) -> None:
        """A line of `SSL_accept error` or of OpenSSL, of whatever program."""
        width = self.width
        end = line.find(b"]: ")
        source = line[width:end]
        name = source.rfind(b"[")
        if source[name - 5 : name] != b"smtpd" or name < 5:
            return
        if source in self.broken:
            self.odd.append(line)  # whatever the reason sounds like, it is not the peer's: the assembler knows
            return
        text = line[end + 3 :]
        before = self.pending.pop(source, None)
        if text.startswith(b"SSL_accept error from "):
            if before is not None:
                self._close(before, source[:name])
            session = Trouble(source[name + 1 :], [text], [line], line[: width - 1])
            if text.endswith((b": -1", b": 0")):
                self.pending[source] = session  # the reason follows
            else:
                self._close(session, source[:name])
        elif not text.startswith(b"warning: TLS library problem"):
            if before is not None:
                self.pending[source] = before
        elif before is not None:
            before.messages.append(text)
            before.lines.append(line)
            before.stamp = line[: width - 1]
            self._close(before, source[:name])
        else:
            self._reason_alone(source, text, line, block)

    def _close(self, session: Trouble, host_and_tag: bytes) -> None:
        lane = self._failing_lanes.get(host_and_tag)
        if lane is None:
            at_starttls = Program(host_and_tag.rsplit(b" ", 1)[-1]).service is not Service.SMTPS
            lane = self._failing_lanes[host_and_tag] = (self.lane(host_and_tag), int(at_starttls))
        self.failures += lane[1]
        lane[0].close(session)

    def _reason_alone(self, source: bytes, text: bytes, line: bytes, block: bytes) -> None:
        """OpenSSL's error without a failed handshake: a further one of the same failure, an alert behind a success, or
        one whose beginning stands in the part of the log before this one. Nothing is searched for any other, for there
        are thousands: clients that close without saying so."""
        if b" alert " not in text and len(self.stamps) > BEGINNING:
            return
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

    def failing(self) -> Counter[bytes]:
        """Count the failures of this part by address, as the log spells it."""
        found: Counter[bytes] = Counter()
        for shapes in self.lanes.values():
            for key, (counts, _, _) in shapes.troubles.items():
                found[address_in(key)] += counts[0]
        for session in self.pending.values():
            found[address_in(session.messages[0])] += 1
        found.update(failed_logins(self.logins.logins))
        return found

    # --- both parts ------------------------------------------------------------------------------------------

    def end(self, later: Skim | None) -> None:
        """The log is read: take what the later part of it holds, and close what is open."""
        if later is not None:
            for source, session in self.pending.items():
                reason = later.orphans.get(source)
                if reason is not None:
                    session.messages.append(reason[0])
                    session.lines.append(reason[1])
                    if reason[2] >= 0:
                        later.alerts[reason[2]] = []  # not an alert behind a success after all
            self._close_pending()
            later._close_pending()
            self._join(later)
        self._close_pending()

    def _join(self, later: Skim) -> None:
        offset = len(self.stamps)
        for host_and_tag, shapes in later.lanes.items():
            self.lane(host_and_tag).join_rows(shapes, offset)
        self.logins.join_rows(later.logins, offset)
        self.logins.read += later.logins.read
        self.stamps.extend(later.stamps)
        self.odd.extend(later.odd)
        self.alerts.extend(later.alerts)
        self.failures += later.failures

    def _close_pending(self) -> None:
        for source, session in self.pending.items():
            self._close(session, source[: source.rfind(b"[")])
        self.pending.clear()

    def take(self, follower: Follower) -> None:
        """Take what was counted of all, and the sessions of those who were followed.

        Which of a client's successes delivered is not known: its first rows take the mails.
        """
        self.suites = follower.suites
        self.plain, self.established = follower.plain, follower.established
        self.ended_tls, self.ended_refused = follower.ended_tls, follower.ended_refused
        lanes, left = follower.lanes()
        for host_and_tag, shapes in lanes.items():
            self.lane(host_and_tag).join_rows(shapes, 0)
        self.logins.left_out += follower.left_out
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


def _line_at(text: bytes, place: int) -> bytes | None:
    """The line that this place is in; None for no place (-1)."""
    return text[text.rfind(b"\n", 0, place) + 1 : text.find(b"\n", place)] if place >= 0 else None
