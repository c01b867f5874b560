"""What the gateway says before TLS: Postfix speaks, and the gateway adds STARTTLS to what it offers.

Sans-IO: bytes go in, actions come out. Client and Postfix take turns, one command and one reply, so that nothing that
a client sends too early is ever handed on. Only harmless commands reach Postfix; the first that begins a transaction
makes the session a plain one for good, or is refused where TLS is demanded. After START_TLS this dialogue is over:
Postfix is connected to anew, which is RFC 3207's reset of everything that was known (section 4.2).

SECURITY: bytes that stand behind STARTTLS in the buffer were sent by somebody who does not wait for TLS, or who puts
words into a client's mouth; the connection ends. AUTH and whatever Postfix should not be offered before TLS are
taken out of its reply to EHLO. Lines and replies have bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

LONGEST_LINE = 2048
"""Bytes of one command (RFC 5321 4.5.3.1.4 asks for 512; extensions add to it)."""

LONGEST_REPLY = 64 * 1024

MOST_REFUSED = 20
"""Commands that the gateway refuses by itself, in one session; as Postfix's smtpd_hard_error_limit."""

HARMLESS = frozenset({b"EHLO", b"HELO", b"NOOP", b"RSET", b"QUIT", b"HELP", b"VRFY"})
HIDDEN = frozenset({b"AUTH", b"PIPELINING", b"CHUNKING", b"XCLIENT", b"XFORWARD", b"STARTTLS", b"ETRN"})

READY = b"220 2.0.0 Ready to start TLS\r\n"
NOT_READY = b"501 5.5.4 Syntax: STARTTLS\r\n"
TLS_FIRST = b"530 5.7.0 Must issue a STARTTLS command first\r\n"
TOO_EARLY = b"421 4.7.0 Error: data behind STARTTLS, closing\r\n"
TOO_MANY = b"421 4.7.0 Error: too many errors\r\n"
TOO_LONG = b"421 4.5.2 Error: line too long, closing\r\n"
UNAVAILABLE = b"421 4.3.2 Service not available, try again later\r\n"


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send this to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ToPostfix:
    """Send this to Postfix."""

    data: bytes


class Turn(Enum):
    """What is done when everything before it was sent."""

    START_TLS = auto()
    """Forget this connection to Postfix, and begin TLS with the client."""
    PLAIN = auto()
    """From now on pass on whatever comes, both ways."""
    END = auto()
    """Close both."""


Action = ToClient | ToPostfix | Turn


class _Awaited(Enum):
    GREETING = auto()
    COMMAND = auto()
    REPLY = auto()
    REPLY_TO_EHLO = auto()
    REPLY_TO_QUIT = auto()


@dataclass(slots=True)
class GatewayDialogue:
    """One client before TLS. `demand_tls`: nothing is taken from it in clear."""

    demand_tls: bool = False
    _awaited: _Awaited = _Awaited.GREETING
    _from_client: bytearray = field(default_factory=bytearray)
    _reply: bytearray = field(default_factory=bytearray)
    _refused: int = 0
    _over: bool = False

    @property
    def wants_client(self) -> bool:
        """Tell whether the client is to be read: it is its turn."""
        return self._awaited is _Awaited.COMMAND and not self._over

    def from_client(self, data: bytes) -> tuple[Action, ...]:
        """Take in bytes of the client."""
        self._from_client += data
        return tuple(self._obeyed())

    def from_postfix(self, data: bytes) -> tuple[Action, ...]:
        """Take in bytes of Postfix; none: it has closed the connection."""
        if self._over:
            return ()
        self._reply += data
        whole = is_whole_reply(self._reply)
        if not whole and data and len(self._reply) <= LONGEST_REPLY:
            return ()
        reply, awaited = bytes(self._reply), self._awaited
        self._reply.clear()
        if not whole or awaited is _Awaited.COMMAND:  # cut off, endless, or said without being asked: a 421 and the end
            return self._end(reply if whole else UNAVAILABLE)
        if awaited is _Awaited.REPLY_TO_QUIT or reply.startswith(b"421"):
            return self._end(reply)
        if awaited is _Awaited.GREETING and not reply.startswith(b"2"):
            return self._end(reply)
        self._awaited = _Awaited.COMMAND
        if awaited is _Awaited.REPLY_TO_EHLO:
            reply = offered(reply)
        return (ToClient(reply), *self._obeyed())

    def _obeyed(self) -> Iterator[Action]:
        """Take the client's next command, if it is its turn."""
        while self.wants_client:
            line, end, rest = self._from_client.partition(b"\n")
            if len(line) > LONGEST_LINE:
                yield from self._end(TOO_LONG)
            if not end or self._over:
                return
            words = bytes(line).split(None, 1)
            verb = words[0].upper() if words else b""
            if verb == b"STARTTLS":
                yield from self._starttls(only=len(words) == 1, rest=bytes(rest))
            elif verb in HARMLESS or not verb:
                self._from_client = rest
                yield self._handed_on(verb, bytes(line) + end)
            elif self.demand_tls:
                self._from_client = rest
                yield from self._refuse(TLS_FIRST)
            else:
                self._over = True
                yield ToPostfix(bytes(self._from_client))
                yield Turn.PLAIN

    def _handed_on(self, verb: bytes, line: bytes) -> Action:
        kinds = {b"EHLO": _Awaited.REPLY_TO_EHLO, b"QUIT": _Awaited.REPLY_TO_QUIT}
        self._awaited = kinds.get(verb, _Awaited.REPLY)
        return ToPostfix(line)

    def _starttls(self, *, only: bool, rest: bytes) -> Iterator[Action]:
        if rest:
            yield from self._end(TOO_EARLY)
        elif not only:
            self._from_client.clear()
            yield from self._refuse(NOT_READY)
        else:
            self._over = True
            yield ToClient(READY)
            yield Turn.START_TLS

    def _refuse(self, words: bytes) -> tuple[Action, ...]:
        """Refuse a command that Postfix never hears of, and so does not count."""
        self._refused += 1
        return self._end(TOO_MANY) if self._refused > MOST_REFUSED else (ToClient(words),)

    def _end(self, last: bytes) -> tuple[Action, ...]:
        self._over = True
        return (ToClient(last), Turn.END)


def offered(reply: bytes) -> bytes:
    """Make Postfix's reply to EHLO the gateway's: with STARTTLS, and without what must wait for TLS."""
    if not reply.startswith(b"250"):
        return reply
    first, *others = reply.splitlines()
    kept = [line[4:] for line in others if _keyword(line) not in HIDDEN]
    lines = [first[4:], *kept, b"STARTTLS"]
    return b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + b"250 %s\r\n" % lines[-1]


def _keyword(line: bytes) -> bytes:
    """Give the keyword of a line of the reply; `AUTH=LOGIN` is the old spelling of `AUTH LOGIN`."""
    words = line[4:].replace(b"=", b" ").split(None, 1)
    return words[0].upper() if words else b""


def is_whole_reply(reply: bytes | bytearray) -> bool:
    """Tell whether these are one or more whole replies of SMTP: the last line has no hyphen behind its number."""
    if not reply.endswith(b"\n"):
        return False
    last = bytes(reply[:-1]).rpartition(b"\n")[2]
    return last[3:4] != b"-"
