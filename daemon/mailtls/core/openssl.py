"""OpenSSL's words: error lines to reasons, reasons to causes.

The reason *number* is the key where there is one: the texts change between versions ("sslv3 alert bad certificate"
became "ssl/tls alert bad certificate" in OpenSSL 3.2), the numbers of include/openssl/sslerr.h do not. OpenSSL 0.9.8
to 1.1 print `error:14LLFRRR` (ERR_PACK: library 8 bits, function 12, reason 12), 3.x prints `error:0A0RRRRR`
(library 8 bits at bit 23, reason 23 bits). Reasons from 1000 up are alerts of the peer: 1000 + alert number of
RFC 8446 section 6. Other libraries than SSL (PEM, system, x509) number their reasons for themselves: there the text
is the key, and a failure of theirs in smtpd is about files of the server.
"""

from __future__ import annotations

from typing import NamedTuple

from mailtls.core.cause import Cause

_SSL_LIBRARY = 20  # ERR_LIB_SSL
_UNKNOWN_PROTOCOL = 0x0FC
_SSL23_UNKNOWN_PROTOCOL = 0x0760FC  # function and reason: SSL23_GET_CLIENT_HELLO
# Libraries that complain about files and settings of the server, not about what a peer sent.
_FILE_LIBRARIES = frozenset(
    {
        "system library",
        "BIO routines",
        "PEM routines",
        "x509 certificate routines",
        "configuration file routines",
    }
)


class LibraryError(NamedTuple):
    """One parsed error.

    `number`: reason code where the SSL library raised it, else None. `text`: the reason. `code`: the packed code as
    it was printed, `library`: the library's name.
    """

    number: int | None
    text: str
    code: int
    library: str

    @property
    def is_alert(self) -> bool:
        """Tell whether this is an alert that the peer sent (RFC 8446 section 6.2)."""
        if self.number is not None:
            return 1000 <= self.number < 1256
        return " alert " in self.text


# Alerts, as 1000 + number (RFC 8446 6.2, RFC 5246 7.2.2).
_ALERT_CAUSES = {
    1042: Cause.PEER_REJECTS_OUR_CERT,  # bad_certificate
    1045: Cause.PEER_REJECTS_OUR_CERT,  # certificate_expired
    1046: Cause.PEER_REJECTS_OUR_CERT,  # certificate_unknown
    1048: Cause.PEER_REJECTS_OUR_CERT,  # unknown_ca
    1070: Cause.PEER_REJECTS_OUR_VERSION,  # protocol_version
}

# Reason codes of sslerr.h; the same in every version that knows them.
_REASON_CAUSES = {
    0x102: Cause.PEER_TOO_OLD,  # unsupported protocol
    0x18C: Cause.PEER_TOO_OLD,  # version too low
    0x0FE: Cause.PEER_TOO_OLD,  # unknown ssl version
    0x0C1: Cause.NO_SHARED_CIPHER,  # no shared cipher
    0x0B9: Cause.SERVER_MISCONFIGURED,  # no cipher match: the list of the server is empty
    0x065: Cause.NO_SHARED_GROUP_OR_SIGALG,  # no suitable key share
    0x076: Cause.NO_SHARED_GROUP_OR_SIGALG,  # no suitable signature algorithm
    0x178: Cause.NO_SHARED_GROUP_OR_SIGALG,  # no shared signature algorithms
    0x19A: Cause.NO_SHARED_GROUP_OR_SIGALG,  # no shared groups
    0x09C: Cause.NOT_TLS,  # http request
    0x09B: Cause.NOT_TLS,  # https proxy request
    0x10B: Cause.NOT_TLS,  # wrong version number
    0x126: Cause.NETWORK_CUT,  # unexpected eof while reading
    0x0C4: Cause.SERVER_MISCONFIGURED,  # null ssl method passed
    0x0BF: Cause.SERVER_MISCONFIGURED,  # no protocols available
    0x0B3: Cause.SERVER_MISCONFIGURED,  # no certificate set
    0x0EA: Cause.SERVER_MISCONFIGURED,  # callback failed: the SNI table could not be read
    0x18A: Cause.DH_TOO_SMALL,  # dh key too small
    0x175: Cause.FALLBACK_SCSV,  # inappropriate fallback
    0x0EB: Cause.BUGGY_OR_SCANNER_PEER,  # no application protocol
    0x0F4: Cause.BUGGY_OR_SCANNER_PEER,  # unexpected message
    0x0F5: Cause.BUGGY_OR_SCANNER_PEER,  # unexpected record
}

# Texts, for versions and libraries without a usable number; the first match from the top counts.
_TEXT_CAUSES: tuple[tuple[str, Cause], ...] = (
    ("unsupported protocol", Cause.PEER_TOO_OLD),
    ("version too low", Cause.PEER_TOO_OLD),
    ("no shared cipher", Cause.NO_SHARED_CIPHER),
    ("no suitable key share", Cause.NO_SHARED_GROUP_OR_SIGALG),
    ("no suitable signature algorithm", Cause.NO_SHARED_GROUP_OR_SIGALG),
    ("no shared signature algorithms", Cause.NO_SHARED_GROUP_OR_SIGALG),
    ("http request", Cause.NOT_TLS),
    ("https proxy request", Cause.NOT_TLS),
    ("wrong version number", Cause.NOT_TLS),
    ("unexpected eof while reading", Cause.NETWORK_CUT),
    ("no protocols available", Cause.SERVER_MISCONFIGURED),
    ("dh key too small", Cause.DH_TOO_SMALL),
    ("inappropriate fallback", Cause.FALLBACK_SCSV),
    ("alert bad certificate", Cause.PEER_REJECTS_OUR_CERT),
    ("alert certificate expired", Cause.PEER_REJECTS_OUR_CERT),
    ("alert certificate unknown", Cause.PEER_REJECTS_OUR_CERT),
    ("alert unknown ca", Cause.PEER_REJECTS_OUR_CERT),
    ("alert protocol version", Cause.PEER_REJECTS_OUR_VERSION),
    (" alert ", Cause.PEER_ALERT_OTHER),
)

# What Postfix (`SSL_accept error from ...: TEXT`, %m or "lost connection") and Dovecot print where OpenSSL had no
# reason; lower case. Success: errno 0 behind a failed read, which is an EOF.
_PLAIN_CAUSES = {
    "lost connection": Cause.NETWORK_CUT,
    "connection reset by peer": Cause.NETWORK_CUT,
    "connection reset": Cause.NETWORK_CUT,
    "connection closed": Cause.NETWORK_CUT,
    "disconnected": Cause.NETWORK_CUT,
    "ssl connection closed during handshake": Cause.NETWORK_CUT,
    "broken pipe": Cause.NETWORK_CUT,
    "success": Cause.NETWORK_CUT,
    "invalid argument": Cause.NETWORK_CUT,
    "no route to host": Cause.NETWORK_CUT,
    "network is unreachable": Cause.NETWORK_CUT,
    "software caused connection abort": Cause.NETWORK_CUT,
    "eof": Cause.NETWORK_CUT,
    "unexpected eof": Cause.NETWORK_CUT,
    "connection timed out": Cause.TIMEOUT,
    "operation timed out": Cause.TIMEOUT,
    "inactivity": Cause.TIMEOUT,
}


def parse_error(text: str) -> LibraryError | None:
    """Parse `[PID:]error:CODE:LIBRARY:FUNCTION:REASON[:FILE:LINE:[DATA:]]`; None where the text has no such form.

    Source: crypto/err/err_prn.c ERR_error_string_n, behind which tls/tls_misc.c tls_print_errors puts file, line and
    data, and Dovecot's lib-ssl-iostream nothing or the data. Dovecot 2.4 strings several errors together with `, `
    (iostream-openssl-common.c openssl_iostream_error) and puts an earlier one behind `+`: the first counts.
    """
    start = text.find("error:")
    if start < 0:
        return None
    parts = text[start:].split(":", 6)
    if len(parts) < 5:
        return None
    try:
        code = int(parts[1], 16)
    except ValueError:
        return None
    number = None
    if code >> 23 == _SSL_LIBRARY:
        number = code & 0x7FFFFF
    elif code >> 24 == _SSL_LIBRARY or parts[2] == "SSL routines":  # seen: 15 where the library's number stands
        number = code & 0xFFF
    reason = parts[4].partition("+")[0].removesuffix(", error")
    return LibraryError(number, reason.strip(), code, parts[2])


def cause_of(error: LibraryError) -> Cause:
    """Map an OpenSSL error to its cause; a reason that nobody listed is a malformed or nonsensical handshake.

    `unknown protocol` is the one reason whose meaning changed: up to OpenSSL 1.0 SSL23_GET_CLIENT_HELLO raised it
    (error:140760FC) for everything that it did not take for a hello of an enabled version, later versions for the
    SSLv2-format hello alone.
    """
    number = error.number
    if number == _UNKNOWN_PROTOCOL:
        old = error.code & 0xFFFFFF == _SSL23_UNKNOWN_PROTOCOL
        return Cause.NOT_TLS_OR_TOO_OLD if old else Cause.PEER_TOO_OLD
    if number is not None:
        if error.is_alert:
            return _ALERT_CAUSES.get(number, Cause.PEER_ALERT_OTHER)
        if number in _REASON_CAUSES:
            return _REASON_CAUSES[number]
    for text, cause in _TEXT_CAUSES:
        if text in error.text:
            return cause
    return Cause.SERVER_MISCONFIGURED if error.library in _FILE_LIBRARIES else Cause.BUGGY_OR_SCANNER_PEER


def cause_of_reason(number: int) -> Cause:
    """Map a reason of OpenSSL 1.1 or later, known by its number alone."""
    return cause_of(LibraryError(number, "", 0, "SSL routines"))


def cause_of_plain(text: str) -> Cause:
    """Map the text of `SSL_accept error from ...: TEXT` or of Dovecot, without an OpenSSL reason, to its cause."""
    return _PLAIN_CAUSES.get(text.lower(), Cause.UNKNOWN)
