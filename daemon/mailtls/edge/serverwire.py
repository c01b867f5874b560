"""One connection to a mail server that is probed: up to where TLS begins, by SMTP, IMAP or POP3.

Every connection has one deadline for all that happens on it, so that a server that sends a byte now and then holds
nobody. Python's `ssl` has a deadline for a whole handshake, too.

SECURITY: what the other side says is bounded (`LONGEST_TALK`) and made printable before anybody sees it.
"""

from __future__ import annotations

import socket
import ssl
import time
from enum import Enum, auto
from types import TracebackType

from mailtls.core.printable import printable
from mailtls.core.probetarget import Service
from mailtls.edge.doorprobe import OWN_NAME

LONGEST_TALK = 64 * 1024
LASTING = "due to local problem"
"""In Postfix's 454 where TLS is broken (smtpd/smtpd.c:starttls_cmd); its others go by: too many new TLS sessions."""
_MOST_LINES = 200
_SHOWN = 100
_CHUNK = 1 << 14


class Why(Enum):
    """What kind of trouble: nobody there, come back later, no TLS to be had, or nothing sensible was said."""

    UNREACHABLE = auto()
    BUSY = auto()
    NO_STARTTLS = auto()
    SILENT = auto()


class ServerTrouble(Exception):  # noqa: N818 - what the server did, not an error of ours
    """TLS could not even begin; the text is a clause."""

    def __init__(self, why: Why, words: str) -> None:
        super().__init__(words)
        self.why = why


class ServerWire:
    """A connection, as a context; `address`: as `socket` wants it, `patience_s`: for everything together.

    `source`: the address of this machine to come from; empty: any.
    """

    def __init__(self, family: int, address: tuple[object, ...], patience_s: float, source: str = "") -> None:
        self.patience_s = patience_s
        self._deadline = time.monotonic() + patience_s
        self._rest = b""
        self._taken = 0
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._hurry()
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.socket.close()
            raise ServerTrouble(Why.UNREACHABLE, self.spell(error)) from error

    def __enter__(self) -> ServerWire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def begin(self, service: Service, *, inject: bool = False) -> None:
        """Go up to where the client's hello is awaited. `inject`: one harmless command more behind STARTTLS."""
        if service.starttls:
            _DIALOGUES[service](self, inject)

    def secure(self, context: ssl.SSLContext, server_name: str | None) -> ssl.SSLSocket:
        """Complete a handshake; from then on `line` and `send` speak inside it. Raises OSError, ValueError."""
        self._hurry()
        wrapped = context.wrap_socket(self.socket, server_hostname=server_name)
        self.socket, self._rest = wrapped, b""
        return wrapped

    def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError."""
        self._hurry()
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """Give what comes next; nothing at the end. Raises OSError."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        self._hurry()
        return self.socket.recv(_CHUNK)

    def line(self) -> str:
        """Read one line, printable. Raises OSError; ServerTrouble where it has no end or the connection has one."""
        while b"\n" not in self._rest:
            self._hurry()
            data = self.socket.recv(_CHUNK)
            self._taken += len(data)
            if not data:
                raise ServerTrouble(Why.SILENT, "the connection is closed")
            self._rest += data
            if self._taken > LONGEST_TALK:
                raise ServerTrouble(Why.SILENT, f"it says more than {LONGEST_TALK // 1024} KiB before TLS begins")
        line, _, self._rest = self._rest.partition(b"\n")
        return printable(line.rstrip(b"\r"), longest=_SHOWN)

    def spell(self, error: OSError) -> str:
        """Say what went wrong in a clause."""
        if isinstance(error, TimeoutError):
            return f"it took longer than {self.patience_s:g} s"
        return (error.strerror or str(error)).lower()

    def _hurry(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)


# --- what is said before TLS -----------------------------------------------------------------------------------------


def smtp_reply(wire: ServerWire) -> list[str]:
    """Read one reply of SMTP, all its lines (RFC 5321 section 4.2)."""
    lines = [wire.line()]
    while lines[-1][3:4] == "-":
        lines.append(wire.line())
        if len(lines) > _MOST_LINES:
            raise ServerTrouble(Why.SILENT, f"a reply has more than {_MOST_LINES} lines")
    return lines


def _smtp(wire: ServerWire, inject: bool) -> None:
    banner = smtp_reply(wire)
    if not banner[0].startswith("220"):
        busy = banner[0].startswith("4")
        raise ServerTrouble(Why.BUSY if busy else Why.SILENT, f"the greeting is '{banner[0]}'")
    wire.send(f"EHLO {OWN_NAME}\r\n".encode("ascii"))
    reply = smtp_reply(wire)
    if reply[0].startswith("4"):
        raise ServerTrouble(Why.BUSY, f"EHLO is answered with '{reply[0]}'")
    if "STARTTLS" not in (line[4:].upper() for line in reply[1:]):
        listed = ", ".join(line[4:] for line in reply[1:9]) or reply[0]
        raise ServerTrouble(Why.NO_STARTTLS, f"STARTTLS is not offered, only: {listed}")
    wire.send(b"STARTTLS\r\nNOOP\r\n" if inject else b"STARTTLS\r\n")
    answer = smtp_reply(wire)[0]
    # 421 behind a command that came too early is how a server refuses that (mailtls-gateway does), not a lack of time.
    if answer.startswith("4") and LASTING not in answer and not (inject and answer.startswith("421")):
        raise ServerTrouble(Why.BUSY, f"it is busy: STARTTLS is answered with '{answer}'")
    _must(answer.startswith("220"), "STARTTLS", answer)


def _imap(wire: ServerWire, inject: bool) -> None:
    greeting = wire.line()
    if not greeting.upper().startswith("* OK"):
        raise ServerTrouble(Why.BUSY if "BYE" in greeting else Why.SILENT, f"the greeting is '{greeting}'")
    wire.send(b"a1 CAPABILITY\r\n")
    offered = ""
    for _ in range(_MOST_LINES):
        line = wire.line()
        if line.startswith("a1 "):
            break
        offered += " " + line.upper()
    if "STARTTLS" not in offered.split():
        raise ServerTrouble(Why.NO_STARTTLS, f"STARTTLS is not offered, only:{printable(offered, longest=_SHOWN)}")
    wire.send(b"a2 STARTTLS\r\na3 NOOP\r\n" if inject else b"a2 STARTTLS\r\n")
    answer = wire.line()
    _must(answer.upper().startswith("A2 OK"), "STARTTLS", answer)


def _pop3(wire: ServerWire, inject: bool) -> None:
    greeting = wire.line()
    if not greeting.startswith("+OK"):
        raise ServerTrouble(Why.SILENT, f"the greeting is '{greeting}'")
    # Some servers take NOOP before anybody has logged in; what no server knows must be answered with -ERR (RFC 1939 3).
    wire.send(b"STLS\r\nXNOOP\r\n" if inject else b"STLS\r\n")
    answer = wire.line()
    _must(answer.startswith("+OK"), "STLS", answer)


def _must(said_yes: bool, command: str, answer: str) -> None:
    if not said_yes:
        raise ServerTrouble(Why.NO_STARTTLS, f"{command} is answered with '{answer}'")


_DIALOGUES = {
    Service.SMTP: _smtp,
    Service.SUBMISSION: _smtp,
    Service.IMAP: _imap,
    Service.POP3: _pop3,
}
