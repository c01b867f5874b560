"""A filter of the site's own: it speaks the milter protocol (version 6), keeps what it was told, and refuses one sender.

Written from Postfix's milter/milter8.c: packets of a length in four bytes, a letter, and what belongs to it. Every step
is answered, but for macros, the end of a message that was not finished, and QUIT.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

REFUSED = "refused@peer.test"
"""The sender that it refuses."""
_GO_ON, _REFUSE = b"c", b"y550 5.7.1 the filter does not like you\0"
_NEGOTIATED = b"O" + struct.pack("!III", 6, 0, 0)
_UNANSWERED = b"DAQK"


@dataclass(slots=True)
class Filtered:
    """What the filter was told of one message: the client's address, the macro {tls_version}, sender, and body."""

    client: str
    tls_version: str = ""
    sender: str = ""
    body: bytes = b""


class MilterServer:
    """Listens on a port of 127.0.0.1 for the time of its `with` block; `messages` that came to their end."""

    def __init__(self) -> None:
        self.messages: list[Filtered] = []

    def __enter__(self) -> MilterServer:
        """Listen."""
        keep = self.messages.append

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                session = _Session(keep)
                while head := self.rfile.read(4):
                    packet = self.rfile.read(*struct.unpack("!I", head))
                    for answer in session.answers(packet[:1], packet[1:]):
                        self.wfile.write(struct.pack("!I", len(answer)) + answer)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(slots=True)
class _Session:
    keep: Callable[[Filtered], None]
    now: Filtered = field(default_factory=lambda: Filtered(""))

    def answers(self, command: bytes, data: bytes) -> list[bytes]:
        """Take one packet in, and say what is answered."""
        if command == b"O":
            return [_NEGOTIATED]
        if command == b"D":
            words = data[1:].split(b"\0")
            macros = dict(zip(words[::2], words[1::2], strict=False))
            self.now.tls_version = macros.get(b"{tls_version}", self.now.tls_version.encode()).decode()
        elif command == b"C":
            self.now = Filtered(data.split(b"\0")[1][3:].decode())  # name, family, port, address
        elif command == b"M":
            self.now = Filtered(self.now.client, self.now.tls_version, data.split(b"\0")[0].decode().strip("<>"))
            if self.now.sender == REFUSED:
                return [_REFUSE]
        elif command == b"B":
            self.now.body += data
        elif command == b"E":
            self.keep(self.now)
        return [] if command in _UNANSWERED else [_GO_ON]
