"""Transcripts: sessions of smtpd, line by line, with the verdict that the lines prove."""

from __future__ import annotations

MX = "mx.example.net[192.0.2.1]"
OTHER = "other.example.net[192.0.2.2]"
NO_CIPHER = "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:2220:"
TOO_OLD = "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:x.c:1657:"
UNKNOWN_CA = (
    "warning: TLS library problem: error:0A000418:SSL routines::tlsv1 alert unknown ca:x.c:1586:SSL alert number 48:"
)
RECORD = "warning: TLS library problem: error:0A0000F5:SSL routines::unexpected record:x.c:1:"
ESTABLISHED = (
    f"Anonymous TLS connection established from {MX}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
)

FAILED, OK, PLAIN, BROKEN = "tls_failed", "tls_ok", "no_starttls", "server_tls_broken"

# One session of smtpd as its lines; outcome, cause, reason. None: the lines prove nothing.
SESSIONS: dict[str, tuple[list[str], tuple[str, str, str | None] | None]] = {
    "3.x, OpenSSL's reason": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: -1", NO_CIPHER, f"lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (FAILED, "no_shared_cipher", "no shared cipher"),
    ),
    "3.10, NOQUEUE": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: -1", TOO_OLD, f"NOQUEUE: lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (FAILED, "peer_too_old", "unsupported protocol"),
    ),
    "2.9 to 2.11, no statistics": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: lost connection", f"lost connection after STARTTLS from {MX}", f"disconnect from {MX}"],
        (FAILED, "network_cut", "lost connection"),
    ),
    "2.3 to 2.8, EOF is -1 too": (
        [f"connect from {MX}", f"setting up TLS connection from {MX}", f"SSL_accept error from {MX}: -1", f"lost connection after STARTTLS from {MX}", f"disconnect from {MX}"],
        (FAILED, "unknown", None),
    ),
    "alert, OpenSSL 1.0 returns 0": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: 0", UNKNOWN_CA, f"lost connection after STARTTLS from {MX}"],
        (FAILED, "peer_rejects_our_cert", "tlsv1 alert unknown ca"),
    ),
    "several errors, the first counts": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: -1", NO_CIPHER, RECORD, f"disconnect from {MX}"],
        (FAILED, "no_shared_cipher", "no shared cipher"),
    ),
    "wrapper mode": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: Connection timed out", f"lost connection after CONNECT from {MX}", f"disconnect from {MX} commands=0/0"],
        (FAILED, "timeout", "Connection timed out"),
    ),
    "reset": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: Connection reset by peer", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (FAILED, "network_cut", "Connection reset by peer"),
    ),
    "rate limit behind a failure, no lost connection": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: -1", TOO_OLD, f"warning: New TLS session rate limit exceeded: 4 from {MX} for service 25", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (FAILED, "peer_too_old", "unsupported protocol"),
    ),
    "refused by the rate limit": (
        [f"connect from {MX}", f"warning: Refusing STARTTLS request from {MX} for service smtp", f"disconnect from {MX} ehlo=1 starttls=0/1 quit=1 commands=2/3"],
        (FAILED, "unknown", "New TLS session rate limit exceeded"),
    ),
    "loglevel 0, success": (
        [f"connect from {MX}", f"disconnect from {MX} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"],
        (OK, "none", None),
    ),
    "loglevel 1, success, mail": (
        [f"connect from {MX}", ESTABLISHED, f"4A1B2C3D4E: client={MX}", f"disconnect from {MX} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"],
        (OK, "none", None),
    ),
    "monitor: handshake, then gone": (
        [f"connect from {MX}", ESTABLISHED, f"lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=1 commands=2"],
        (OK, "dropped_after_tls", None),
    ),
    "monitor at loglevel 0": (
        [f"connect from {MX}", f"lost connection after EHLO from {MX}", f"disconnect from {MX} ehlo=2 starttls=1 commands=3"],
        (OK, "dropped_after_tls", None),
    ),
    "alert behind the handshake (TLS 1.3)": (
        [f"connect from {MX}", ESTABLISHED, UNKNOWN_CA, f"lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=1 commands=2"],
        (FAILED, "peer_rejects_our_cert", "tlsv1 alert unknown ca"),
    ),
    "alert behind the handshake, loglevel 0": (
        [f"connect from {MX}", UNKNOWN_CA, f"lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=1 commands=2"],
        (FAILED, "peer_rejects_our_cert", "tlsv1 alert unknown ca"),
    ),
    "rubbish behind the handshake": (
        [f"connect from {MX}", ESTABLISHED, RECORD, f"lost connection after CONNECT from {MX}", f"disconnect from {MX} commands=0/0"],
        (OK, "dropped_after_tls", "unexpected record"),
    ),
    "reason without SSL_accept line": (
        [TOO_OLD, f"lost connection after STARTTLS from {MX}"],
        (FAILED, "peer_too_old", "unsupported protocol"),
    ),
    "starttls=0/1 and nothing else": (
        [f"connect from {MX}", f"lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (FAILED, "unknown", None),
    ),
    "no TLS tried": (
        [f"connect from {MX}", f"disconnect from {MX} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"],
        (PLAIN, "none", None),
    ),
    "old, lost after STARTTLS alone does not tell": (
        [f"connect from {MX}", f"lost connection after STARTTLS from {MX}", f"disconnect from {MX}"],
        None,
    ),
    "nothing said": ([f"connect from {MX}", f"disconnect from {MX} commands=0/0"], None),
    "old, plain": ([f"connect from {MX}", f"disconnect from {MX}"], None),
    "cut off behind connect": ([f"connect from {MX}"], None),
    "orphan reason": ([NO_CIPHER], None),
    "reason, then the log ends": ([f"connect from {MX}", NO_CIPHER], None),
    "failed, then the log ends": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: -1", NO_CIPHER], (FAILED, "no_shared_cipher", "no shared cipher"),
    ),
    "the log begins within a success": (
        [f"disconnect from {MX} ehlo=2 starttls=1 quit=1 commands=4"], (OK, "none", None),
    ),
    "bad cipher grade": (
        [f"connect from {MX}", f'warning: {MX}: invalid cipher grade: "lowest"', f"lost connection after STARTTLS from {MX}", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (BROKEN, "server_misconfigured", "invalid cipher grade"),
    ),
    "bad cipher list": (
        [f"connect from {MX}", f'warning: {MX}: error setting cipher grade: "medium"', "warning: TLS library problem: error:0A0000B9:SSL routines::no cipher match:x.c:1:", f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2"],
        (BROKEN, "server_misconfigured", "no cipher match"),
    ),
    "wrapper mode without a context": (
        [f"connect from {MX}", f"warning: Wrapper-mode request dropped from {MX} for service smtps. TLS context initialization failed. For details see earlier warnings in your logs.", f"disconnect from {MX} commands=0/0"],
        (BROKEN, "server_misconfigured", "TLS context initialization failed"),
    ),
    "hello on the plain port": (
        [f"improper command pipelining after CONNECT from {MX}: \\026\\003\\001\\002"], (PLAIN, "tls_on_plain_port", None),
    ),
}  # fmt: skip

NOISE = (
    f"setting up TLS connection from {MX}", "initializing the server-side TLS engine", "SSL_accept:before/accept initialization",
    "SSL_accept:SSLv3 read client hello A", "SSL_accept:error in error", "SSL3 alert write:fatal:handshake failure",
    "read from 55C0 [55D0] (11 bytes => -1 (0xFFFF))", "0000 16 03 01 02 00 01 00 01|fc 03 03       ........ ...",
    f'{MX}: TLS cipher list "aNULL:-aNULL:ALL"', f"{MX}: Issuing session ticket, key expiration: 1700000000",
)  # fmt: skip
