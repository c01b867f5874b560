"""Messages of Postfix's smtpd, postscreen and tlsproxy, 2.3 to 3.12, to evidence.

Each pattern names the Postfix function that prints the line. A message begins with the literal that tells its kind,
so that most lines are left after one dictionary look-up; what a client wrote (HELO names, commands, addresses) always
stands behind the first word that we test and is never searched for markers.

SECURITY: names and texts are strangers'; `who` is matched without backtracking and is bounded by the line's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mailtls.core.cause import Door, Service
from mailtls.core.evidence import Evidence, Kind

# SMTPD_BUILD_NAMADDRPORT (smtpd/smtpd.h): name[addr], with :port if smtpd_client_port_logging = yes.
_WHO = rb"([^\s\[\]]{1,255}\[[^\s\[\]]{1,64}\](?::(?:\d{1,5}|unknown))?)"
_WHO_ONLY = re.compile(_WHO)
_ENDPOINT = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]:\d{1,5})")

_ESTABLISHED = re.compile(
    # tls/tls_misc.c:tls_log_summary (3.4 on, with SNI), tls/tls_server.c:tls_server_post_accept before;
    # without a word of trust up to 2.4; "raw public key" in parentheses from 3.9
    rb"(?:(?:Anonymous|Untrusted|Trusted|Verified) )?TLS connection (?:established|reused) from "
    rb"(?:" + _WHO + rb"|(\[[0-9A-Fa-f:.]{2,45}\]:\d{1,5}))(?: to [^\s:]{1,255})?: +(.{1,400})"
)
_LOST = re.compile(
    # smtpd/smtpd.c:smtpd_proto; NOQUEUE: or a queue id stands in front from 3.10 on
    rb"(?:lost connection|timeout|too many errors) after ([A-Z][A-Z0-9 -]{1,40}?)(?: \(\d{1,12} bytes\))? from " + _WHO
)
_QUEUE_ID = re.compile(rb"(NOQUEUE|[0-9A-Za-z]{5,20}): ")
_RATE_LIMIT = re.compile(rb"New TLS session rate limit exceeded: \d{1,10} from " + _WHO)
_REFUSING = re.compile(rb"Refusing (?:STARTTLS|TLS service) request from " + _WHO)
_WRAPPER_DROPPED = re.compile(rb"Wrapper-mode request dropped from " + _WHO)
_CIPHER_GRADE = re.compile(_WHO + rb": ((?:invalid cipher grade|error setting cipher grade|invalid unary)[^:]{0,40})")
_PIPELINED_HELLO = re.compile(rb"improper command pipelining after [A-Z]{1,20} from " + _WHO + rb": \\026\\003")
_PREGREET_HELLO = re.compile(rb"PREGREET \d{1,9} after \S{1,12} from (\[[0-9A-Fa-f:.]{2,45}\]:\d{1,5}): \\026\\003")
_PROXY_PEER = re.compile(rb"TLS handshake failed for service=\S{1,64} peer=(\[[0-9A-Fa-f:.]{2,45}\]:\d{1,5})")

# tls/tls_server.c, tls/tls_certkey.c, tls/tls_misc.c, smtpd/smtpd.c: warnings that end in "disabling TLS support",
# and those of old versions that mean the same
STATEMENT_MARKS = (b"disabling TLS support", b"No server certs available")
# What a process says once and means for all its sessions; large logs look for these.
FAULT_MARKS = (*STATEMENT_MARKS, b"error opening chain file")
_OLD_STATEMENTS = (
    b"cannot get private key from file",
    b"cannot get certificate from file",
    b"cannot load RSA certificate and key data",
    b"cannot load DSA certificate and key data",
    b"cannot load ECDSA certificate and key data",
    b"cannot load Certificate Authority data",
    b"cannot set certificate verification paths",
)
_PRELUDES = (
    b"Digest algorithm ",
    b"error loading ",
    b"error opening chain file",
    b"No PEM data in ",
    b"No private key found in ",
    b"No certs for key",
    b"key at index ",
    b"loading ",
)


BEHIND_GATEWAY = "mailtls-backend"
"""The last part of syslog_name of the service behind the gateway, which tells of every session by itself."""


class Program:
    """What a tag stands for: the program, and the service and door that its name tells.

    Postfix tags lines `syslog_name/process` (global/mail_task.c); operators put the master.cf service into
    syslog_name (`postfix/submission`), several times over if they like. The gateway speaks as tlsproxy does
    (service/gateway.py), and serves those who come to smtpd. What the service behind it says of the same sessions is
    of no client (`retold`): each counts once.
    """

    __slots__ = ("door", "name", "retold", "service")

    def __init__(self, tag: bytes) -> None:
        parts = tag.split(b"/")
        self.name = parts[-1]
        self.retold = BEHIND_GATEWAY.encode() in parts
        self.door = _door(parts)
        self.service = _service(tag.lower(), self.name if self.door is not Door.SSLV3 else b"")


def _service(tag: bytes, name: bytes) -> Service:
    if name in (b"postscreen", b"tlsproxy"):
        return Service.POSTSCREEN
    if name == b"lmtp":
        return Service.LMTP
    if b"smtps" in tag or b"submissions" in tag or b"465" in tag:
        return Service.SMTPS
    if b"submission" in tag or b"587" in tag:
        return Service.SUBMISSION
    return Service.SMTPD


def _door(parts: list[bytes]) -> Door:
    """The doors' syslog_name settings are our own; see DESIGN "Levels and what makes them real"."""
    for part in parts:
        if part == b"mailtls-legacy-rsa":
            return Door.LEGACY_RSA
        if part == b"mailtls-legacy":
            return Door.LEGACY
        if part in (b"mailtls-sslv3", b"mailtls-gateway"):
            return Door.SSLV3
    return Door.STRICT


def _connect(message: bytes) -> Evidence | None:
    match = _WHO_ONLY.match(message, 13)
    return Evidence(Kind.CONNECT, match[1], b"") if match else None


def _disconnect(message: bytes) -> Evidence | None:
    # smtpd/smtpd.c:smtpd_format_cmd_stats, 3.0 on
    match = _WHO_ONLY.match(message, 16)
    return Evidence(Kind.DISCONNECT, match[1], message[match.end() :].strip(b" ,;\r")[:200]) if match else None


def _accept_error(message: bytes) -> Evidence | None:
    # tls/tls_server.c:tls_server_start
    match = _WHO_ONLY.match(message, 22)
    if match is None or message[match.end() : match.end() + 2] != b": ":
        return None
    return Evidence(Kind.ACCEPT_ERROR, match[1], message[match.end() + 2 :].strip(b" ,;\r")[:200])


def _library(message: bytes) -> Evidence | None:
    # tls/tls_misc.c:tls_print_errors; a thread or process number in front up to 2.10
    start = message.find(b"error:", 21, 60)
    return Evidence(Kind.LIBRARY, b"", message[start:]) if start >= 0 else None


def _established(message: bytes) -> Evidence | None:
    match = _ESTABLISHED.match(message)
    return Evidence(Kind.ESTABLISHED, match[1] or match[2], match[3]) if match else None


def _lost(message: bytes) -> Evidence | None:
    match = _LOST.match(message)
    return Evidence(Kind.LOST, match[2], match[1]) if match else None


def _discarding(message: bytes) -> Evidence | None:
    # smtpd/smtpd.c:ehlo_cmd
    return Evidence(Kind.HIDDEN, b"", b"") if b"STARTTLS" in message[:200].upper() else None


def _pipelining(message: bytes) -> Evidence | None:
    match = _PIPELINED_HELLO.match(message)
    return Evidence(Kind.PLAIN_PORT_HELLO, match[1], b"") if match else None


def _cannot_load(message: bytes) -> Evidence | None:
    # tls/tls_certkey.c:tls_set_ca_certificate_info prints this one without "warning: "
    return _statement(message)


_SMTPD: dict[bytes, Callable[[bytes], Evidence | None]] = {
    b"connec": _connect,
    b"discon": _disconnect,
    b"SSL_ac": _accept_error,
    b"Anonym": _established,
    b"Untrus": _established,
    b"Truste": _established,
    b"Verifi": _established,
    b"TLS co": _established,
    b"lost c": _lost,
    b"timeou": _lost,
    b"too ma": _lost,
    b"discar": _discarding,
    b"improp": _pipelining,
    b"cannot": _cannot_load,
}


def read_smtpd(message: bytes) -> Evidence | None:
    """Read a message of smtpd; None where it states nothing about TLS or the life of a session."""
    if message.startswith(b"warning: "):
        return _warning(message[9:])
    reader = _SMTPD.get(message[:6])
    if reader is not None:
        return reader(message)
    match = _QUEUE_ID.match(message)
    if match is None:
        return None
    rest = message[match.end() :]
    if rest.startswith(b"client=") and match[1] != b"NOQUEUE":
        client = _WHO_ONLY.match(rest, 7)
        return Evidence(Kind.CLIENT, client[1], b"") if client else None
    if rest.startswith((b"lost c", b"timeou", b"too ma")):
        return _lost(rest)
    if match[1] == b"NOQUEUE" and rest.startswith(b"abort: TLS from "):
        client = _WHO_ONLY.match(rest, 16)
        return Evidence(Kind.REFUSED, client[1], rest[client.end() + 2 :][:100]) if client else None
    return None


def _warning(message: bytes) -> Evidence | None:
    if message.startswith(b"TLS library problem: "):
        return _library(message)
    if message.startswith((b"New TLS session rate", b"Refusing ")):
        match = _RATE_LIMIT.match(message) or _REFUSING.match(message)
        return Evidence(Kind.REFUSED, match[1], b"New TLS session rate limit exceeded") if match else None
    if message.startswith(b"Wrapper-mode request dropped"):
        match = _WRAPPER_DROPPED.match(message)
        return Evidence(Kind.SERVER_FAULT, match[1], b"TLS context initialization failed") if match else None
    if b"cipher grade: " in message[:400] or b"cipher exclusion: " in message[:400]:
        match = _CIPHER_GRADE.match(message)
        if match is not None:
            return Evidence(Kind.SERVER_FAULT, match[1], match[2])
    return _statement(message)


def _statement(message: bytes) -> Evidence | None:
    if any(mark in message for mark in STATEMENT_MARKS) or message.startswith(_OLD_STATEMENTS):
        return Evidence(Kind.STATEMENT, b"", message[:1000])
    if message.startswith(_PRELUDES):
        return Evidence(Kind.PRELUDE, b"", message[:1000])
    return None


def read_postscreen(message: bytes) -> Evidence | None:
    """Read a message of postscreen (postscreen/postscreen_early.c): only TLS bytes where SMTP was expected count."""
    if message.startswith(b"PREGREET "):
        match = _PREGREET_HELLO.match(message)
        return Evidence(Kind.PLAIN_PORT_HELLO, match[1], b"") if match else None
    return None


def read_tlsproxy(message: bytes) -> Evidence | None:
    """Read a message of tlsproxy (tlsproxy/tlsproxy.c), in its role as server."""
    if message.startswith(b"warning: "):
        return _warning(message[9:])
    if message.startswith((b"CONNECT from ", b"DISCONNECT ")):
        connect = message[0] == 0x43
        match = _ENDPOINT.match(message, 13 if connect else 11)
        kind = Kind.PROXY_CONNECT if connect else Kind.PROXY_DISCONNECT
        if match is None:
            return None
        # behind its end the gateway says how many messages were taken (service/gateway.py), and tlsproxy nothing
        return Evidence(kind, match[1], b"" if connect else message[match.end() :].strip(b" ,;\r")[:200])
    if message.startswith(b"TLS handshake failed"):
        match = _PROXY_PEER.match(message)
        return Evidence(Kind.PROXY_FAILED, match[1], b"") if match else None
    reader = _SMTPD.get(message[:6])
    return reader(message) if reader in (_established, _accept_error, _cannot_load) else None
