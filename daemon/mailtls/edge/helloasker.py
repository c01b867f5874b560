"""A hello, sent to a service of Postfix as a client would, and the first answer to it.

Greets, says EHLO and STARTTLS where the service wants that, sends the bytes as they are, reads one record, and leaves
without a word. One connection a hello.

SECURITY: every wait has an end, replies and records a bound.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from mailtls.core.firstanswer import FirstAnswer, read_first_answer, wanted
from mailtls.core.gatewaydialogue import is_whole_reply
from mailtls.core.printable import printable
from mailtls.errors import PostfixError

PATIENCE_S = 20.0
"""Seconds for each answer; longer than postscreen lets a client wait."""
LONGEST_REPLY = 64 * 1024
OWN_NAME = "mailtls.invalid"


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a service of Postfix is asked. `source`: the address to come from, empty: any."""

    name: str
    host: str
    port: int
    tls_at_once: bool = False
    source: str = ""


def answer_to(hello: bytes, entrance: Entrance) -> tuple[FirstAnswer, str, int]:
    """Send a hello, read the answer; also give our address and port, by which the log is read. Raises PostfixError."""
    try:
        wire = socket.create_connection((entrance.host, entrance.port), PATIENCE_S, (entrance.source, 0))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise PostfixError(f"{entrance.name}: nobody answers at {entrance.host} port {entrance.port}: {why}") from error
    with wire:
        ip, port = wire.getsockname()[:2]
        try:
            _approach(wire, entrance)
            with suppress(BrokenPipeError, ConnectionResetError):
                wire.sendall(hello)
                return read_first_answer(_record(wire)), ip, port
        except TimeoutError as error:
            raise PostfixError(f"{entrance.name}: no answer within {PATIENCE_S:.0f} s; is Postfix well?") from error
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise PostfixError(f"{entrance.name}: the connection broke: {why}; see Postfix's log") from error
        return FirstAnswer(), ip, port


def _approach(wire: socket.socket, entrance: Entrance) -> None:
    """Go as far as the moment before the first byte of TLS."""
    if entrance.tls_at_once:
        return
    for command in ("", f"EHLO {OWN_NAME}\r\n", "STARTTLS\r\n"):
        wire.sendall(command.encode("ascii"))
        reply = _reply(wire)
        if not reply.startswith(b"2") or not is_whole_reply(reply):
            said = printable(reply.decode("ascii", "replace").strip(), 200) or "the end of the connection"
            raise PostfixError(f"{entrance.name}: {command.strip() or 'the connection'} is answered with: {said}")


def _reply(wire: socket.socket) -> bytes:
    """Read one reply, all its lines."""
    reply = b""
    while len(reply) < LONGEST_REPLY and not is_whole_reply(reply) and (data := wire.recv(4096)):
        reply += data
    return reply


def _record(wire: socket.socket) -> bytes:
    data = b""
    while (missing := wanted(data) - len(data)) > 0 and (more := wire.recv(missing)):
        data += more
    return data
