"""The other side of the Milter protocol (version 6), as Postfix's milter/milter8.c speaks it: for tests and benchmarks.

A command is a length of four bytes, a letter, and its data. Macros go ahead of the command that they belong to.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ACTIONS, STEPS = 0x1FF, 0x1FFFFF  # whatever Postfix 3.7 offers
NO_CONNECT, NO_HELO, NO_MAIL, NO_RCPT, NO_BODY, NO_HEADERS, NO_EOH = (1 << n for n in range(7))
NR_HEADER, NO_UNKNOWN, NO_DATA, SKIP, RCPT_REJ, NR_CONNECT, NR_HELO, NR_MAIL, NR_RCPT = (1 << n for n in range(7, 16))
NR_BODY = 1 << 19
MACRO_STAGES = ("connect", "helo", "mail", "rcpt", "data", "eom", "eoh")
CONTINUE = b"c"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the milter settled for: actions, steps left out or not replied to, and the macros it wants by stage."""

    actions: int
    steps: int
    macros: Mapping[str, tuple[str, ...]]


class Mta:
    """One connection to the milter at `path`."""

    def __init__(self, path: Path, patience_s: float = 20) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience_s)
        self._socket.connect(str(path))
        self._held = b""
        self._tell(b"O", struct.pack("!III", 6, ACTIONS, STEPS))
        letter, data = self._hear()
        assert letter == b"O", letter
        _, actions, steps = struct.unpack_from("!III", data)
        self.terms = Terms(actions, steps, dict(_macros(data[12:])))

    def __enter__(self) -> Mta:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def helo(self, name: bytes, macros: Mapping[str, bytes] | None = None) -> bytes | None:
        self._define(b"H", macros)
        return self._event(b"H", name + b"\0", NO_HELO, NR_HELO)

    def mail(self, *words: bytes, macros: Mapping[str, bytes] | None = None) -> bytes | None:
        self._define(b"M", macros)
        return self._event(b"M", _strings(words), NO_MAIL, NR_MAIL)

    def rcpt(self, *words: bytes, macros: Mapping[str, bytes] | None = None) -> bytes | None:
        self._define(b"R", macros)
        return self._event(b"R", _strings(words), NO_RCPT, NR_RCPT)

    def data(self, macros: Mapping[str, bytes]) -> bytes | None:
        self._define(b"T", macros)
        return self._event(b"T", b"", NO_DATA, 0)

    def header(self, name: bytes, value: bytes) -> bytes | None:
        return self._event(b"L", _strings((name, value)), NO_HEADERS, NR_HEADER)

    def body(self, piece: bytes) -> bytes | None:
        return self._event(b"B", piece, NO_BODY, NR_BODY)

    def end(self) -> tuple[bytes, list[bytes]]:
        """Give the reply at the end of the message, and the edits before it."""
        self._tell(b"E", b"")
        edits = []
        while True:
            letter, data = self._hear()
            if letter not in b"hmi+-be":
                return letter + data, edits
            edits.append(letter + data)

    def abort(self) -> None:
        self._tell(b"A", b"")

    def quit(self) -> None:
        self._tell(b"Q", b"")

    def _define(self, letter: bytes, macros: Mapping[str, bytes] | None) -> None:
        if macros is not None:
            pairs = (word for name, value in macros.items() for word in (name.encode(), value))
            self._tell(b"D", letter + _strings(tuple(pairs)))

    def _event(self, letter: bytes, data: bytes, left_out: int, unanswered: int) -> bytes | None:
        """Send it if the milter wants it, and give its reply if there is one: a letter, and what belongs to it."""
        if self.terms.steps & left_out:
            return None
        self._tell(letter, data)
        return None if self.terms.steps & unanswered else b"".join(self._hear())

    def _tell(self, letter: bytes, data: bytes) -> None:
        self._socket.sendall(struct.pack("!I", len(data) + 1) + letter + data)

    def _hear(self) -> tuple[bytes, bytes]:
        (length,) = struct.unpack("!I", self._exactly(4))
        packet = self._exactly(length)
        return packet[:1], packet[1:]

    def _exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the milter closed the connection")
            self._held += data
        found, self._held = self._held[:count], self._held[count:]
        return found


def _strings(words: tuple[bytes, ...]) -> bytes:
    return b"".join(word + b"\0" for word in words)


def _macros(data: bytes) -> list[tuple[str, tuple[str, ...]]]:
    found = []
    while data:
        (stage,) = struct.unpack_from("!I", data)
        names, _, data = data[4:].partition(b"\0")
        found.append((MACRO_STAGES[stage], tuple(names.decode().split())))
    return found
