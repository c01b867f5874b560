"""A hello, sent to a service of Postfix as a client would, and the first answer to it.

Greets, says EHLO and STARTTLS where the service wants that, sends the bytes as they are, reads up to the ServerHello or
the alert, and leaves without a word. One connection a hello.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from mailtls.core.probetarget import Service
from mailtls.core.serverhello import FlightReader, ServerAnswer
from mailtls.edge.serverwire import ServerTrouble, ServerWire
from mailtls.errors import PostfixError

PATIENCE_S = 20.0
"""Seconds for one connection; longer than postscreen lets a client wait."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a service of Postfix is asked. `source`: the address to come from, empty: any."""

    name: str
    host: str
    port: int
    tls_at_once: bool = False
    source: str = ""


def answer_to(hello: bytes, entrance: Entrance) -> tuple[ServerAnswer, str, int]:
    """Send a hello, read the answer; also give our address and port, by which the log is read. Raises PostfixError."""
    family = socket.AF_INET6 if ":" in entrance.host else socket.AF_INET
    try:
        with ServerWire(family, (entrance.host, entrance.port), PATIENCE_S, entrance.source) as wire:
            ip, port = wire.socket.getsockname()[:2]
            wire.begin(Service.SMTPS if entrance.tls_at_once else Service.SMTP)
            return _answer(wire, hello), ip, port
    except ServerTrouble as trouble:
        place = f"{entrance.host} port {entrance.port}"
        raise PostfixError(f"service {entrance.name} cannot be asked at {place}: {trouble}") from trouble
    except TimeoutError as error:
        raise PostfixError(f"service {entrance.name}: no answer within {PATIENCE_S:g} s; is Postfix well?") from error
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise PostfixError(f"service {entrance.name}: {why}; see what Postfix's log says") from error


def _answer(wire: ServerWire, hello: bytes) -> ServerAnswer:
    """Read no further than the ServerHello: what Postfix shows behind it is its own certificate."""
    reader = FlightReader()
    with suppress(BrokenPipeError, ConnectionResetError):
        wire.send(hello)
        while not (reader.over or reader.answer.accepted) and (data := wire.receive()):
            reader.feed(data)
    return reader.answer if reader.answer.accepted else reader.close()
