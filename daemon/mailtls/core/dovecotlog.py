"""Messages of Dovecot's login processes, 1.x to 2.4, to sessions' facts: one line is one session.

`login_log_format_elements` (login-common/client-common.c) ends in `rip=.., lip=.., mpid=.., TLS STATE, session=<..>`;
the state is `TLS` when the handshake is done, `TLS handshaking` (1.0: `TLS handshake`) while it is not, each with
`: error` behind it where lib-ssl-iostream kept one; `secured` is a trusted plaintext connection, not TLS. In 2.4 the
sentence in front became `Login aborted: ...`; the elements are the same.

The reason may stand in the sentence, in the elements, or in both: on STARTTLS ports one of them often holds only
`SSL_accept() syscall failed: Invalid argument`, so both are read.

SECURITY: `user=<...>` is the client's text and stands before `rip=`: the *last* `rip=` of the line is Dovecot's own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.openssl import cause_of, cause_of_plain, parse_error
from mailtls.core.printable import printable

_SERVICES = {
    b"imap": Service.IMAP,
    b"pop3": Service.POP3,
    b"managesieve": Service.SIEVE,
    b"sieve": Service.SIEVE,
    b"submission": Service.SUBMISSION,
}
_LOGIN = re.compile(rb"(imap|pop3|managesieve|sieve|submission)-login(?:\([^)]{0,80}\))?(?:<[^>]{0,80}>){0,2}: ")
_LEVEL = re.compile(rb"(Info|Debug|Warning|Error|Fatal|Panic): ")
_ADDRESS = re.compile(rb"rip=(?:::ffff:(?=\d))?([^\s,]{0,64})")
_TLS = re.compile(rb"[ ,]TLS( handshak(?:ing|e))?(?=[:,\s]|$)")
_CIPHER = re.compile(rb", ((?:TLS|SSL)v[\d.]{1,4}) with cipher (\S{1,80})")
_READ_FAILED = re.compile(rb"^(?:read|write)\(size=\d{1,9}\) failed: ")
_SYSCALL = re.compile(rb"^SSL_\w{2,20}\(\) syscall failed: ")
_CALL_FAILED = re.compile(rb"^SSL_\w{2,20}\(\) failed: ")
_INIT_FAILED = b"Failed to initialize SSL server context"
_STACKED = b"SSL: Stacked error: "


class LoginLine(NamedTuple):
    """What one line of a login process says. `ip` empty: it names no client.

    `reason`/`reason_number`/`cause` as in `session.Session`. `stacked`: OpenSSL's error of a line of its own, which
    belongs to the next line of the same program. `session_id`: ties the two lines of one failed initialisation.
    `fatal`: the process dies of its own settings.
    """

    service: Service
    ip: bytes
    outcome: Outcome | None
    cause: Cause
    reason: str | None = None
    reason_number: int | None = None
    tls_version: str | None = None
    cipher: str | None = None
    stacked: bytes | None = None
    fatal: bool = False
    init_failed: bool = False


def login_service(tag: bytes, message: bytes) -> tuple[Service, bytes] | None:
    """Tell which login process speaks, and give the message behind its name; None for other programs.

    The program is the tag itself (Dovecot's own log file), or the first word of the message of tag `dovecot`.
    """
    if tag.endswith(b"-login"):
        service = _SERVICES.get(tag[:-6])
        return (service, message) if service else None
    match = _LOGIN.match(message)
    return (_SERVICES[match[1]], message[match.end() :]) if match else None


def read_login(service: Service, message: bytes) -> LoginLine | None:
    """Read one message of a login process, without its name; None where it says nothing about TLS."""
    level = _LEVEL.match(message)
    text = message[level.end() :] if level else message
    word = level[1] if level else b""
    if text.startswith(_STACKED):
        return LoginLine(service, b"", None, Cause.UNKNOWN, stacked=text[len(_STACKED) :])
    if word in (b"Fatal", b"Panic"):
        return _fatal(service, text)
    if text.startswith(_INIT_FAILED):
        return _init_failed(service, text)
    if b"TLS" not in text:
        return None
    address = text.rfind(b"rip=")
    if address < 0:
        return None
    return _session(service, text, address)


def _session(service: Service, text: bytes, address: int) -> LoginLine | None:
    match = _ADDRESS.match(text, address)
    ip = match[1] if match else b""
    elements = _without_session_id(text[address:])
    if text.startswith(b"Disconnected: TLS initialization failed"):
        return LoginLine(
            service,
            ip,
            Outcome.SERVER_TLS_BROKEN,
            Cause.SERVER_MISCONFIGURED,
            "TLS initialization failed",
            init_failed=True,
        )
    state = _TLS.search(elements)
    if state is None:
        return None
    error = elements[state.end() :].lstrip(b":, ")
    cipher = _CIPHER.search(elements, state.end())
    if cipher is not None:
        error = elements[state.end() : cipher.start()].lstrip(b":, ")
    if elements[state.end() : state.end() + 1] != b":":
        error = b""
    user = text.find(b"user=<")
    sentence = text[: user if 0 <= user < address else address]
    if state[1]:
        return _handshake_failed(service, ip, sentence, error)
    return _handshake_done(service, ip, sentence, error, cipher)


def _without_session_id(elements: bytes) -> bytes:
    end = elements.rfind(b", session=<")
    return elements[:end] if end >= 0 else elements.rstrip(b" ,\r")


def _handshake_failed(service: Service, ip: bytes, sentence: bytes, error: bytes) -> LoginLine:
    said = sentence[max(sentence.find(b"error:"), 0) :].partition(b" (")[0]  # behind: `(no auth attempts in 0 secs)`
    parsed = parse_error(error.decode("utf-8", "replace")) or parse_error(said.decode("utf-8", "replace"))
    if parsed is not None:
        return LoginLine(service, ip, Outcome.TLS_FAILED, cause_of(parsed), printable(parsed.text, 120), parsed.number)
    if not error:
        if b"Inactivity" in sentence:
            return LoginLine(service, ip, Outcome.TLS_FAILED, Cause.TIMEOUT, "Inactivity")
        return LoginLine(service, ip, Outcome.TLS_FAILED, Cause.UNKNOWN)
    plain = _CALL_FAILED.sub(b"", _SYSCALL.sub(b"", _READ_FAILED.sub(b"", error)))
    reason = printable(plain, 120)
    cause = cause_of_plain(reason)
    if cause is Cause.NETWORK_CUT and b"Inactivity" in sentence:
        cause = Cause.TIMEOUT
    if cause is Cause.UNKNOWN and _SYSCALL.match(error):
        cause = Cause.NETWORK_CUT
    return LoginLine(service, ip, Outcome.TLS_FAILED, cause, reason)


def _handshake_done(
    service: Service, ip: bytes, sentence: bytes, error: bytes, cipher: re.Match[bytes] | None
) -> LoginLine:
    parsed = parse_error(error.decode("utf-8", "replace"))
    if parsed is not None and parsed.is_alert:
        return LoginLine(service, ip, Outcome.TLS_FAILED, cause_of(parsed), printable(parsed.text, 120), parsed.number)
    login = sentence.startswith(b"Login: ")
    return LoginLine(
        service,
        ip,
        Outcome.TLS_OK,
        Cause.NONE if login else Cause.DROPPED_AFTER_TLS,
        printable(parsed.text, 120) if parsed else None,
        parsed.number if parsed else None,
        cipher[1].decode() if cipher else None,
        printable(cipher[2], 80) if cipher else None,
    )


def _init_failed(service: Service, text: bytes) -> LoginLine:
    """`Failed to initialize SSL server context: WHY: [error:...]: user=<>, rip=...`: the server's fault."""
    address = text.rfind(b"rip=")
    match = _ADDRESS.match(text, address) if address >= 0 else None
    why = text[: text.rfind(b": user=<")] if b": user=<" in text else text
    parsed = parse_error(why.decode("utf-8", "replace"))
    cause = Cause.DH_TOO_SMALL if parsed and parsed.text == "dh key too small" else Cause.SERVER_MISCONFIGURED
    reason = parsed.text if parsed else why[len(_INIT_FAILED) :].lstrip(b": ").decode("utf-8", "replace")
    return LoginLine(
        service,
        match[1] if match else b"",
        Outcome.SERVER_TLS_BROKEN,
        cause,
        printable(reason, 200) or "Failed to initialize SSL server context",
        init_failed=True,
    )


_ABOUT_TLS = (b"ssl", b"SSL", b"TLS", b"certificate", b"DH parameters", b"cipher", b"private key")


def _fatal(service: Service, text: bytes) -> LoginLine | None:
    """A dying login process; its last words are a statement about TLS where they name one of its settings."""
    if not any(word in text for word in _ABOUT_TLS):
        return None
    parsed = parse_error(text.decode("utf-8", "replace"))
    tail = text.rsplit(b": ", 1)[-1] if b": " in text else text
    reason = printable(parsed.text if parsed else tail.decode("utf-8", "replace"), 200)
    return LoginLine(service, b"", Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED, reason, fatal=True)
