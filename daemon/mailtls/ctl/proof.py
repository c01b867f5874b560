"""What a line proves, and what a cause means: the words of `explain`.

A line is read again by the same grammar that read the log, so what is said of it is what was made of it. The meaning
of the causes follows the vocabulary of core/cause.py; each says what it proves, and what else it could be,
because a log line seldom knows why a peer left.

SECURITY: lines and reasons are strangers' text; what is quoted of them is printable and short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mailtls.core.cause import Cause, Outcome
from mailtls.core.dovecotlog import LoginLine, login_service, read_login
from mailtls.core.evidence import Evidence, Kind
from mailtls.core.logline import LogLine, split
from mailtls.core.openssl import parse_error
from mailtls.core.postfixlog import Program, read_postscreen, read_smtpd, read_tlsproxy
from mailtls.core.printable import printable


class Meaning(NamedTuple):
    """What a cause proves, and what else may be behind it (empty: nothing)."""

    proves: str
    else_: str = ""


MEANINGS: dict[Cause, Meaning] = {
    Cause.NONE: Meaning("The handshake was completed."),
    Cause.DROPPED_AFTER_TLS: Meaning(
        "The handshake was completed; then the peer left or sent rubbish.",
        "A monitor that only looks whether TLS works, or a peer that does not accept the certificate and says nothing.",
    ),
    Cause.PEER_TOO_OLD: Meaning(
        "The peer offers no protocol version that is enabled here.",
        "A scanner that tries old versions on purpose.",
    ),
    Cause.NOT_TLS_OR_TOO_OLD: Meaning(
        "The first bytes were no hello of an enabled version.",
        "OpenSSL up to 1.0 does not tell an old version from something that is not TLS at all.",
    ),
    Cause.NO_SHARED_CIPHER: Meaning(
        "Peer and server have no cipher suite in common.",
        "The server has no usable certificate of the type that the peer knows (mostly RSA), or none at all.",
    ),
    Cause.NO_SHARED_GROUP_OR_SIGALG: Meaning(
        "Peer and server have no key exchange group or signature algorithm in common.",
        "A scanner, or a certificate with a curve or signature that the peer does not know.",
    ),
    Cause.PEER_REJECTS_OUR_CERT: Meaning(
        "The peer itself ended the handshake because it does not accept this server's certificate.",
        "A chain without its intermediate certificate, a wrong name, an expired or self-signed certificate.",
    ),
    Cause.PEER_REJECTS_OUR_VERSION: Meaning(
        "The peer wants a newer protocol version than this server offers: the server is too old."
    ),
    Cause.PEER_ALERT_OTHER: Meaning(
        "The peer itself ended the handshake with an alert.",
        "Its log has the reason; ours only has the alert's number.",
    ),
    Cause.NOT_TLS: Meaning(
        "The first bytes were no TLS record.",
        "A scanner, an HTTP client, or a peer that goes on in cleartext after STARTTLS.",
    ),
    Cause.TLS_ON_PLAIN_PORT: Meaning(
        "The peer began with TLS where SMTP in cleartext was expected.",
        "A client set up for SMTPS on the wrong port, or a scanner.",
    ),
    Cause.BUGGY_OR_SCANNER_PEER: Meaning(
        "The peer's handshake is malformed or makes no sense.",
        "A scanner, or a broken TLS library.",
    ),
    Cause.NETWORK_CUT: Meaning(
        "The connection ended within the handshake, and nobody said why.",
        "The peer did not like what it saw, a firewall, or the network.",
    ),
    Cause.TIMEOUT: Meaning(
        "The peer fell silent within the handshake.",
        "Packets get lost on the way (path MTU), or the peer is overloaded.",
    ),
    Cause.SERVER_MISCONFIGURED: Meaning("The server's own TLS settings, certificate or key cannot be used."),
    Cause.DH_TOO_SMALL: Meaning("The server's own DH parameters are too small for its TLS library."),
    Cause.FALLBACK_SCSV: Meaning(
        "The peer fell back to an older version although this server has a newer one.",
        "A first attempt failed for another reason: look at the lines before.",
    ),
    Cause.NO_SHARED_ALPN: Meaning("The peer insists on an application protocol that is not mail.", "A scanner."),
    Cause.CORRUPT_RECORDS: Meaning(
        "A record arrived damaged.", "A broken TLS library on one of the sides, or a device in between."
    ),
    Cause.UNKNOWN: Meaning("The handshake failed, and the lines give no reason.", "Set smtpd_tls_loglevel = 1."),
}

_NOTHING = "says nothing about TLS by itself"
_KINDS: dict[Kind, str] = {
    Kind.CONNECT: "who connected",
    Kind.LOST: "the peer was gone at the stage {text}",
    Kind.CLIENT: "a mail was accepted in this session",
    Kind.HIDDEN: "STARTTLS was hidden from this peer",
    Kind.REFUSED: "the server itself refused to start TLS: {text}",
    Kind.SERVER_FAULT: "a setting of the server broke TLS in this session: {text}",
    Kind.STATEMENT: "the server says that its TLS does not work",
    Kind.PRELUDE: "the server says what is wrong with its TLS files",
    Kind.PLAIN_PORT_HELLO: "a TLS hello where SMTP was expected",
    Kind.ESTABLISHED: "the handshake was completed: {text}",
    Kind.PROXY_CONNECT: "who connected",
    Kind.PROXY_FAILED: "the handshake failed",
    Kind.PROXY_DISCONNECT: "the session is over",
}
_STATISTICS = (
    ("starttls=0/", "the session is over; STARTTLS was tried and did not succeed (starttls=0/...)"),
    ("starttls=", "the session is over; STARTTLS succeeded"),
    ("", "the session is over; STARTTLS was not tried"),
)
_READERS: dict[bytes, Callable[[bytes], Evidence | None]] = {
    b"smtpd": read_smtpd, b"postscreen": read_postscreen, b"tlsproxy": read_tlsproxy,
}  # fmt: skip


def proves(line: str) -> str:
    """Say in a few words what one log line proves."""
    head = split(line.encode("utf-8", "replace"))
    if head is None:
        return _NOTHING
    reader = _READERS.get(Program(head.tag).name)
    if reader is None:
        return _login(head)
    evidence = reader(head.message)
    return _NOTHING if evidence is None else _said(evidence)


def _said(evidence: Evidence) -> str:
    words = printable(evidence.text, longest=80)
    match evidence.kind:
        case Kind.LIBRARY:
            return _library(evidence.text)
        case Kind.ACCEPT_ERROR:
            return "the handshake failed" + ("" if words in ("-1", "0") else f": {words}")
        case Kind.DISCONNECT:
            if not words:
                return "the session is over"
            return next(meaning for mark, meaning in _STATISTICS if mark in words)
        case kind:
            return _KINDS[kind].replace("{text}", words)


def _library(words: bytes) -> str:
    error = parse_error(printable(words, longest=1000))
    if error is None:
        return "OpenSSL's error, in a form that is not known"
    reason = printable(error.text, longest=80)
    if error.is_alert and error.number is not None:
        return f"the peer ended the handshake with alert {error.number - 1000}: {reason}"
    return f"why OpenSSL ended it: {reason}" + (f" (reason 0x{error.number:03X})" if error.number is not None else "")


def _login(head: LogLine) -> str:
    found = login_service(head.tag, head.message)
    login: LoginLine | None = read_login(*found) if found is not None else None
    if login is None:
        return _NOTHING
    if login.outcome is Outcome.TLS_OK:
        return "the handshake was completed"
    if login.outcome is Outcome.TLS_FAILED:
        return f"the handshake failed: {login.reason}" if login.reason else "the handshake failed"
    return "the server says what is wrong with its TLS" if login.fatal or login.init_failed else _NOTHING
