"""Names of the alerts that a server sends (RFC 8446 section 6, RFC 5246 section 7.2, RFC 6101 section 5.4)."""

from __future__ import annotations

CLOSE_NOTIFY, UNRECOGNIZED_NAME = 0, 112

_NAMES = {
    CLOSE_NOTIFY: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    UNRECOGNIZED_NAME: "unrecognized_name",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


def alert_name(number: int) -> str:
    """Name an alert, with its number."""
    name = _NAMES.get(number)
    return f"alert {number} ({name})" if name is not None else f"alert {number}"
