"""The vocabulary of verdicts: services, doors, outcomes and causes.

The labels are contracts: dashboards, policies and tests rely on the exact words. What each cause proves is
said beside it; `openssl.cause_of` maps OpenSSL's reasons to them.
"""

from __future__ import annotations

from enum import StrEnum


class Service(StrEnum):
    """Which way in a session took, as the syslog tag tells."""

    SMTPD = "smtpd"
    SMTPS = "smtps"
    SUBMISSION = "submission"
    POSTSCREEN = "postscreen"
    IMAP = "imap"
    POP3 = "pop3"
    LMTP = "lmtp"
    SIEVE = "sieve"


class Door(StrEnum):
    """Which of the site's TLS settings served the session."""

    STRICT = "strict"
    LEGACY_RSA = "legacy-rsa"
    LEGACY = "legacy"
    SSLV3 = "sslv3"


class Outcome(StrEnum):
    """How TLS went in one session."""

    TLS_OK = "tls_ok"
    TLS_FAILED = "tls_failed"
    NO_STARTTLS = "no_starttls"
    SERVER_TLS_BROKEN = "server_tls_broken"


class Cause(StrEnum):
    """What the evidence of one session proves."""

    NONE = "none"
    DROPPED_AFTER_TLS = "dropped_after_tls"
    PEER_TOO_OLD = "peer_too_old"
    NOT_TLS_OR_TOO_OLD = "not_tls_or_too_old"
    NO_SHARED_CIPHER = "no_shared_cipher"
    NO_SHARED_GROUP_OR_SIGALG = "no_shared_group_or_sigalg"
    PEER_REJECTS_OUR_CERT = "peer_rejects_our_cert"
    PEER_REJECTS_OUR_VERSION = "peer_rejects_our_version"
    PEER_ALERT_OTHER = "peer_alert_other"
    NOT_TLS = "not_tls"
    TLS_ON_PLAIN_PORT = "tls_on_plain_port"
    BUGGY_OR_SCANNER_PEER = "buggy_or_scanner_peer"
    NETWORK_CUT = "network_cut"
    TIMEOUT = "timeout"
    SERVER_MISCONFIGURED = "server_misconfigured"
    DH_TOO_SMALL = "dh_too_small"
    FALLBACK_SCSV = "fallback_scsv"
    NO_SHARED_ALPN = "no_shared_alpn"
    CORRUPT_RECORDS = "corrupt_records"
    UNKNOWN = "unknown"
