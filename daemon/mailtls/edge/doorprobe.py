"""A client of our own: connects, greets, asks for STARTTLS, shakes hands, looks at the certificate, takes leave.

It believes nothing and refuses little: any protocol and cipher that this OpenSSL still has, any certificate, but one
there must be (a chain file that is missing makes smtpd offer anonymous ciphers, which most clients refuse). It gives
what it saw as values that can be compared; it never sends mail. In a rehearsal it goes on to MAIL and RCPT, since some
mistakes (unknown restriction, dead milter) show only there, and leaves before DATA.

SECURITY: replies are cut at 64 KB and 200 lines, and every wait has an end.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import time
from dataclasses import dataclass, replace

from mailtls.core.sighting import Sighting

PATIENCE_S = 20.0
"""Longer than postscreen lets a client wait (postscreen_greet_wait, 6 s)."""
LONGEST_REPLY = 64 * 1024
OWN_NAME = "mailtls.invalid"
SERVER_AT_FAULT = re.compile(r"4\d\d 4\.3\.|421 ")
"""What smtpd answers where its own configuration or a table is broken (smtpd/smtpd_check.c: 451 4.3.0, 4.3.5)."""


@dataclass(frozen=True, slots=True)
class Knock:
    """How to approach a port: TLS at once as on 465, a PROXY line first, and a recipient to ask for, or none.

    `highest`: the highest version to speak; None: any. `within`: seconds for the whole visit; None: `PATIENCE_S` for
    each answer.
    """

    tls_at_once: bool = False
    proxied: bool = False
    recipient: str | None = None
    tries_tls: bool = True
    highest: ssl.TLSVersion | None = None
    within: float | None = None


class Silence(Exception):  # noqa: N818 - what the server did, not an error of ours
    """The server did not say what its protocol asks for; the text is a clause about it."""


def look(client: socket.socket, knock: Knock) -> Sighting:
    """Look at a port through a connected socket, which is closed in the end."""
    seen = Sighting()
    client.settimeout(PATIENCE_S)
    talk = _Talk(client, knock)
    try:
        if knock.proxied:
            talk.send(_proxy_line(client))
        for step in (_enter, _greet, _secure, _ask):
            seen = step(talk, knock, seen)
            if seen.fault or talk.is_over:
                return seen
        talk.say("QUIT")
    except Silence as silence:
        return replace(seen, fault=str(silence))
    finally:
        talk.close()
    return seen


def visit(address: tuple[str, int], knock: Knock) -> Sighting:
    """Connect and look; a port that nobody answers at is a fault."""
    try:
        client = socket.create_connection(address, knock.within or PATIENCE_S)
    except OSError as error:
        return Sighting(fault=f"nobody answers there: {(error.strerror or str(error)).lower()}")
    return look(client, knock)


def _proxy_line(client: socket.socket) -> str:
    own, there = client.getsockname()[:2], client.getpeername()[:2]
    family = "TCP6" if ":" in own[0] else "TCP4"
    return f"PROXY {family} {own[0]} {there[0]} {own[1]} {there[1]}"


def _enter(talk: _Talk, knock: Knock, seen: Sighting) -> Sighting:
    """Shake hands first where the port wants it, and hear the greeting."""
    if knock.tls_at_once and knock.tries_tls:
        seen = _shaken(talk, seen, "the TLS handshake")
        if seen.fault:
            return seen
    banner = talk.hear("greeting")
    if banner[0][:1] == "4":
        return replace(seen, fault=f"the greeting is {banner[0]!r}")
    talk.is_over = banner[0][:3] != "220"
    return replace(seen, banner=banner[-1])  # postscreen says lines before it to some clients and not to others


def _greet(talk: _Talk, knock: Knock, seen: Sighting) -> Sighting:
    reply = talk.say(f"EHLO {OWN_NAME}")
    if reply[0][:1] == "4":
        return replace(seen, fault=f"EHLO is answered with {reply[0]!r}")
    keywords = tuple(line[4:] for line in reply[1:])
    within = knock.tls_at_once and knock.tries_tls
    return replace(seen, inside=keywords) if within else replace(seen, keywords=keywords)


def _secure(talk: _Talk, knock: Knock, seen: Sighting) -> Sighting:
    if knock.tls_at_once or not knock.tries_tls or "STARTTLS" not in seen.keywords:
        return seen
    reply = talk.say("STARTTLS")
    if reply[0][:3] != "220":
        return replace(seen, fault=f"STARTTLS is answered with {reply[0]!r}")
    seen = _shaken(talk, seen, "the TLS handshake after STARTTLS")
    if seen.fault:
        return seen
    inside = talk.say(f"EHLO {OWN_NAME}")
    if inside[0][:1] == "4":
        return replace(seen, fault=f"EHLO within TLS is answered with {inside[0]!r}")
    return replace(seen, inside=tuple(line[4:] for line in inside[1:]))


def _ask(talk: _Talk, knock: Knock, seen: Sighting) -> Sighting:
    """Ask for a recipient and leave: only an answer that blames the server itself is a fault."""
    if knock.recipient is None:
        return seen
    sender = talk.say("MAIL FROM:<>")
    if sender[0][:1] == "4":
        return replace(seen, fault=f"MAIL is answered with {sender[0]!r}")
    if sender[0][:1] == "2":
        recipient = talk.say(f"RCPT TO:<{knock.recipient}>")
        if SERVER_AT_FAULT.match(recipient[0]):
            return replace(seen, fault=f"RCPT is answered with {recipient[0]!r}")
    return seen


def _shaken(talk: _Talk, seen: Sighting, what: str) -> Sighting:
    try:
        wire = talk.secure()
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        return replace(seen, fault=f"{what} fails: {str(why).replace('_', ' ').lower()}")
    cipher, certificate = wire.cipher(), wire.getpeercert(binary_form=True)
    return replace(
        seen,
        secured=f"{wire.version()} {cipher[0] if cipher else ''}",
        certificate=hashlib.sha256(certificate).hexdigest() if certificate else "",
    )


def _context(highest: ssl.TLSVersion | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:!aNULL:@SECLEVEL=0")
    if highest is not None:
        context.maximum_version = highest
    return context


class _Talk:
    """One SMTP conversation."""

    def __init__(self, client: socket.socket, knock: Knock) -> None:
        self._client = client
        self._highest = knock.highest
        self._patience_s = knock.within if knock.within is not None else PATIENCE_S
        self._deadline = time.monotonic() + knock.within if knock.within is not None else None
        self._rest = b""
        self.is_over = False

    def _hurry(self) -> None:
        """Wait no longer than the visit may take."""
        if self._deadline is not None:
            self._client.settimeout(max(0.001, self._deadline - time.monotonic()))

    def send(self, line: str) -> None:
        self._hurry()
        try:
            self._client.sendall(f"{line}\r\n".encode("ascii"))
        except OSError as error:
            raise Silence(f"the connection is cut before {line.split(' ')[0]}: {self._why(error)}") from error

    def say(self, line: str) -> list[str]:
        self.send(line)
        return self.hear(line.partition(" ")[0])

    def hear(self, what: str) -> list[str]:
        """Read one reply, all its lines."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            lines.append(self._line(what))
            if sum(map(len, lines)) > LONGEST_REPLY or len(lines) > 200:
                raise Silence(f"the answer to {what} has no end")
        return lines

    def _line(self, what: str) -> str:
        answer = "there is no greeting" if what == "greeting" else f"there is no answer to {what}"
        while b"\n" not in self._rest:
            self._hurry()
            try:
                data = self._client.recv(4096)
            except OSError as error:
                raise Silence(f"{answer}: {self._why(error)}") from error
            if not data or len(self._rest) > LONGEST_REPLY:
                raise Silence(f"{answer}: the connection is closed")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("ascii", "replace").strip()

    def secure(self) -> ssl.SSLSocket:
        self._hurry()
        wire = _context(self._highest).wrap_socket(self._client)
        self._client = wire
        return wire

    def close(self) -> None:
        self._client.close()

    def _why(self, error: OSError) -> str:
        if isinstance(error, TimeoutError):
            return f"it took longer than {self._patience_s:.0f} s"
        return (error.strerror or str(error)).lower()
