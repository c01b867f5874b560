"""Marks: the lines of a block that say something of TLS, other than successes and ends of sessions.

Every marker in capitals has an L that few other words of a mail log have. TLS bytes sent to a plaintext port are
printed with backslashes, which are rarer still. Lines of Dovecot's login processes are the bulk of it: those of the
usual forms become keys without being looked at one by one, all others go to the assembler.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailtls.core.postfixlog import FAULT_MARKS
from mailtls.core.search import Search

# Dovecot's login-common/client-common.c (client_log) with the usual login_log_format_elements: program, first letters,
# address and TLS state. A user name with `<>,` is none of the usual forms: it might hold a `rip=` of its own. Any other
# line of a login process that has a mark (the last group) is for the assembler.
_LOGINS = (
    rb"-login(?:: (?:(?<= (imap)-login: )|(?<= (pop3)-login: )|(?<= (managesieve)-login: )|(?<= (submission)-login: ))"
    rb"([^\n\x00<]{5})[^\n\x00<]*+<[^\n\x00<>,]*+>, (?:method=[^\n\x00 <>,]*+, )?rip=([^\n\x00 <>,]++),"
    rb" lip=[^\n\x00 <>,]++, (?:mpid=\d++, )?(TLS(?:[^\n\x00<>]*?: error:[^\n\x00<>]*?)??)"
    rb"(?=(?:, session=<[^\n\x00<>]*+>)?\n)"
    rb"|([^\n]*LS(?:[,:]| handshaking|(?=\n)))?[^\n]*+)",
    b"%b%b%b%b\0%b\0%b\0%b%b\n",
)
_FAILED = rb"LS (?:library problem: |handshake failed|support|connection established from \[)"
_ACCEPT = rb"SL(?:_accept error from | server c|v[23]'|: Stacked)"
_CLIENT_HELLO = b"\\026\\003"
_GREETING = rb"while receiving the initial server greeting"
_LOGIN_MARKS = (b"LS,", b"LS:", b"LS handshaking")


@dataclass(slots=True)
class Marks:
    """Of one block. `logins`: program, first letters, address and TLS state, joined with NUL, for each usual line.

    `handshakes`: lines of `SSL_accept error` and of OpenSSL, in order. `odd`: lines for the assembler.
    """

    logins: list[bytes]
    handshakes: list[bytes]
    odd: list[bytes]


class Marker:
    """Finds the marks of one block after the other."""

    def __init__(self, search: Search) -> None:
        self._logins = search.gatherer(*_LOGINS)
        self._failed = search.finder(_FAILED)
        self._accept = search.finder(_ACCEPT)
        self._greetings = search.finder(_GREETING)

    def marks(self, block: bytes) -> Marks:
        """Find the marks of a block of whole lines."""
        found = Marks([], [], [])
        self._find_logins(block, found)
        self._find_failures(block, found)
        _find_client_hellos(block, found)
        found.odd.extend(_line_at(block, at) for at in self._greetings(block))
        return found

    def _find_logins(self, block: bytes, found: Marks) -> None:
        many, text = self._logins(block)
        if not many:
            return
        keys = text.split(b"\n")
        keys.pop()
        if b"\n\0" in text or text[0] == 0:
            place = 0
            for odd in [key[3:] for key in keys if key[0] == 0 and len(key) > 3]:
                place = block.find(b"-login" + odd, place)
                found.odd.append(_line_at(block, place))
                place += 1
            keys = [key for key in keys if key[0]]
        found.logins = keys

    def _find_failures(self, block: bytes, found: Marks) -> None:
        end = 0
        for at in sorted(self._failed(block) + self._accept(block)):
            if at < end:
                continue
            start = block.rfind(b"\n", 0, at) + 1
            end = block.find(b"\n", at)
            library = block.startswith(b"LS library problem: ", at)
            if library and block.find(b"SSL routines", at, end) < 0:
                _add_fault(found.odd, block, start, end)
            elif block.startswith(b"SL_accept", at) or (library and block.find(b"/tlsproxy[", start, at) < 0):
                found.handshakes.append(block[start:end])
            elif block.find(b"-login", start, at) < 0 or not any(mark in block[start:at] for mark in _LOGIN_MARKS):
                _add_odd(found.odd, block, start, end)


def _find_client_hellos(block: bytes, found: Marks) -> None:
    """Backslashes are so rare that looking for them one by one is faster than any pattern."""
    at = block.find(b"\\")
    while at >= 0:
        end = block.find(b"\n", at)
        if block.startswith(_CLIENT_HELLO, at):
            found.odd.append(_line_at(block, at))
        at = block.find(b"\\", end) if end >= 0 else -1


def _add_odd(odd: list[bytes], block: bytes, start: int, end: int) -> None:
    """With tlsproxy's reason goes its next line, which names the client."""
    line = block[start:end]
    odd.append(line)
    source = line.find(b"]: ")
    if line.find(b"/tlsproxy[", 0, max(source, 0)) >= 0 and b"TLS library problem" in line:
        following = block.find(line[line.rfind(b" ", 0, source) : source + 3], end)
        if following >= 0:
            odd.append(_line_at(block, following))


def _add_fault(odd: list[bytes], block: bytes, start: int, end: int) -> None:
    """A file of the server is the trouble: the line before, of the same process, may say so without an L."""
    source_end = block.find(b"]: ", start, end)
    source = block[block.rfind(b" ", start, max(source_end, start)) : source_end + 3]
    before = block.rfind(source, 0, start)
    if before >= 0:
        line = _line_at(block, before)
        if any(mark in line for mark in FAULT_MARKS):
            _add_odd(odd, block, block.rfind(b"\n", 0, before) + 1, block.find(b"\n", before))
    _add_odd(odd, block, start, end)


def _line_at(block: bytes, at: int) -> bytes:
    return block[block.rfind(b"\n", 0, at) + 1 : block.find(b"\n", at)]
