"""Asks a mail server what a probe wants to know: one connection, one hello, one answer; or one whole handshake.

Hellos are our own bytes, so that versions and suites can be asked for that no TLS library of this machine has. Whole
handshakes are made with Python's `ssl`, and show no secrets to anybody: nothing is sent in them but greetings.

The first address that takes a connection is the one that is asked from then on.
"""

from __future__ import annotations

import os
import socket
import ssl
import warnings

from mailtls.core.clienthello import ClientHello
from mailtls.core.hellowriter import RANDOM_LENGTH, write_hello
from mailtls.core.probequestion import Shake, Shaken
from mailtls.core.probetarget import ProbeTarget, Service
from mailtls.core.serverhello import FlightReader, ServerAnswer
from mailtls.core.tlsversion import TLS10, TLS11, TLS12, TLS13
from mailtls.edge.serverwire import ServerTrouble, ServerWire, Why, smtp_reply
from mailtls.errors import UnreachableError

_VERSIONS = {
    TLS10: ssl.TLSVersion.TLSv1,
    TLS11: ssl.TLSVersion.TLSv1_1,
    TLS12: ssl.TLSVersion.TLSv1_2,
    TLS13: ssl.TLSVersion.TLSv1_3,
}


class ServerAsker:
    """Asks one server. `connections`: how many were opened; `address`: the one that answers, once that is known."""

    def __init__(self, target: ProbeTarget, patience_s: float) -> None:
        """Look the host up. Raises UnreachableError. `patience_s`: seconds for one connection."""
        self.target = target
        self.connections = 0
        self.address = ""
        self._patience_s = patience_s
        self._ways = _look_up(target)

    def ask(self, hello: ClientHello) -> ServerAnswer:
        """Send a hello and read the answer. Raises ServerTrouble where it does not come to that."""
        reader = FlightReader()
        with self._connected() as wire:
            self._begin(wire)
            try:
                wire.send(write_hello(hello, os.urandom(RANDOM_LENGTH)))
                while not reader.over and (data := wire.receive()):
                    reader.feed(data)
            except TimeoutError:
                return reader.close(f"no whole answer came within {self._patience_s:g} s")
            except OSError:
                return reader.close()  # it hung up, whether with FIN or with RST
        return reader.close()

    def shake(self, wanted: Shake) -> Shaken:
        """Complete a handshake and leave again. Raises ServerTrouble where TLS could not begin."""
        with self._connected() as wire:
            try:
                self._begin(wire, inject=wanted.injects)
            except ServerTrouble as trouble:
                if wanted.injects and trouble.why in (Why.NO_STARTTLS, Why.SILENT):
                    return Shaken(obeyed=False, fault=f"it is refused: {trouble}")
                raise
            try:
                secured = wire.secure(_context(wanted.version), wanted.server_name)
            except (OSError, ValueError) as error:
                why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
                words = str(why).replace("_", " ").lower()
                if wanted.injects:
                    return Shaken(obeyed=False, fault=f"it is answered with no handshake: {words}")
                return Shaken(fault=f"the handshake fails: {words}")
            return self._within(wire, secured, wanted)

    def _within(self, wire: ServerWire, secured: ssl.SSLSocket, wanted: Shake) -> Shaken:
        cipher = secured.cipher()
        version, suite = secured.version() or "", cipher[0] if cipher else ""
        certificate = secured.getpeercert(binary_form=True) or b""
        obeyed, fault = None, ""
        try:
            obeyed = _take_leave(wire, self.target.service, injected=wanted.injects)
        except (OSError, ServerTrouble) as error:
            fault = f"nothing sensible is said inside TLS: {wire.spell(error) if isinstance(error, OSError) else error}"
        session = secured.session
        ticket = session.has_ticket if session is not None else None
        return Shaken(version, suite, certificate, ticket, obeyed, fault)

    def _begin(self, wire: ServerWire, *, inject: bool = False) -> None:
        try:
            wire.begin(self.target.service, inject=inject)
        except OSError as error:
            raise ServerTrouble(Why.SILENT, f"no TLS was begun: {wire.spell(error)}") from error

    def _connected(self) -> ServerWire:
        """Connect to the address that answered before, or to the first that does now."""
        self.connections += 1
        trouble = ServerTrouble(Why.UNREACHABLE, "it has no address")
        for family, address in self._ways:
            try:
                wire = ServerWire(family, address, self._patience_s)
            except ServerTrouble as refused:
                trouble = refused
                continue
            self._ways = [(family, address)]
            self.address = str(address[0])
            return wire
        raise trouble


def _look_up(target: ProbeTarget) -> list[tuple[int, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "that is no name"
        raise UnreachableError(f"{target.shown} does not resolve: {why.lower()}; check its spelling") from error
    return [(family, tuple(address)) for family, _, _, _, address in found]


def _take_leave(wire: ServerWire, service: Service, *, injected: bool) -> bool | None:
    """Say goodbye; the first answer tells whether a command of before the handshake was obeyed within."""
    match service:
        case Service.IMAP | Service.IMAPS:
            if not service.starttls:
                wire.line()
            wire.send(b"a4 LOGOUT\r\n")
            obeyed = wire.line().startswith("a3 ")
        case Service.POP3 | Service.POP3S:
            if not service.starttls:
                wire.line()
            wire.send(b"QUIT\r\n")
            obeyed = wire.line().startswith("-ERR")
        case _:
            if not service.starttls:
                smtp_reply(wire)
            wire.send(b"QUIT\r\n")
            # 221 answers QUIT; 50x that the other command was read, and is not liked there, as before EHLO.
            obeyed = smtp_reply(wire)[0].startswith(("250", "50"))
    return obeyed if injected else None


def _context(version: int | None) -> ssl.SSLContext:
    """Believe anybody, and speak anything that this library has, or one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is wanted here
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        if version in _VERSIONS:
            context.minimum_version = context.maximum_version = _VERSIONS[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
