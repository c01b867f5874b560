"""The cast: clients of all ages and tempers, each with an address of its own.

A client is an act: it takes its address and the server, does what such a client does in the world, and returns
what it went through. It does not raise for what a server may answer, only for what would make a test void.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .conversation import Conversation, Handshake, HandshakeFailed, Server
from .handshakes import SSLV3, TLS12, TLS13, openssl, send_bad_certificate, tlslite
from .hello import ECDHE_ECDSA_AES128_GCM, HTTP, SCAN, client_hello
from .hello import TLS12 as HELLO_TLS12


@dataclass(frozen=True, slots=True)
class Experience:
    """What a client went through, in its own words; `connections` is how many it opened."""

    connections: int
    words: str
    delivered: bool = False


Act = Callable[[str, Server], Experience]

TLS13_MODERN = openssl(ssl.TLSVersion.TLSv1_3)
TLS12_RSA_ONLY = openssl(ssl.TLSVersion.TLSv1_2, "aRSA")
TLS10_ONLY = openssl(ssl.TLSVersion.TLSv1)


def sslv3_only() -> Handshake:
    """Make the handshake of a peer that stopped at SSL 3.0."""
    return tlslite(SSLV3, SSLV3, ("3des", "aes128"))


def rc4_and_3des_only() -> Handshake:
    """Make the handshake of a peer of the Windows 2003 age: up to TLS 1.2 here, but only RC4 and 3DES."""
    return tlslite(SSLV3, TLS12, ("rc4", "3des"))


def secured(address: str, server: Server, handshake: Handshake) -> str | None:
    """Try to deliver one mail over TLS; return None if it went through, else why the handshake failed."""
    with Conversation(address, server) as conversation:
        try:
            conversation.secure(handshake)
        except HandshakeFailed as failure:
            return str(failure)
        conversation.deliver()
        conversation.quit()
    return None


def insists(handshake: Handshake, times: int = 1) -> Act:
    """Deliver over TLS or not at all; come back `times` times in all while it fails."""

    def act(address: str, server: Server) -> Experience:
        for connection in range(1, times + 1):
            failure = secured(address, server, handshake)
            if failure is None:
                return Experience(connection, "delivered its mail over TLS", delivered=True)
        failed = "TLS failed" if times == 1 else f"TLS failed {times} times"
        return Experience(times, f"no mail delivered; {failed}: {failure}")

    return act


def falls_back(handshake: Handshake) -> Act:
    """Try TLS; where it fails, come back and deliver in cleartext."""

    def act(address: str, server: Server) -> Experience:
        failure = secured(address, server, handshake)
        if failure is None:
            return Experience(1, "delivered its mail over TLS", delivered=True)
        with Conversation(address, server) as conversation:
            conversation.greet()
            conversation.deliver()
            conversation.quit()
        return Experience(2, f"TLS failed ({failure}); then it delivered its mail in cleartext", delivered=True)

    return act


def recovers(broken: Handshake, mended: Handshake) -> Act:
    """Fail with one handshake, and come back with another that works."""

    def act(address: str, server: Server) -> Experience:
        first, second = secured(address, server, broken), secured(address, server, mended)
        return Experience(2, f"TLS failed ({first}); later it {second or 'delivered over TLS'}", second is None)

    return act


def refuses_cleartext(handshake: Handshake) -> Act:
    """Deliver over TLS only; where STARTTLS is not announced, say QUIT."""

    def act(address: str, server: Server) -> Experience:
        with Conversation(address, server) as conversation:
            conversation.greet()
            if "STARTTLS" not in conversation.keywords:
                conversation.quit()
                return Experience(1, "no STARTTLS was announced, so it left with its mail")
        failure = secured(address, server, handshake)
        return Experience(2, f"TLS: {failure or 'delivered'}", delivered=failure is None)

    return act


def breaks_on_starttls(times: int = 1, *, refuses: bool = False) -> Act:
    """Say STARTTLS and go on in plain SMTP, as behind a firewall that breaks it; come back `times` times in all.

    Where STARTTLS is not announced it delivers in cleartext, or, if it `refuses` that, says QUIT.
    """

    def act(address: str, server: Server) -> Experience:
        heard = b""
        for connection in range(1, times + 1):
            with Conversation(address, server) as conversation:
                conversation.greet()
                if "STARTTLS" not in conversation.keywords:
                    return _without_starttls(conversation, connection, refuses)
                conversation.approach()
                conversation.send(b"EHLO client.test\r\n")
                heard = conversation.wait_for_close()
        answer = f"got the bytes {heard.hex(' ')}" if heard else "got no answer"
        words = f"said STARTTLS, went on in plain SMTP, {answer}, and was cut off"
        return Experience(times, words if times == 1 else f"{words}; {times} times, no mail delivered")

    return act


def _without_starttls(conversation: Conversation, connection: int, refuses: bool) -> Experience:
    if not refuses:
        conversation.deliver()
    conversation.quit()
    did = "left with its mail" if refuses else "delivered its mail in cleartext"
    return Experience(connection, f"saw no STARTTLS, and {did}", delivered=not refuses)


def scanner(address: str, server: Server) -> Experience:
    """Try many broken hellos within seconds, and HTTP without any; never send mail."""
    for flight in SCAN:
        with Conversation(address, server) as conversation:
            conversation.approach()
            conversation.send(flight)
            conversation.wait_for_close()
    return Experience(len(SCAN), f"tried {len(SCAN)} odd hellos; each connection was closed")


def monitor(visits: int, pause_s: float = 0.0) -> Act:
    """Shake hands and go without a word, `visits` times, `pause_s` apart: a check that STARTTLS works."""

    def act(address: str, server: Server) -> Experience:
        for visit in range(visits):
            time.sleep(pause_s if visit else 0)  # the rhythm is what makes it a monitor
            with Conversation(address, server) as conversation:
                conversation.secure(TLS13_MODERN)
        return Experience(visits, f"shook hands {visits} times, found TLS working, sent nothing")

    return act


def rejects_certificate(trusted: Path, expected_name: str | None = None) -> Act:
    """Verify the certificate against `trusted` (alert 48 if it is another), and its name (alert 42 if it differs)."""
    return insists(openssl(ssl.TLSVersion.TLSv1_2, trusted=trusted, expected_name=expected_name))


def rejects_certificate_afterwards(address: str, server: Server) -> Experience:
    """Complete the handshake, then look at the certificate and send alert 42, as TLS 1.3 clients may."""
    shake = tlslite(TLS12, TLS13, ("aes128gcm", "aes256gcm"))
    with Conversation(address, server) as conversation:
        conversation.approach()
        send_bad_certificate(shake(conversation.wire))
        conversation.wait_for_close()
    return Experience(1, "completed the handshake, then sent alert 42 about the certificate")


def cuts(*, with_reset: bool) -> Act:
    """Send the hello and cut the connection, with FIN or with RST, as a firewall on the path does."""

    def act(address: str, server: Server) -> Experience:
        with Conversation(address, server) as conversation:
            conversation.approach()
            # Half of the hello, so that the server waits for the rest when the cut comes.
            conversation.send(client_hello(HELLO_TLS12, [ECDHE_ECDSA_AES128_GCM])[:20])
            if with_reset:
                conversation.reset()
        return Experience(1, "the connection was cut in the handshake")

    return act


def stalls(address: str, server: Server) -> Experience:
    """Say STARTTLS, then nothing, until the server loses patience (smtpd_starttls_timeout)."""
    with Conversation(address, server) as conversation:
        conversation.approach()
        conversation.wait_for_close()
    return Experience(1, "said STARTTLS and then nothing until the server hung up")


def speaks_http(address: str, server: Server) -> Experience:
    """Send an HTTP request where TLS was announced."""
    with Conversation(address, server) as conversation:
        conversation.approach()
        conversation.send(HTTP)
        conversation.wait_for_close()
    return Experience(1, "sent an HTTP request; the connection was closed")


def delivers_without_tls(address: str, server: Server) -> Experience:
    """Deliver in cleartext and never ask for TLS."""
    with Conversation(address, server) as conversation:
        conversation.greet()
        conversation.deliver()
        conversation.quit()
    return Experience(1, "delivered its mail in cleartext, never asked for TLS", delivered=True)
