"""Hellos out of captured segments: each client's bytes put in order, up to the first that are TLS.

TLS begins at once (port 465), or behind the line STARTTLS (RFC 3207). What the server says is not needed. A capture may
have begun in the middle of a connection, lost segments, or cut them (`snaplen`): the hello is then read up to the gap,
and is truncated.

SECURITY: memory is bounded by `MOST` connections and `BUDGET` bytes (the oldest connections are given up), work by
looking at a hello again only when it may have become whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mailtls.core.clienthello import LONGEST, ClientHello, read_hello
from mailtls.core.segment import Segment

PORTS = frozenset({25, 465, 587})
MOST = 16_384  # connections that are followed at a time
BUDGET = 1 << 25  # bytes that wait for more, of all connections together
_LONGEST_LINE = 4096
_LONGEST_TALK = 1 << 15  # bytes before STARTTLS; RFC 5321 section 4.5.3.1 has 512 to a line
_AHEAD = 64  # segments that wait for one that is missing
_MODULUS = 1 << 32
_ENDS_OF_HOPE = (b"DATA", b"BDAT")  # a message follows, whose lines mean nothing

_Ends = tuple[str, int, str, int]


@dataclass(frozen=True, slots=True)
class CapturedHello:
    """One hello with its connection. `at`: seconds since 1970; `starttls`: it came behind that line."""

    at: float | None
    peer: str
    peer_port: int
    server: str
    server_port: int
    starttls: bool
    hello: ClientHello


@dataclass(slots=True)
class _Connection:
    """The bytes of one client so far.

    `place`: where its next line, or its TLS, begins; `enough`: how many bytes there must be to look again.
    """

    at: float | None
    next: int
    data: bytearray = field(default_factory=bytearray)
    ahead: dict[int, bytes] = field(default_factory=dict)
    place: int = 0
    enough: int = 0
    starttls: bool = False
    over: bool = False

    @property
    def size(self) -> int:
        return len(self.data) + sum(map(len, self.ahead.values()))


class HelloFinder:
    """Takes segments, gives hellos. `connections`: how many were seen; `given_up`: how many there was no room for."""

    def __init__(self, ports: Collection[int] = PORTS) -> None:
        """Listen to clients of these ports."""
        self.connections = 0
        self.given_up = 0
        self._ports = frozenset(ports)
        self._open: OrderedDict[_Ends, _Connection] = OrderedDict()
        self._held = 0

    def feed(self, segment: Segment) -> Iterator[CapturedHello]:
        """Take a segment; give the hello that it completes."""
        if segment.target_port not in self._ports or segment.source_port in self._ports:
            return
        ends = (segment.source, segment.source_port, segment.target, segment.target_port)
        if segment.begins:
            yield from self._leave(ends)
        connection = self._open.get(ends)
        if connection is None:
            if not segment.data and not segment.begins:
                return
            connection = self._enter(ends, segment)
        if not connection.over:
            before = connection.size
            _append(connection, segment)
            yield from self._look(ends, connection, last=False)
            self._held += connection.size - before
            self._keep_within_budget()
        if segment.ends:
            yield from self._leave(ends)

    def close(self) -> Iterator[CapturedHello]:
        """Give the hellos that were never completed."""
        for ends in list(self._open):
            yield from self._leave(ends)

    def _enter(self, ends: _Ends, segment: Segment) -> _Connection:
        if len(self._open) >= MOST:
            self._forget_oldest()
        self.connections += 1
        connection = _Connection(segment.at, (segment.sequence + segment.begins) % _MODULUS)
        self._open[ends] = connection
        return connection

    def _leave(self, ends: _Ends) -> Iterator[CapturedHello]:
        connection = self._open.get(ends)
        if connection is not None:
            self._held -= connection.size
            del self._open[ends]
            if not connection.over:
                yield from self._look(ends, connection, last=True)

    def _keep_within_budget(self) -> None:
        while self._held > BUDGET:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, oldest = self._open.popitem(last=False)
        self._held -= oldest.size
        self.given_up += not oldest.over

    def _look(self, ends: _Ends, connection: _Connection, last: bool) -> Iterator[CapturedHello]:
        """Give the hello if it is there, whole or, at the end, as far as it is."""
        _skip_talk(connection)
        have = len(connection.data) - connection.place
        if connection.over or have < (1 if last else max(connection.enough, 5)):
            return
        first = bytes(connection.data[connection.place :])
        hello = read_hello(first)
        if hello is not None and (last or not hello.truncated or have >= LONGEST):
            _give_up(connection)
            yield CapturedHello(connection.at, *ends, connection.starttls, hello)
        elif first[0] == 0x16 or first[0] & 0x80:
            whole = int.from_bytes(first[3:5], "big") + 5 if first[0] == 0x16 else 0
            connection.enough = whole if whole > have else 2 * have
        elif connection.starttls:
            _give_up(connection)  # plain text, or anything else


def _append(connection: _Connection, segment: Segment) -> None:
    """Put the segment where it belongs; what comes twice counts once, the first time."""
    if segment.data:
        start = (segment.sequence + segment.begins) % _MODULUS
        if len(connection.ahead) < _AHEAD and connection.size < 2 * LONGEST:
            connection.ahead.setdefault(start, segment.data)
        connection.at = segment.at if not connection.data else connection.at
    found = True
    while found and len(connection.data) < LONGEST:
        found = False
        for start, data in list(connection.ahead.items()):
            behind = (connection.next - start) % _MODULUS
            if behind >= _MODULUS // 2:
                continue  # it lies ahead of a gap
            del connection.ahead[start]
            if behind < len(data):
                connection.data += data[behind:]
                connection.next = (connection.next + len(data) - behind) % _MODULUS
                found = True


def _skip_talk(connection: _Connection) -> None:
    """Go over the lines of SMTP, to what follows STARTTLS or is TLS at once."""
    data = connection.data
    while not connection.starttls and not connection.over and connection.place < len(data):
        if data[connection.place] == 0x16 or data[connection.place] & 0x80:
            return
        end = data.find(b"\n", connection.place)
        if end < 0:
            if len(data) - connection.place > _LONGEST_LINE:
                _give_up(connection)
            return
        line = bytes(data[connection.place : end]).strip().upper()
        connection.place = end + 1
        connection.starttls = line == b"STARTTLS"
        if end > _LONGEST_TALK or line.startswith(_ENDS_OF_HOPE):
            _give_up(connection)


def _give_up(connection: _Connection) -> None:
    connection.over = True
    connection.data = bytearray()
    connection.ahead = {}
