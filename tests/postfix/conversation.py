"""One SMTP connection, from an address of its own, with a hand on the bytes that smtplib hides.

RFC 5321 commands and RFC 3207 STARTTLS; also TLS at once, as on port 465. What a client sends as its first TLS
bytes is not this file's business: `secure` takes a handshake, `send` takes bytes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

PATIENCE_S = 20.0

Handshake = Callable[[socket.socket], Any]
"""Takes the connected socket; returns what behaves like one, encrypted; raises HandshakeFailed."""


class HandshakeFailed(Exception):  # noqa: N818  it is an experience of the client, not an error of ours
    """TLS did not come about; the text says in the client's words why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect; `tls_at_once` as on port 465, without STARTTLS."""

    host: str
    port: int
    tls_at_once: bool = False


class Conversation:
    """A connection of `source` to `server`; leaving the `with` block closes it without a word (FIN).

    `wire` is the bare socket below TLS; `keywords` are those of the last EHLO.
    """

    def __init__(self, source: str, server: Server) -> None:
        """Connect; nothing is read yet."""
        self.server = server
        self.keywords: frozenset[str] = frozenset()
        self._greeted = False
        self.wire = socket.create_connection((server.host, server.port), PATIENCE_S, (source, 0))
        self._socket: Any = self.wire

    def __enter__(self) -> Conversation:
        """Keep the connection for the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._socket.close()
        self.wire.close()

    def hear(self) -> str:
        """Read one reply, all its lines; an empty text means that the server closed the connection."""
        reply = b""
        while True:
            line = self._read_line()
            reply += line
            if line[3:4] != b"-":
                return reply.decode("ascii", "replace").strip()

    def say(self, command: str) -> str:
        """Send one command and read its reply."""
        self._socket.sendall(f"{command}\r\n".encode("ascii"))
        return self.hear()

    def greet(self) -> None:
        """Read the banner if it is still to come, say EHLO, and learn the keywords."""
        if not self._greeted:
            self.hear()
            self._greeted = True
        lines = self.say("EHLO client.test").splitlines()
        self.keywords = frozenset(line[4:].split(" ")[0] for line in lines)

    def approach(self) -> None:
        """Go as far as the moment before the first TLS byte."""
        if self.server.tls_at_once:
            return
        self.greet()
        reply = self.say("STARTTLS")
        if not reply.startswith("220"):
            raise HandshakeFailed(f"STARTTLS was answered with {reply!r}")

    def secure(self, handshake: Handshake) -> None:
        """Shake hands, and greet again inside."""
        self.approach()
        self._socket = handshake(self.wire)
        self.greet()

    def send(self, data: bytes) -> None:
        """Send bytes, whatever they mean."""
        self._socket.sendall(data)

    def hurry(self, patience_s: float) -> None:
        """Wait no longer than this for anything, from now on."""
        self._socket.settimeout(patience_s)

    def wait_for_close(self) -> bytes:
        """Read until the server closes the connection; give what it still said."""
        said = b""
        with suppress(ConnectionResetError):
            while data := self.wire.recv(4096):
                said += data
        return said

    def deliver(self) -> None:
        """Send one small mail."""
        commands = ("MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA", "Subject: test\r\n\r\ntest\r\n.")
        for command in commands:
            reply = self.say(command)
            if reply[:1] not in ("2", "3"):
                raise ConnectionError(f"{command.split(':')[0]} was answered with {reply!r}")

    def quit(self) -> None:
        """Take leave."""
        self.say("QUIT")

    def reset(self) -> None:
        """Cut the connection with RST: no lingering for what is unsent."""
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.close()

    def _read_line(self) -> bytes:
        """Read to the next line feed, byte by byte: behind it may stand the first byte of TLS."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self._socket.recv(1)
            if not byte:
                break
            line += byte
        return line
