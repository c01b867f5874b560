"""The sieve: a large log in blocks, counted by the shape of its sessions instead of line by line.

On a busy server nearly every session is one of a few shapes, and almost all lines say nothing of TLS. The sieve finds
the lines that matter with two scans of each block, puts sessions together by pid, and counts equal sessions of equal
clients without understanding them: the text behind the tag is the key. `crowd.Crowd` later gives one example of each
shape to the assembler; its verdict counts as often as the shape was seen. So what is fast here is decided in one place.

Only the lane (host and tag of smtpd) that has most lines goes this way. Lines of other smtpd services, of tlsproxy,
and whatever is rare (`odd`) are handed to the assembler in full. Not for small logs, other header forms, or Postfix
before 3.0 (no statistics): there every line goes through the assembler.

BUGS: a process that says in the first half of a log that its TLS is broken is not known in the second. Times of
successful and plaintext sessions are those of their block (256 kB), failed handshakes have exact ones. After a lost
`disconnect` line the next plaintext session of that process may go uncounted. Dovecot's fatal lines that do not name
a protocol are only seen by the assembler.

SECURITY: keys are strangers' text: at most `SHAPES` of each kind are kept, what is beyond is counted as left out.
"""

from __future__ import annotations

import re
from collections import Counter, deque

from mailtls.core.marks import Marker
from mailtls.core.postfixlog import BEHIND_GATEWAY, FAULT_MARKS
from mailtls.core.search import PLAIN, Search
from mailtls.core.shape import MAILS, TEXT, Shapes, Trouble, delivered

SHAPES = 120_000
OPEN = 50_000  # sessions open at once
LOOKED_UP = 2_000  # kinds of failure whose lines are searched for; those of later ones are put together

_LANES = re.compile(rb"^(?=(.{15,40}? )(\S{1,255} \S{0,100}smtpd)\[\d{1,7}\]: )", re.MULTILINE)
_LANE_STAMP = re.compile(
    rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) "
)
_BEHIND_GATEWAY = b"/%b/" % BEHIND_GATEWAY.encode()  # the gateway itself tells of those sessions
_STATISTICS = re.compile(rb"\]: disconnect from \S+ [a-z]+=\d")


def find_lane(block: bytes) -> tuple[bytes, int] | None:
    """Find the lane that has most lines in this first block: `host tag` and the width of its stamps; or None."""
    found: Counter[tuple[bytes, int]] = Counter()
    for stamp, host_and_tag in _LANES.findall(block):
        if _LANE_STAMP.fullmatch(stamp) and _BEHIND_GATEWAY not in host_and_tag:
            found[host_and_tag, len(stamp)] += 1
    if not found or not _STATISTICS.search(block):
        return None
    return found.most_common(1)[0][0]


class Sieve:
    """Feed it blocks of whole lines in order; `shapes` is what came of them."""

    def __init__(self, host_and_tag: bytes, stamp_width: int, search: Search = PLAIN) -> None:
        self.shapes = Shapes(host_and_tag)
        self._search = search
        self._marker = Marker(search)
        self._prefix = b" %b[" % host_and_tag
        self._width = stamp_width - 1
        self._cursor = 0
        self._before: deque[bytes] = deque(maxlen=4)
        # A line's own header, from its beginning: the same words further on in a line are a stranger's.
        own = rb"\n" + b"." * stamp_width + re.escape(host_and_tag)
        self._sessions = re.compile(
            rb"smtpd(?:(?<=" + own + rb")\[(\d+)\]: (?:Anonymous |Untrusted |Trusted |Verified )?"
            rb"((?:disconnect from |TLS connection established from |SSL_accept error from "
            rb"|warning: TLS library problem|discarding EHLO keywords: [^\n]{0,200}STARTTLS)[^\n]*)"
            rb"|(?<!" + own + rb")(\[)\d{1,10}\]: [^\n]*)"
        )

    def feed(self, block: bytes) -> None:
        """Take one block of whole lines."""
        shapes = self.shapes
        number = shapes.begin_block(block, self._width, self._search)
        self._cursor = 0
        found = self._marks(block, number)
        items = self._sessions.findall(b"\n" + block)
        shapes.understood += len(items)
        if self._count(items, number, found, block):
            self._of_other_lanes(block)
        shapes.forget_oldest(OPEN)
        self._before.append(block)

    def _count(  # noqa: C901  (the one hot loop: a call for each branch would double its time)
        self, items: list[tuple[bytes, bytes, bytes]], number: int, found: deque[bytes], block: bytes
    ) -> bool:
        """Put the sessions of the lane together; tell whether lines of other lanes were among them.

        This loop runs for every session of a large log: what is rare is done elsewhere, and nothing is looked up twice.
        """
        shapes = self.shapes
        running, trouble = shapes.running, shapes.trouble
        pop, established, ended = running.pop, shapes.established, shapes.ended
        heads = shapes.heads if len(shapes.heads) < OPEN else None
        foreign = False
        for pid, text, other_lane in items:
            if other_lane:
                foreign = True
                continue
            first = text[0]
            if first == 0x64 and text[4] == 0x6F:  # disconnect
                row = pop(pid, None)
                if row is not None:
                    if delivered(text):
                        row[MAILS] += 1
                    continue
                if pid in trouble or b" starttls=0/" in text:
                    self._end(pid, text, number, block)
                    continue
                row = ended.get(text)
                if row is not None:
                    row[0] += 1
                    row[2] = number
                else:
                    shapes.new_row(ended, text, number, SHAPES)
                if heads is not None and pid not in heads:
                    heads[pid] = text
            elif first == 0x54:  # TLS connection established
                row = established.get(text)
                if row is not None:
                    row[0] += 1
                    row[2] = number
                else:
                    row = shapes.new_row(established, text, number, SHAPES)
                running[pid] = row
            else:
                self._rare(pid, text, number, found, block)
        return foreign

    def _rare(self, pid: bytes, text: bytes, number: int, found: deque[bytes], block: bytes) -> None:
        """A failed handshake, OpenSSL's reason, a hidden STARTTLS."""
        shapes = self.shapes
        session = shapes.trouble.get(pid)
        if text.startswith(b"SSL_accept"):
            if session is not None:
                self._close(session, block)
            shapes.running.pop(pid, None)
            line = _line_of(self._prefix + pid + b"]: ", text, found)
            shapes.trouble[pid] = Trouble(pid, [text], [line], self._stamp(line, number))
        elif text.startswith(b"warning"):
            line = _line_of(self._prefix + pid + b"]: ", text, found)
            if session is None and pid in shapes.broken:
                shapes.odd.extend([line] if line else [])
            elif session is None:
                self._reason_alone(pid, text, line, number)
            elif len(session.messages) < 3:
                session.messages.append(text)
                session.lines.append(line)
                session.stamp = self._stamp(line, number)
        elif session is None:
            shapes.trouble[pid] = Trouble(pid, [text], [None], shapes.stamps[number][0])

    def _reason_alone(self, pid: bytes, text: bytes, line: bytes | None, number: int) -> None:
        """OpenSSL's error without `SSL_accept error`: behind a handshake, or of a session begun elsewhere."""
        shapes = self.shapes
        done = shapes.running.pop(pid, None)
        if done is None:
            shapes.trouble[pid] = Trouble(pid, [text], [line], self._stamp(line, number))
            return
        done[0] -= 1
        shapes.trouble[pid] = Trouble(pid, [done[TEXT], text], [None, line], self._stamp(line, number))

    def _stamp(self, line: bytes | None, number: int) -> bytes:
        return line[: self._width] if line is not None else self.shapes.stamps[number][0]

    def _end(self, pid: bytes, text: bytes, number: int, block: bytes) -> None:
        """The `disconnect` of a session that is not one of the plain shapes."""
        shapes = self.shapes
        session = shapes.trouble.pop(pid, None)
        if session is None:
            session = Trouble(pid, [], [], shapes.stamps[number][0])
        session.messages.append(text)
        session.lines.append(None)
        if pid in shapes.broken:
            self._find_lines(session, block)
            shapes.odd.extend(shapes.lines_of(session))
            return
        if pid not in shapes.heads and len(shapes.heads) < OPEN:
            shapes.heads[pid] = b"\0".join(session.messages)
        self._close(session, block)

    def _close(self, session: Trouble, block: bytes) -> None:
        """Count it; the first of its kind is the example, and is given its whole lines."""
        troubles = self.shapes.troubles
        if len(troubles) < LOOKED_UP and b"\0".join(session.messages) not in troubles:
            self._find_lines(session, block)
        self.shapes.close(session)

    def _find_lines(self, session: Trouble, block: bytes) -> None:
        for place, line in enumerate(session.lines):
            if line is None:
                session.lines[place] = self._whole_line(session.pid, session.messages[place], block)

    def _whole_line(self, pid: bytes, text: bytes, block: bytes) -> bytes | None:
        """The line as it stands in this block or those before; None where it is gone.

        Ends are looked for in their order, so each search goes on where the last one in this block succeeded.
        """
        source = self._prefix + pid + b"]: "
        ends = text.startswith(b"disconnect")
        found = _find_line(block, source, text, self._cursor if ends else 0)
        if found is not None:
            if ends:
                self._cursor = found[1]
            return found[0]
        for place in () if ends else reversed(self._before):
            found = _find_line(place, source, text, 0)
            if found is not None:
                return found[0]
        return None

    def _of_other_lanes(self, block: bytes) -> None:
        """Hand all lines of other lanes to the assembler."""
        for match in self._sessions.finditer(b"\n" + block):
            if match[3]:
                start = block.rfind(b"\n", 0, max(match.start() - 1, 0)) + 1
                self.shapes.add_odd(block[start : match.end() - 1])

    def _marks(self, block: bytes, number: int) -> deque[bytes]:
        """Count logins, keep odd lines; return the lines of failed handshakes, in order, for their stamps."""
        shapes = self.shapes
        marks = self._marker.marks(block)
        shapes.understood += len(marks.logins)
        for key in marks.logins:
            shapes.count(shapes.logins, key, number, SHAPES)
        for line in marks.odd:
            shapes.add_odd(line)
            if line.startswith(self._prefix, self._width) and any(mark in line for mark in FAULT_MARKS):
                shapes.broken.add(line[self._width + len(self._prefix) : line.find(b"]: ")])
        return deque(marks.handshakes)


def _line_of(source: bytes, text: bytes, lines: deque[bytes]) -> bytes | None:
    """Take the next of `lines`, all in the order of the log, that is of this process and ends with this text."""
    while lines:
        line = lines.popleft()
        if line.endswith(text) and source in line:
            return line
    return None


def _find_line(place: bytes, source: bytes, text: bytes, start: int) -> tuple[bytes, int] | None:
    """Find the whole line of this process that ends with this text, at or behind `start`; and where it was."""
    at = place.find(text, start)
    while at >= 0:
        line = place[place.rfind(b"\n", 0, at) + 1 : place.find(b"\n", at)]
        if source in line:
            return line, at
        at = place.find(text, at + len(text))
    return None
