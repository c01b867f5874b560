"""Marks: the lines of a block that say something of TLS, other than successes and ends of sessions.

One scan finds them all: every marker in capitals has an L that few other words of a mail log have. TLS bytes sent to a
plaintext port are printed with backslashes, which are rarer still.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mailtls.core.postfixlog import FAULT_MARKS

_MARKS = re.compile(
    rb"L(?:S(?: (?:(library problem: )|handshake failed|support|connection established from \[)|([,:\n]| handshaking))"
    rb"|(_accept error from )| server c|v[23]'|: Stacked)"
)
_LIBRARY, _LOGIN, _ACCEPT = 1, 2, 3
_GREETING = b"while receiving the initial server greeting"


class Login(NamedTuple):
    """Place of a line of Dovecot's login processes in its block; `at`: of the L of its `TLS`."""

    start: int
    at: int
    end: int

    def key(self, block: bytes) -> bytes | None:
        """Program, first word, address and TLS state, joined with NUL; None where the line is not of the plain forms.

        The address is the last `rip=` of the line: what stands before it may be the client's text.
        """
        address = block.rfind(b"rip=", self.start, self.end)
        program = block.find(b"-login: ", self.start, max(address, self.start))
        if address < 0 or address > self.at or program < 0:
            return None
        state = block[self.at - 1 : self.end]
        session = state.rfind(b", session=<")
        if session >= 0:
            state = state[:session]
        comma = block.find(b",", address)
        if state[:3] != b"TLS" or (len(state) > 3 and b": error:" not in state) or not 0 <= comma <= self.at:
            return None
        return b"%b\0%b\0%b\0%b" % (
            block[block.rfind(b" ", self.start, program) + 1 : program],
            block[program + 8 : program + 13],
            block[address + 4 : comma],
            state,
        )

    def is_one(self, block: bytes) -> bool:
        """Tell whether a login process wrote the line at all (a queue id may end in `LS:`)."""
        return block.find(b"-login", self.start, self.end) >= 0


class Marks:
    """Of one block. `handshakes`: lines of `SSL_accept error` and of OpenSSL, in order. `odd`: for the assembler."""

    __slots__ = ("handshakes", "logins", "odd")

    def __init__(self, block: bytes) -> None:
        self.logins: list[Login] = []
        self.handshakes: list[bytes] = []
        self.odd: list[bytes] = []
        end = 0
        for match in _MARKS.finditer(block):
            at = match.start()
            if at < end:
                continue
            kind = match.lastindex
            start = block.rfind(b"\n", 0, at) + 1
            end = block.find(b"\n", at)
            if end < 0:
                end = len(block)
            if kind == _LOGIN:
                self.logins.append(Login(start, at, end))
            elif kind == _LIBRARY and block.find(b"SSL routines", at, end) < 0:
                self._add_fault(block, start, end)
            elif kind == _ACCEPT or (kind == _LIBRARY and block.find(b"/tlsproxy[", start, at) < 0):
                self.handshakes.append(block[start:end])
            else:
                self._add_odd(block, start, end)
        self._find_rare(block)

    def _add_odd(self, block: bytes, start: int, end: int) -> None:
        """With tlsproxy's reason goes its next line, which names the client."""
        line = block[start:end]
        self.odd.append(line)
        source = line.find(b"]: ")
        if line.find(b"/tlsproxy[", 0, max(source, 0)) >= 0 and b"TLS library problem" in line:
            following = block.find(line[line.rfind(b" ", 0, source) : source + 3], end)
            if following >= 0:
                start = block.rfind(b"\n", 0, following) + 1
                self.odd.append(block[start : block.find(b"\n", following)])

    def _add_fault(self, block: bytes, start: int, end: int) -> None:
        """A file of the server is the trouble: the line before, of the same process, may say so without an L."""
        source_end = block.find(b"]: ", start, end)
        source = block[block.rfind(b" ", start, max(source_end, start)) : source_end + 3]
        before = block.rfind(source, 0, start)
        if before >= 0 and any(mark in block[before : block.find(b"\n", before)] for mark in FAULT_MARKS):
            self._add_odd(block, block.rfind(b"\n", 0, before) + 1, block.find(b"\n", before))
        self._add_odd(block, start, end)

    def _find_rare(self, block: bytes) -> None:
        at = block.find(b"\\")
        while at >= 0:
            end = block.find(b"\n", at)
            if block.startswith(b"\\026\\003", at):
                self.odd.append(block[block.rfind(b"\n", 0, at) + 1 : end])
            at = block.find(b"\\", end) if end >= 0 else -1
        at = block.find(_GREETING)
        while at >= 0:
            end = block.find(b"\n", at)
            self.odd.append(block[block.rfind(b"\n", 0, at) + 1 : end])
            at = block.find(_GREETING, end)
