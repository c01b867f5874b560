"""What NSS says of a failed handshake, in OpenSSL's words: the watcher then reads the gateway's log as Postfix's own.

NSS's words are those of PR_ErrorToName (nss/lib/ssl/SSLerrs.h), OpenSSL's reasons those of openssl/sslerr.h. A word
that is not listed keeps itself, and the number of an unspecific error.
"""

from __future__ import annotations

_OTHER = 0x0FF  # no reason of OpenSSL's

_REASONS = {
    "SSL_ERROR_NO_CYPHER_OVERLAP": (0x0C1, "no shared cipher"),
    "SSL_ERROR_UNSUPPORTED_VERSION": (0x102, "unsupported protocol"),
    "SSL_ERROR_SSL2_DISABLED": (0x102, "unsupported protocol"),
    "SSL_ERROR_INAPPROPRIATE_FALLBACK_ALERT": (0x175, "inappropriate fallback"),
    "SSL_ERROR_BAD_CLIENT": (0x10B, "wrong version number"),
    "SSL_ERROR_RX_UNKNOWN_RECORD_TYPE": (0x10B, "wrong version number"),
    "SSL_ERROR_RX_RECORD_TOO_LONG": (0x10B, "wrong version number"),
    "SSL_ERROR_RX_MALFORMED_CLIENT_HELLO": (0x09F, "length mismatch"),
    "SSL_ERROR_BAD_MAC_READ": (0x119, "decryption failed or bad record mac"),
    "SSL_ERROR_HANDSHAKE_FAILURE_ALERT": (0x410, "sslv3 alert handshake failure"),
    "SSL_ERROR_BAD_CERT_ALERT": (0x412, "sslv3 alert bad certificate"),
    "SSL_ERROR_UNSUPPORTED_CERT_ALERT": (0x413, "sslv3 alert unsupported certificate"),
    "SSL_ERROR_REVOKED_CERT_ALERT": (0x414, "sslv3 alert certificate revoked"),
    "SSL_ERROR_EXPIRED_CERT_ALERT": (0x415, "sslv3 alert certificate expired"),
    "SSL_ERROR_CERTIFICATE_UNKNOWN_ALERT": (0x416, "sslv3 alert certificate unknown"),
    "SSL_ERROR_ILLEGAL_PARAMETER_ALERT": (0x417, "sslv3 alert illegal parameter"),
    "SSL_ERROR_UNKNOWN_CA_ALERT": (0x418, "tlsv1 alert unknown ca"),
    "SSL_ERROR_ACCESS_DENIED_ALERT": (0x419, "tlsv1 alert access denied"),
    "SSL_ERROR_PROTOCOL_VERSION_ALERT": (0x42E, "tlsv1 alert protocol version"),
    "SSL_ERROR_INSUFFICIENT_SECURITY_ALERT": (0x42F, "tlsv1 alert insufficient security"),
    "SSL_ERROR_INTERNAL_ERROR_ALERT": (0x438, "tlsv1 alert internal error"),
}

CUT = frozenset({"PR_END_OF_FILE_ERROR", "PR_CONNECT_RESET_ERROR", "SSL_ERROR_CLOSE_NOTIFY_ALERT"})
"""The peer went away, for which OpenSSL has no line either."""


def library_line(word: str) -> str | None:
    """Write the line that Postfix would write of OpenSSL's queue (tls/tls_misc.c:tls_print_errors); None: no line."""
    if word in CUT:
        return None
    number, reason = _REASONS.get(word, (_OTHER, word.lower().replace("_", " ")))
    return f"warning: TLS library problem: error:0A{number:06X}:SSL routines::{reason}:nss:0:{word}:"
