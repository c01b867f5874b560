"""Lines put together to sessions: who is charged with what, and who must not be. Properties stand in the other file."""

from __future__ import annotations

import pytest

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.history import StatementKind

from .reading import assemble, dovecot, facts, one, read, smtpd, tlsproxy
from .transcripts import BROKEN, ESTABLISHED, FAILED, MX, NO_CIPHER, NOISE, OK, OTHER, PLAIN, SESSIONS


@pytest.mark.parametrize("case", SESSIONS)
@pytest.mark.parametrize("tag", ["postfix/smtpd", "postfix/smtps/smtpd", "postfix/submission/smtpd"])
def test_the_lines_of_one_session_give_its_verdict(case: str, tag: str) -> None:
    lines, expected = SESSIONS[case]
    service = {"smtps": "smtps", "submission": "submission"}.get(tag.split("/")[1], "smtpd")
    if service == "smtps" and expected == (PLAIN, "none", None):
        expected = (OK, *expected[1:])  # in wrapper mode no command comes before the handshake is done
    wanted = [] if expected is None else [("192.0.2.1", service, *expected)]
    assert [facts(session) for session in read(smtpd(*lines, tag=tag))] == wanted


@pytest.mark.parametrize("case", SESSIONS)
@pytest.mark.parametrize(
    "who", ["unknown[192.0.2.1]", "mx.example.net[2001:db8::1]", "mx.example.net[192.0.2.1]:40895", "unknown[unknown]"]
)
def test_any_spelling_of_the_client_gives_the_same_verdict(case: str, who: str) -> None:
    lines, expected = SESSIONS[case]
    ip = who.partition("[")[2].partition("]")[0]
    wanted = [] if expected is None else [(ip, "smtpd", *expected)]
    sessions = read(smtpd(*(line.replace(MX, who) for line in lines)))
    assert [facts(session) for session in sessions] == wanted
    assert all(session.peer is not None and session.peer.name == who.partition("[")[0] for session in sessions)


@pytest.mark.parametrize("case", SESSIONS)
def test_higher_log_levels_change_nothing(case: str) -> None:
    lines, _ = SESSIONS[case]
    noisy = [noise for line in lines for noise in (*NOISE, line, *NOISE)]
    if "handshake, loglevel 0" in case or case.startswith("reason"):
        return
    assert [facts(s) for s in read(smtpd(*noisy))] == [facts(s) for s in read(smtpd(*lines))]


@pytest.mark.parametrize("case", SESSIONS)
def test_the_next_session_of_the_process_is_another(case: str) -> None:
    lines, _ = SESSIONS[case]
    if not lines[-1].startswith("disconnect"):
        return
    once = [facts(session) for session in read(smtpd(*lines))]
    again = read(smtpd(*lines, *lines, *lines))
    assert [facts(session) for session in again] == once * 3


def test_a_success_tells_version_cipher_name_and_mail() -> None:
    lines, _ = SESSIONS["loglevel 1, success, mail"]
    session = one(smtpd(*lines))
    assert session.peer is not None
    assert (session.peer.name, session.peer.ip) == ("mx.example.net", "192.0.2.1")
    assert (session.tls_version, session.cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert session.delivered
    assert session.commands == "ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"
    assert session.door is Door.STRICT


def test_a_failure_keeps_the_lines_that_prove_it_and_the_number() -> None:
    lines = smtpd(*SESSIONS["3.x, OpenSSL's reason"][0])
    session = one(lines)
    assert list(session.lines) == lines
    assert session.reason_number == 0x0C1
    assert session.at is not None


def test_of_a_long_session_the_first_lines_and_the_last_are_kept() -> None:
    lines = smtpd(
        f"connect from {MX}",
        f"SSL_accept error from {MX}: -1",
        *[NO_CIPHER] * 50,
        f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2",
    )
    session = one(lines)
    assert len(session.lines) == 8
    assert session.lines[0] == lines[0]
    assert session.lines[-1] == lines[-1]


def test_an_ipv4_client_seen_through_ipv6_is_one_peer() -> None:
    assert (
        one(smtpd("SSL_accept error from x[::ffff:192.0.2.1]: -1")).peer
        == one(smtpd("SSL_accept error from x[192.0.2.1]: -1")).peer
    )


# --- one process, another client -----------------------------------------------------------------------------

FAILING = SESSIONS["3.x, OpenSSL's reason"][0]
GOOD = [f"connect from {OTHER}", f"disconnect from {OTHER} ehlo=2 starttls=1 quit=1 commands=4"]


def failures(lines: list[str]) -> set[tuple[str | None, str | None]]:
    return {
        (facts(session)[0], session.reason)
        for session in read(lines)
        if session.outcome in (Outcome.TLS_FAILED, Outcome.SERVER_TLS_BROKEN)
    }


@pytest.mark.parametrize("kept", range(1, 2 ** len(FAILING)))
def test_whatever_lines_are_lost_the_next_client_of_the_process_is_not_charged(kept: int) -> None:
    lines = [line for number, line in enumerate(FAILING) if kept & 1 << number]
    for following in (
        GOOD,
        GOOD[:1],
        GOOD[1:],
        [f"lost connection after STARTTLS from {OTHER}", f"disconnect from {OTHER} ehlo=1 starttls=1 commands=2"],
    ):
        found = failures(smtpd(*lines, *following))
        assert all(ip == "192.0.2.1" and reason in (None, "no shared cipher") for ip, reason in found), found


def test_a_reason_is_not_inherited_by_the_next_failing_client() -> None:
    """The first client's end is lost, the second fails for a reason that is not in the log."""
    for lost in ("lost connection", "-1"):
        found = read(
            smtpd(
                f"connect from {MX}",
                f"SSL_accept error from {MX}: -1",
                NO_CIPHER,
                f"connect from {OTHER}",
                f"SSL_accept error from {OTHER}: {lost}",
                f"disconnect from {OTHER}",
            )
        )
        assert [(facts(session)[0], facts(session)[4]) for session in found] == [
            ("192.0.2.1", "no shared cipher"), ("192.0.2.2", None if lost == "-1" else lost),
        ]  # fmt: skip


def test_a_reason_in_front_of_another_clients_end_is_nobodys() -> None:
    assert (
        failures(
            smtpd(
                f"connect from {MX}",
                NO_CIPHER,
                f"lost connection after STARTTLS from {OTHER}",
                f"disconnect from {OTHER}",
            )
        )
        == set()
    )


def test_an_alert_in_front_of_another_clients_end_is_not_charged_to_the_one_before() -> None:
    alert = (
        "warning: TLS library problem: error:0A000418:SSL routines::tlsv1 alert unknown ca:x.c:1:SSL alert number 48:"
    )
    lines = [
        f"connect from {MX}",
        ESTABLISHED,
        alert,
        f"lost connection after STARTTLS from {OTHER}",
        f"disconnect from {OTHER}",
    ]
    assert failures(smtpd(*lines)) == set()


LOST_A, LOST_B = f"lost connection after STARTTLS from {MX}", f"lost connection after STARTTLS from {OTHER}"
LIMIT_B = f"warning: Refusing STARTTLS request from {OTHER} for service smtp"
UNKNOWN_CA = (
    "warning: TLS library problem: error:0A000418:SSL routines::tlsv1 alert unknown ca:x.c:1:SSL alert number 48:"
)

# Lines were lost, or came late: the reason stands where Postfix would never print it for this client. What may be said.
WRONG_PLACES: dict[str, tuple[list[str], set[tuple[str | None, str | None]]]] = {
    "behind the session's own end": ([f"connect from {MX}", LOST_A, NO_CIPHER], set()),
    "behind words of errno": (
        [f"connect from {MX}", f"SSL_accept error from {MX}: Connection reset by peer", NO_CIPHER],
        {("192.0.2.1", "Connection reset by peer")},
    ),
    "an orphan in the middle": (
        [*FAILING, NO_CIPHER, LOST_B, f"disconnect from {OTHER}"],
        {("192.0.2.1", "no shared cipher")},
    ),
    "an orphan alert in the middle": (
        [*FAILING, UNKNOWN_CA, f"disconnect from {OTHER}"],
        {("192.0.2.1", "no shared cipher")},
    ),
    "behind a handshake whose end is not in the log": ([f"connect from {MX}", ESTABLISHED, UNKNOWN_CA], set()),
    "in a session that was refused": (
        [
            f"connect from {OTHER}",
            NO_CIPHER,
            LIMIT_B,
            f"disconnect from {OTHER} ehlo=1 starttls=0/1 quit=1 commands=2/3",
        ],
        {("192.0.2.2", "New TLS session rate limit exceeded"), ("192.0.2.2", None)},
    ),
    "before the session's own failure": (
        [f"connect from {OTHER}", NO_CIPHER, f"SSL_accept error from {OTHER}: -1", UNKNOWN_CA, LOST_B],
        {("192.0.2.2", "tlsv1 alert unknown ca"), ("192.0.2.2", None)},
    ),
}


@pytest.mark.parametrize("case", WRONG_PLACES)
def test_a_reason_in_a_wrong_place_is_nobodys(case: str) -> None:
    lines, allowed = WRONG_PLACES[case]
    assert failures(smtpd(*lines)) <= allowed


def test_a_connect_that_comes_late_within_a_second_does_not_count_twice() -> None:
    accept, connect, *rest = (FAILING[1], FAILING[0], *FAILING[2:])
    assert len(read(smtpd(accept, connect, *rest))) == 1


def test_a_killed_process_speaks_no_more() -> None:
    killed = "Nov 21 00:42:35 mail postfix/master[1]: warning: process /usr/lib/postfix/sbin/smtpd pid 100 killed by signal 11"
    lines = [
        *smtpd(f"connect from {MX}", NO_CIPHER),
        killed,
        *smtpd(
            f"lost connection after STARTTLS from {OTHER}", f"disconnect from {OTHER} ehlo=1 starttls=0/1 commands=1/2"
        ),
    ]
    assert failures(lines) == {("192.0.2.2", None)}
    without = [line for line in lines if line != killed]
    assert ("192.0.2.2", "no shared cipher") not in failures(without)


def test_the_master_of_another_host_kills_nobody_here() -> None:
    killed = "Nov 21 00:42:35 elsewhere postfix/master[1]: warning: process /usr/lib/postfix/sbin/smtpd pid 100 killed by signal 11"
    lines = smtpd(*FAILING)
    assert [facts(s) for s in read([*lines[:2], killed, *lines[2:]])] == [facts(s) for s in read(lines)]


def test_the_same_pid_on_two_hosts_and_in_two_services_is_different_processes() -> None:
    a = smtpd(*FAILING, host="a")
    b = smtpd(
        *(
            line.replace(MX, OTHER).replace(
                "0A0000C1:SSL routines::no shared cipher", "0A000102:SSL routines::unsupported protocol"
            )
            for line in FAILING
        ),
        host="b",
    )
    c = smtpd(*(line.replace(MX, "c[192.0.2.3]") for line in GOOD), tag="postfix/smtps/smtpd", host="a")
    woven = [line for group in zip(a, b, [*c, "", "", ""], strict=True) for line in group if line]
    assert failures(woven) == {("192.0.2.1", "no shared cipher"), ("192.0.2.2", "unsupported protocol")}


def test_xclient_names_the_true_client_within_the_session() -> None:
    lines = smtpd(
        "connect from localhost[127.0.0.1]",
        f"SSL_accept error from {MX}: -1",
        NO_CIPHER,
        f"lost connection after STARTTLS from {MX}",
        f"disconnect from {MX} ehlo=1 xclient=0/1 starttls=0/1 commands=1/3",
    )
    assert [facts(session)[:2] for session in read(lines)] == [("192.0.2.1", "smtpd")]
    assert failures(lines) == {("192.0.2.1", "no shared cipher")}


def test_grepped_logs_count_one_session_a_line() -> None:
    established = [ESTABLISHED, ESTABLISHED, ESTABLISHED.replace(MX, OTHER)]
    assert [facts(session)[0] for session in read(smtpd(*established))] == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
    accepts = [
        f"SSL_accept error from {MX}: -1",
        f"SSL_accept error from {MX}: -1",
        f"SSL_accept error from {OTHER}: lost connection",
    ]
    assert [facts(session)[0] for session in read(smtpd(*accepts))] == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]


def test_hidden_starttls_is_known_of_the_session() -> None:
    session = one(
        smtpd(
            f"connect from {MX}", "discarding EHLO keywords: STARTTLS", f"disconnect from {MX} ehlo=1 quit=1 commands=2"
        )
    )
    assert session.hidden
    assert facts(session)[2:4] == (PLAIN, "none")


# --- the server's own fault ----------------------------------------------------------------------------------

STATEMENTS = {
    'warning: Invalid TLS protocol list "TLSv9": disabling TLS support': "Invalid TLS protocol list",
    'warning: cannot get RSA certificate from file "/x.pem": disabling TLS support': "cannot get RSA certificate from file",
    "warning: cannot get RSA certificate from file /x.pem: disabling TLS support": "cannot get RSA certificate from file",
    "warning: No server certs available. TLS won't be enabled": "No server certs available. TLS won't be enabled",
    "warning: no entropy for TLS key generation: disabling TLS support": "no entropy for TLS key generation",
    "cannot load Certificate Authority data": "cannot load Certificate Authority data",
}


@pytest.mark.parametrize("message", STATEMENTS)
def test_a_process_that_cannot_do_tls_charges_nobody_and_its_client_is_a_victim(message: str) -> None:
    lines = smtpd(
        message,
        f"connect from {MX}",
        f"lost connection after STARTTLS from {MX}",
        f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2",
    )
    sessions = [facts(session) for session in read(lines)]
    assert sessions[0] == (None, "smtpd", BROKEN, "server_misconfigured", STATEMENTS[message])
    assert sessions[1][:4] == ("192.0.2.1", "smtpd", BROKEN, "server_misconfigured")
    assert len(sessions) == 2


def test_the_reason_of_a_statement_is_openssls_first() -> None:
    lines = smtpd(
        'warning: cannot get RSA certificate from file "/nonexistent.pem": disabling TLS support',
        "warning: TLS library problem: error:80000002:system library::No such file or directory:../crypto/bio/bss_file.c:308:calling fopen(/nonexistent.pem, r):",
        "warning: TLS library problem: error:10080002:BIO routines::system lib:../crypto/bio/bss_file.c:310:",
        f"connect from {MX}",
        f"disconnect from {MX} ehlo=1 quit=1 commands=2",
    )
    first, second = (facts(session) for session in read(lines))
    assert first == (None, "smtpd", BROKEN, "server_misconfigured", "No such file or directory")
    assert second == ("192.0.2.1", "smtpd", PLAIN, "none", None)


def test_a_statement_is_said_once_by_each_process() -> None:
    message = 'warning: Invalid TLS protocol list "TLSv9": disabling TLS support'
    assert len(read(smtpd(message, message, f"connect from {MX}"))) == 1
    assert len(read([*smtpd(message, f"connect from {MX}"), *smtpd(message, f"connect from {MX}", pid=101)])) == 2


def test_a_statement_before_any_client_is_told_when_the_log_ends() -> None:
    assert facts(one(smtpd("warning: disabling TLS support")))[:4] == (None, "smtpd", BROKEN, "server_misconfigured")


def test_the_old_digest_warning_is_the_reason_of_the_statement_behind_it() -> None:
    session = one(smtpd('warning: Digest algorithm "md5" not found', "warning: disabling TLS support"))
    assert session.reason == 'Digest algorithm "md5" not found'


# --- postscreen, tlsproxy ------------------------------------------------------------------------------------

A, B = "[192.0.2.1]:1001", "[192.0.2.2]:1002"


def failed(who: str) -> str:
    return f"TLS handshake failed for service=smtpd peer={who}"


def test_tlsproxy_tells_its_clients_apart() -> None:
    lines = tlsproxy(
        f"CONNECT from {A}", f"CONNECT from {B}", NO_CIPHER, failed(A), f"Anonymous TLS connection established from {B}: TLSv1.2 with cipher X (1/1 bits)",
        f"DISCONNECT {A}", f"DISCONNECT {B}",
    )  # fmt: skip
    assert [facts(session) for session in read(lines)] == [
        ("192.0.2.1", "postscreen", FAILED, "no_shared_cipher", "no shared cipher"),
        ("192.0.2.2", "postscreen", OK, "none", None),
    ]
    assert all(session.peer is not None and session.peer.name is None for session in read(lines))


def test_the_same_client_on_two_ports_is_two_sessions() -> None:
    lines = tlsproxy(
        f"CONNECT from {A}", "CONNECT from [192.0.2.1]:1003", failed(A), failed("[192.0.2.1]:1003"), f"DISCONNECT {A}"
    )
    assert [facts(session)[:4] for session in read(lines)] == [("192.0.2.1", "postscreen", FAILED, "unknown")] * 2


def test_a_reason_belongs_only_to_the_line_right_behind_it() -> None:
    lines = tlsproxy(
        f"CONNECT from {A}", f"CONNECT from {B}", NO_CIPHER, f"CONNECT from {A}", failed(B), f"DISCONNECT {B}"
    )
    assert [facts(session) for session in read(lines)] == [("192.0.2.2", "postscreen", FAILED, "unknown", None)]


def test_tlsproxy_of_2_8_to_3_3_does_not_say_that_it_failed() -> None:
    lines = tlsproxy(f"CONNECT from {A}", NO_CIPHER, f"DISCONNECT {A}")
    assert failures(lines) == {("192.0.2.1", "no shared cipher")}


def test_tlsproxy_that_cannot_do_tls_says_so() -> None:
    session = read(tlsproxy("warning: No server certs available. TLS can't be enabled", f"CONNECT from {A}"))[0]
    assert facts(session)[:4] == (None, "postscreen", BROKEN, "server_misconfigured")


def test_postscreen_sees_tls_bytes_on_the_plain_port() -> None:
    line = f"Nov 21 00:42:35 mail postfix/postscreen[9]: PREGREET 425 after 0 from {A}: \\026\\003\\003\\001"
    assert facts(one([line])) == ("192.0.2.1", "postscreen", PLAIN, "tls_on_plain_port", None)


# --- what is not ours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Nov 21 00:42:35 mail postfix/smtp[5]: SSL_connect error to mx.example.net[192.0.2.1]:25: -1",
        "Nov 21 00:42:35 mail postfix/smtp[5]: warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:x:1:",
        "Nov 21 00:42:35 mail postfix/smtp[5]: Untrusted TLS connection established to mx.example.net[192.0.2.1]:25: TLSv1.3 with cipher X (1/1 bits)",
        "Nov 21 00:42:35 mail postfix/lmtp[5]: 4A: to=<a@b>, relay=x[private/lmtp], status=deferred (lost connection with x[private/lmtp] while sending MAIL FROM)",
        "Nov 21 00:42:35 mail postfix/cleanup[7]: 4A: message-id=<SSL_accept error from x[192.0.2.1]: -1>",
        "Nov 21 00:42:35 mail postfix/smtpd[100]: NOQUEUE: reject: RCPT from mx.example.net[192.0.2.1]: 554 5.7.1 <SSL_accept error from bank[192.0.2.9]: -1>: Relay access denied",
        "Nov 21 00:42:35 mail postfix/smtpd[100]: warning: non-SMTP command from mx.example.net[192.0.2.1]: SSL_accept error from bank[192.0.2.9]: -1",
        "Nov 21 00:42:35 mail postfix/smtpd[100]: warning: mx.example.net[192.0.2.1]: SASL LOGIN authentication failed: disabling TLS",
        "Nov 21 00:42:35 mail sshd[1]: Invalid user postfix/smtpd[100]: SSL_accept error from bank[192.0.2.9]: -1 from 192.0.2.1 port 22",
        "Nov 21 00:42:35 mail sshd[1]: Invalid user mail postfix/smtpd[100]: SSL_accept error from bank[192.0.2.9]: -1 from 192.0.2.1 port 22",
        "Nov 21 00:42:35 mail dovecot: auth: Error: imap-login: Disconnected: user=<>, rip=192.0.2.9, TLS handshaking",
        "Nov 21 00:42:35 mail dovecot: lmtp(a@b): Info: imap-login: user=<>, rip=192.0.2.9, TLS handshaking",
    ],
)
def test_what_smtpd_or_a_login_process_did_not_say_is_no_verdict(line: str) -> None:
    assert read([line]) == []


def test_outbound_lines_of_the_same_pid_end_no_session() -> None:
    lines = smtpd(*FAILING)
    outbound = [line.replace("postfix/smtpd", "postfix/smtp").replace("SSL_accept", "SSL_connect") for line in lines]
    woven = [line for pair in zip(lines, outbound, strict=True) for line in pair]
    assert [facts(session) for session in read(woven)] == [facts(session) for session in read(lines)]


# --- Dovecot -------------------------------------------------------------------------------------------------

STACKED = "Error: SSL: Stacked error: error:1408A0C1:SSL routines:ssl3_get_client_hello:no shared cipher"
UNKNOWN_ERROR = "Info: Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.9, TLS handshaking: SSL_accept() failed: Unknown error"


def test_a_stacked_error_is_the_reason_of_the_line_behind_it() -> None:
    assert facts(one(dovecot(STACKED, UNKNOWN_ERROR))) == (
        "192.0.2.1",
        "imap",
        FAILED,
        "no_shared_cipher",
        "no shared cipher",
    )


def test_a_stacked_error_is_used_once_and_by_its_own_service() -> None:
    sessions = read(
        [*dovecot(STACKED), *dovecot(UNKNOWN_ERROR, program="pop3-login"), *dovecot(UNKNOWN_ERROR, UNKNOWN_ERROR)]
    )
    assert [(session.service.value, session.reason) for session in sessions] == [
        ("pop3", "Unknown error"), ("imap", "no shared cipher"), ("imap", "Unknown error"),
    ]  # fmt: skip


def test_an_error_that_says_enough_does_not_take_a_stacked_one() -> None:
    clear = UNKNOWN_ERROR.replace("Unknown error", "error:0A000102:SSL routines::unsupported protocol")
    assert one(dovecot(STACKED, clear)).reason == "unsupported protocol"


def test_a_context_that_cannot_be_made_is_one_session_of_two_lines() -> None:
    lines = dovecot(
        "Error: Failed to initialize SSL server context: Unknown ssl_min_protocol setting 'TLSv9': user=<>, rip=192.0.2.1, lip=192.0.2.9, session=<a>",
        "Info: Disconnected: TLS initialization failed. (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.9, session=<a>",
    )
    assert facts(one(lines)) == (
        "192.0.2.1",
        "imap",
        BROKEN,
        "server_misconfigured",
        "Unknown ssl_min_protocol setting 'TLSv9'",
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            "Nov 21 00:42:35 mail dovecot: imap-login: Fatal: Invalid ssl_protocols setting: Unknown protocol 'SSLv2'",
            StatementKind.DOVECOT_FATAL,
        ),
        (
            "Nov 21 00:42:35 mail dovecot: master: Error: service(lmtp): command startup failed, throttling for 2.000 secs",
            StatementKind.DOVECOT_FATAL,
        ),
        (
            "Nov 21 00:42:35 mail dovecot: lmtp: Fatal: master: service(lmtp): child 15845 returned error 1",
            StatementKind.DOVECOT_FATAL,
        ),
        (
            "Nov 21 00:42:35 mail postfix/lmtp[5]: 4A: to=<a@b>, relay=x[private/dovecot-lmtp], dsn=4.4.2, status=deferred (lost connection with x[private/dovecot-lmtp] while receiving the initial server greeting)",
            StatementKind.LMTP_GREETING,
        ),
    ],
)
def test_what_the_server_says_of_itself_is_kept_with_its_line(line: str, kind: StatementKind) -> None:
    _, assembler = assemble([line])
    assert [(said.kind, said.line) for said in assembler.statements] == [(kind, line)]
    assert assembler.statements[0].at is not None


# --- counting lines ------------------------------------------------------------------------------------------


def test_lines_are_understood_ignored_or_unknown() -> None:
    lines = [
        *smtpd(f"connect from {MX}", f"disconnect from {MX}"),
        *smtpd("SSL_accept error from whom?", "disconnect with starttls=0/1"),
        *smtpd("setting up TLS connection from nobody"), "hello", "",
        "Nov 21 00:42:35 mail postfix/smtp[5]: SSL_connect error to mx.example.net[192.0.2.1]:25: -1",
    ]  # fmt: skip
    _, assembler = assemble(lines)
    counts = assembler.lines
    assert (counts.read, counts.understood, counts.ignored, counts.unknown) == (8, 2, 4, 2)


def test_lines_without_stamps_have_no_time() -> None:
    session = one(line.removeprefix("Nov 21 00:42:35 mail ") for line in smtpd(*FAILING))
    assert session.at is None
    assert facts(session)[4] == "no shared cipher"


def test_the_time_of_a_session_is_that_of_the_deciding_line() -> None:
    first, second, third = (
        smtpd(message, stamp=f"Nov 21 00:42:{second}")[0]
        for second, message in ((10, FAILING[0]), (20, FAILING[1]), (40, FAILING[4]))
    )
    session = one([first, second, third])
    assert session.at is not None
    assert session.at.second == 20
    assert session.service is Service.SMTPD
    assert session.cause is Cause.UNKNOWN
