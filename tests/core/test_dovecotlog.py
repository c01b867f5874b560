"""Login lines of Dovecot 1.0 to 2.4: one line is one session, and who said what in it."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.dovecotlog import LoginLine, login_service, read_login

OK, FAILED, BROKEN = Outcome.TLS_OK, Outcome.TLS_FAILED, Outcome.SERVER_TLS_BROKEN
OLD = "error:140760FC:SSL routines:SSL23_GET_CLIENT_HELLO:unknown protocol"
TOO_OLD = "error:14209102:SSL routines:tls_early_post_process_client_hello:unsupported protocol"
TOO_OLD_3 = "error:0A000102:SSL routines::unsupported protocol"
NO_CIPHER = "error:0A0000C1:SSL routines::no shared cipher"
UNKNOWN_CA = "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48"
EXPIRED = "error:14094415:SSL routines:SSL3_READ_BYTES:sslv3 alert certificate expired: SSL alert number 45"

# The message behind `imap-login: `; outcome, cause, reason. Address is always 192.0.2.1.
SESSIONS = {
    # 1.0: `TLS handshake`, no user, the words `no auth attempts` bare
    "Disconnected: rip=192.0.2.1, lip=192.0.2.2, TLS handshake": (FAILED, Cause.UNKNOWN, None),
    "Disconnected: rip=192.0.2.1, lip=192.0.2.2, TLS": (OK, Cause.DROPPED_AFTER_TLS, None),
    "Disconnected (no auth attempts): rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: Disconnected": (FAILED, Cause.NETWORK_CUT, "Disconnected"),
    "Disconnected (no auth attempts): rip=192.0.2.1, lip=192.0.2.2, TLS: Disconnected": (OK, Cause.DROPPED_AFTER_TLS, None),
    "Disconnected: Inactivity (no auth attempts): rip=192.0.2.1, lip=192.0.2.2, TLS handshaking": (FAILED, Cause.TIMEOUT, "Inactivity"),
    "Disconnected: Inactivity (no auth attempts): rip=192.0.2.1, lip=192.0.2.2, TLS": (OK, Cause.DROPPED_AFTER_TLS, None),
    # 1.2, 2.0, 2.1
    f"Disconnected (no auth attempts in 10 secs): user=<>, rip=192.0.2.1, TLS handshaking: SSL_accept() failed: {OLD}": (FAILED, Cause.NOT_TLS_OR_TOO_OLD, "unknown protocol"),
    "Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS": (OK, Cause.NONE, None),
    "Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=7, TLS": (OK, Cause.NONE, None),
    "Aborted login (auth failed, 1 attempts): user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS": (OK, Cause.DROPPED_AFTER_TLS, None),
    # 2.2: session id behind
    f"Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS: SSL_read() failed: {UNKNOWN_CA}, session=<a+b/c>": (FAILED, Cause.PEER_REJECTS_OUR_CERT, "tlsv1 alert unknown ca"),
    "Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS: SSL_read() syscall failed: Connection reset by peer, session=<a>": (OK, Cause.DROPPED_AFTER_TLS, None),
    "Disconnected (disconnected before auth was ready, waited 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() syscall failed: Success, session=<a>": (FAILED, Cause.NETWORK_CUT, "Success"),
    "Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() syscall failed: Connection reset by peer": (FAILED, Cause.NETWORK_CUT, "Connection reset by peer"),
    "Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() syscall failed: Connection timed out": (FAILED, Cause.TIMEOUT, "Connection timed out"),
    "Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() syscall failed: Broken pipe": (FAILED, Cause.NETWORK_CUT, "Broken pipe"),
    f"Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {EXPIRED}, session=<a>": (FAILED, Cause.PEER_REJECTS_OUR_CERT, "sslv3 alert certificate expired"),
    # 2.3: the reason stands in the sentence and in the elements, or in one of them
    f"Disconnected: Connection closed: SSL_accept() failed: {TOO_OLD} (no auth attempts in 1 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {TOO_OLD}, session=<a>": (FAILED, Cause.PEER_TOO_OLD, "unsupported protocol"),
    f"Disconnected: Connection closed: SSL_accept() failed: {TOO_OLD_3} (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() syscall failed: Invalid argument, session=<a>": (FAILED, Cause.PEER_TOO_OLD, "unsupported protocol"),
    f"Disconnected: Connection closed: SSL_accept() syscall failed: Invalid argument (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {TOO_OLD_3}, session=<a>": (FAILED, Cause.PEER_TOO_OLD, "unsupported protocol"),
    "Disconnected: Connection closed: SSL_accept() syscall failed: Invalid argument (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() syscall failed: Invalid argument, session=<a>": (FAILED, Cause.NETWORK_CUT, "Invalid argument"),
    "Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: Connection closed, session=<a>": (FAILED, Cause.NETWORK_CUT, "Connection closed"),
    "Disconnected: Connection closed: read(size=1026) failed: Connection reset by peer (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: read(size=1026) failed: Connection reset by peer, session=<a>": (FAILED, Cause.NETWORK_CUT, "Connection reset by peer"),
    "Disconnected: Inactivity (no auth attempts in 180 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking, session=<a>": (FAILED, Cause.TIMEOUT, "Inactivity"),
    "Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS: Connection closed, session=<a>": (OK, Cause.DROPPED_AFTER_TLS, None),
    f"Disconnected: Connection closed: SSL_read() failed: {UNKNOWN_CA} (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS: SSL_read() failed: {UNKNOWN_CA}, session=<a>": (FAILED, Cause.PEER_REJECTS_OUR_CERT, "tlsv1 alert unknown ca"),
    "Disconnected: Connection closed (auth failed, 3 attempts in 14 secs): user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<a>": (OK, Cause.DROPPED_AFTER_TLS, None),
    "Disconnected: Connection closed (disconnected before auth was ready, waited 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<a>": (OK, Cause.DROPPED_AFTER_TLS, None),
    # 2.4: another sentence, the elements as they were; several errors strung together
    f"Login aborted: Connection closed: SSL_accept() failed: {NO_CIPHER} (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {NO_CIPHER}, session=<a>": (FAILED, Cause.NO_SHARED_CIPHER, "no shared cipher"),
    f"Login aborted: Connection closed (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {NO_CIPHER}, {TOO_OLD_3}, session=<a>": (FAILED, Cause.NO_SHARED_CIPHER, "no shared cipher"),
    f"Login aborted: Connection closed (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {NO_CIPHER}+Connection closed, session=<a>": (FAILED, Cause.NO_SHARED_CIPHER, "no shared cipher"),
    "Login aborted: Connection closed (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS handshaking: SSL connection closed during handshake, session=<a>": (FAILED, Cause.NETWORK_CUT, "SSL connection closed during handshake"),
    "Login aborted: Connection closed: read(size=653) failed: Connection reset by peer (no auth attempts in 1 secs) (no_auth_attempts): user=<>, rip=192.0.2.1, lip=192.0.2.1, TLS: read(size=653) failed: Connection reset by peer, session=<a>": (OK, Cause.DROPPED_AFTER_TLS, None),
    "Login aborted: Logged out (no auth attempts in 0 secs) (no_auth_attempts): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<a>": (OK, Cause.DROPPED_AFTER_TLS, None),
}  # fmt: skip

WITHOUT_TLS = (
    "Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=11616, secured",
    "Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=1, secured, session=<TLSx>",
    "Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, session=<TLS>",
    "Disconnected: Too many invalid commands (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2",
    "Aborted login (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, session=<a>",
    "Error: Timeout waiting for handshake from auth server. my pid=191, input bytes=0",
    "Warning: SSL alert: where=0x4004, ret=558: fatal unknown CA [192.0.2.1]",
    "Debug: SSL: where=0x10, ret=1: before SSL initialization",
    "Debug: SSL alert: close notify",
    "Disconnected",
    "",
)


@pytest.mark.parametrize("message", SESSIONS)
@pytest.mark.parametrize("level", ["", "Info: "])
def test_every_form_of_a_login_line_is_one_session(message: str, level: str) -> None:
    outcome, cause, reason = SESSIONS[message]
    line = read_login(Service.IMAP, (level + message).encode())
    assert line is not None
    assert (line.ip, line.outcome, line.cause, line.service) == (b"192.0.2.1", outcome, cause, Service.IMAP)
    if outcome is FAILED:
        assert line.reason == reason


@pytest.mark.parametrize("message", SESSIONS)
@pytest.mark.parametrize("ip", ["2001:db8::1", "::1", "fe80::1", "::ffff:192.0.2.7", "unknown", "REMOVED", "x.x.x.x"])
def test_the_address_may_be_of_any_kind(message: str, ip: str) -> None:
    line = read_login(Service.POP3, message.replace("rip=192.0.2.1", f"rip={ip}").encode())
    assert line is not None
    assert line.ip.decode() == ip.removeprefix("::ffff:")


@pytest.mark.parametrize("message", WITHOUT_TLS)
def test_sessions_without_tls_and_false_friends_say_nothing(message: str) -> None:
    assert read_login(Service.IMAP, message.encode()) is None


@pytest.mark.parametrize(
    ("suffix", "version", "cipher"),
    [
        (", TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 (128/128 bits)", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"),
        (
            ", TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits), session=<a>",
            "TLSv1.3",
            "TLS_AES_256_GCM_SHA384",
        ),
        (", SSLv3 with cipher RC4-MD5 (128/128 bits)", "SSLv3", "RC4-MD5"),
        (", session=<a>", None, None),
    ],
)
def test_version_and_cipher_are_read_where_the_operator_logs_them(
    suffix: str, version: str | None, cipher: str | None
) -> None:
    line = read_login(
        Service.IMAP, f"Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=1, TLS{suffix}".encode()
    )
    assert line is not None
    assert (line.outcome, line.cause, line.tls_version, line.cipher) == (OK, Cause.NONE, version, cipher)


def test_a_control_character_in_a_cipher_does_not_come_out_raw() -> None:
    line = read_login(
        Service.IMAP,
        b"Login: user=<a>, rip=192.0.2.1, lip=192.0.2.2, TLS, TLSv1.2 with cipher A\x1b[2JB\xff (1/1 bits)",
    )
    assert line is not None
    assert line.cipher == "A?[2JB\\xff"


def test_an_error_before_the_cipher_is_read_too() -> None:
    text = f"Disconnected (no auth): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS: SSL_read() failed: {UNKNOWN_CA}, TLSv1.2 with cipher X (1/1 bits)"
    line = read_login(Service.IMAP, text.encode())
    assert line is not None
    assert (line.outcome, line.reason, line.reason_number) == (FAILED, "tlsv1 alert unknown ca", 1048)


PROGRAMS = {"imap": Service.IMAP, "pop3": Service.POP3, "managesieve": Service.SIEVE, "submission": Service.SUBMISSION}
WAYS = {
    "syslog": (b"dovecot", "{name}-login: x"),
    "syslog, 2.4 with pid": (b"dovecot", "{name}-login(77): x"),
    "syslog, user and session": (b"dovecot", "{name}-login(a@b)<77><c+d>: x"),
    "own log file": (b"{name}-login", "x"),
}


@pytest.mark.parametrize(("way", "name"), list(product(WAYS, PROGRAMS)))
def test_the_login_process_tells_the_service(way: str, name: str) -> None:
    tag, message = WAYS[way]
    found = login_service(tag.replace(b"{name}", name.encode()), message.format(name=name).encode())
    assert found == (PROGRAMS[name], b"x")


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (b"dovecot", b"imap(a): Disconnected"), (b"dovecot", b"auth: imap-login: x"), (b"lmtp", b"x"), (b"dovecot", b""),
        (b"vsftp-login", b"x"), (b"dovecot", b"user=<imap-login: x>"),
    ],
)  # fmt: skip
def test_other_programs_are_no_login_process(tag: bytes, message: bytes) -> None:
    assert login_service(tag, message) is None


SERVER_FAULTS = {
    "Error: Failed to initialize SSL server context: Couldn't parse DH parameters: error:0906D06C:PEM routines:PEM_read_bio:no start line: Expecting: DH PARAMETERS: user=<>, rip=192.0.2.1, lip=192.0.2.2, session=<a>": (Cause.SERVER_MISCONFIGURED, "no start line"),
    "Error: Failed to initialize SSL server context: Can't load DH parameters (ssl_dh setting): error:0A00018A:SSL routines::dh key too small: user=<>, rip=192.0.2.1, lip=192.0.2.2, session=<a>": (Cause.DH_TOO_SMALL, "dh key too small"),
    "Error: Failed to initialize SSL server context: Unknown ssl_min_protocol setting 'TLSv9': user=<>, rip=192.0.2.1, lip=192.0.2.2": (Cause.SERVER_MISCONFIGURED, "Unknown ssl_min_protocol setting 'TLSv9'"),
    "Error: Failed to initialize SSL server context: Can't set cipher list to 'FOOBAR': error:0A0000B9:SSL routines::no cipher match: user=<>, rip=192.0.2.1, lip=192.0.2.2": (Cause.SERVER_MISCONFIGURED, "no cipher match"),
    "Error: Failed to initialize SSL server context: Can't load SSL certificate (ssl_cert setting): There is no valid PEM certificate.: user=<>, rip=192.0.2.1": (Cause.SERVER_MISCONFIGURED, "Can't load SSL certificate (ssl_cert setting): There is no valid PEM certificate."),
    "Disconnected: TLS initialization failed. (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.2, session=<a>": (Cause.SERVER_MISCONFIGURED, "TLS initialization failed"),
}  # fmt: skip


@pytest.mark.parametrize("message", SERVER_FAULTS)
def test_a_context_that_cannot_be_made_is_the_servers_fault(message: str) -> None:
    line = read_login(Service.IMAP, message.encode())
    assert line is not None
    assert (line.ip, line.outcome, line.cause, line.reason) == (b"192.0.2.1", BROKEN, *SERVER_FAULTS[message])
    assert line.init_failed


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Fatal: Invalid ssl_protocols setting: Unknown protocol 'SSLv2'", "Unknown protocol 'SSLv2'"),
        ("Fatal: Can't load ssl_cert: error:0906D06C:PEM routines:PEM_read_bio:no start line", "no start line"),
    ],
)
def test_a_dying_login_process_names_no_client(message: str, reason: str) -> None:
    line = read_login(Service.IMAP, message.encode())
    assert line is not None
    assert (line.ip, line.outcome, line.fatal, line.reason) == (b"", BROKEN, True, reason)


def test_a_dying_login_process_may_die_of_something_else() -> None:
    assert read_login(Service.IMAP, b"Fatal: master: service(imap-login): child 1 killed with signal 11") is None


def test_a_stacked_error_waits_for_the_line_behind_it() -> None:
    line = read_login(Service.IMAP, f"Error: SSL: Stacked error: {NO_CIPHER}".encode())
    assert line == LoginLine(Service.IMAP, b"", None, Cause.UNKNOWN, stacked=NO_CIPHER.encode())


EVIL = (
    "x>, rip=198.51.100.9, lip=192.0.2.2, TLS",
    f"x>, rip=198.51.100.9, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: {UNKNOWN_CA}",
    "x, rip=198.51.100.9, TLS handshaking",
    "rip=198.51.100.9",
    "TLS handshaking",
    f"Disconnected: Connection closed: SSL_accept() failed: {UNKNOWN_CA} (no",
    "x>, method=PLAIN, rip=198.51.100.9, lip=192.0.2.2, TLS, session=<",
    "Fatal: SSL",
)


@pytest.mark.parametrize("user", EVIL)
def test_a_user_name_charges_nobody(user: str) -> None:
    """The client chooses `user=<...>`, which stands before the address; neither address nor reason comes from there."""
    for end, outcome in (("TLS, session=<a>", OK), ("TLS", OK)):
        text = f"Aborted login (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, {end}"
        line = read_login(Service.IMAP, text.encode())
        assert line is not None
        assert (line.ip, line.outcome, line.cause) == (b"192.0.2.1", outcome, Cause.DROPPED_AFTER_TLS)
    plain = f"Aborted login (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<a>"
    assert read_login(Service.IMAP, plain.encode()) is None


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_no_user_name_whatever_changes_whose_session_it_is(user: str) -> None:
    text = f"Disconnected (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<a>"
    line = read_login(Service.IMAP, text.encode())
    assert line is not None
    assert (line.ip, line.outcome) == (b"192.0.2.1", OK)


@given(
    st.sampled_from(
        ["", "Info: ", "Error: ", "Fatal: ", "Disconnected: TLS ", "rip=192.0.2.1, TLS", "Error: SSL: Stacked error: "]
    ),
    st.binary(max_size=300),
)
def test_no_message_whatever_raises(start: str, rest: bytes) -> None:
    read_login(Service.IMAP, start.encode() + rest)
    login_service(b"dovecot", rest)
