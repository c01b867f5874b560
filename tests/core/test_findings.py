"""Findings about the server: one row for everything that it can say of itself, and the patterns of failures."""

from __future__ import annotations

import pytest
from tests.core.histories import at, dropped, failure, history_of, statement_of_server, success
from tests.core.test_diagnosis import check_sentence

from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.complaint import COMPLAINTS, Finding, read_complaint
from mailtls.core.diagnosis import Diagnosis, diagnose
from mailtls.core.findings import ServerFinding, find
from mailtls.core.history import EVIDENCE_LINES, History, Statement, StatementKind
from mailtls.core.session import Session
from mailtls.core.site import survey

# What was said, the finding, and parts of its sentence. Lines of Postfix 2.7 to 3.11 and of Dovecot 2.2 and 2.3.
SAID: tuple[tuple[str, Finding, tuple[str, ...]], ...] = (
    (
        'warning: Invalid TLS protocol list "!SSLv2, TLSv1.0": disabling TLS support',
        Finding.INVALID_PROTOCOL_LIST,
        ("`TLSv1.0` is written `TLSv1`", "smtpd_tls_protocols = >=TLSv1`", "`smtpd_tls_protocols = !SSLv2, !SSLv3`"),
    ),
    (
        'warning: Invalid TLS protocol list "TLSv1.2, TLSv1.1, !TLSv1, !SSLv2, !SSLv3": disabling TLS support',
        Finding.INVALID_PROTOCOL_LIST,
        ("too old for them", "OpenSSL 1.0.1", "= >=TLSv1.1`", "= !SSLv2, !SSLv3, !TLSv1`"),
    ),
    (
        'warning: Invalid TLS protocol list ">=TLSv1.2": disabling TLS support',
        Finding.INVALID_PROTOCOL_LIST,
        ("need Postfix 3.6", "= !SSLv2, !SSLv3, !TLSv1, !TLSv1.1`"),
    ),
    (
        'warning: Invalid TLS protocol list "!SSLv2;!SSLv3": disabling TLS support',
        Finding.INVALID_PROTOCOL_LIST,
        ("`;` separates nothing, a comma does",),
    ),
    (
        'warning: Invalid TLS protocol list "junk": disabling TLS support',
        Finding.INVALID_PROTOCOL_LIST,
        ("`junk` is no protocol (names are SSLv2, SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3)",),
    ),
    (
        'warning: cannot get RSA certificate from file "/etc/x.pem": disabling TLS support\n'
        "warning: TLS library problem: error:80000002:system library::No such file or directory:../bss_file.c:308:",
        Finding.CERTIFICATE_UNUSABLE,
        ("certificate /etc/x.pem (there is no such file)", "smtpd_tls_chain_files"),
    ),
    (
        "warning: cannot get RSA certificate from file /etc/x.pem: disabling TLS support",
        Finding.CERTIFICATE_UNUSABLE,
        ("certificate /etc/x.pem,",),
    ),
    (
        'warning: cannot get ECDSA private key from file "/etc/x.key": disabling TLS support\n'
        "error:0480006C:PEM routines::no start line:../pem_lib.c:760:Expecting: TRUSTED CERTIFICATE:",
        Finding.KEY_UNUSABLE,
        ("private key /etc/x.key (it holds no PEM data of that kind)", "smtpd_tls_key_file"),
    ),
    (
        "warning: cannot get private key from file /etc/ssl/smtpd.key\nMar 27 postfix/smtpd[1]: more",
        Finding.KEY_UNUSABLE,
        ("private key /etc/ssl/smtpd.key,",),
    ),
    (
        'warning: cannot get RSA private key from file "/x/other.key": disabling TLS support\n'
        "error:05800074:x509 certificate routines::key values mismatch:../crypto/x509/x509_cmp.c:403:",
        Finding.KEY_MISMATCH,
        ("/x/other.key does not belong to the certificate", "openssl pkey -pubout"),
    ),
    (
        "warning: error loading chain from /etc/chain.pem: key not first",
        Finding.CHAIN_OUT_OF_ORDER,
        ("chain /etc/chain.pem (the key does not stand first)", "cat key.pem cert.pem intermediate.pem"),
    ),
    (
        "warning: error loading certificate chain: key at index 1 in /etc/a.pem not followed by a certificate",
        Finding.CHAIN_OUT_OF_ORDER,
        ("(no certificate follows its key)",),
    ),
    (
        "warning: key at index 1 in /etc/a.pem does not match next certificate\n"
        "warning: error loading private keys and certificates from: /etc/a.pem: disabling TLS support",
        Finding.KEY_MISMATCH,
        ("The private key /etc/a.pem does not belong",),
    ),
    (
        "warning: error loading certificate chain: key at index 1 in /etc/a.pem does not match the certificate",
        Finding.KEY_MISMATCH,
        ("does not belong",),
    ),
    (
        "warning: error opening chain file: /etc/a.pem: No such file or directory",
        Finding.CERTIFICATE_UNUSABLE,
        ("file /etc/a.pem (there is no such file) of `smtpd_tls_chain_files`", "no shared cipher"),
    ),
    (
        "warning: error loading private keys and certificates from: mx.example.net: aborting TLS handshake",
        Finding.SNI_TABLE,
        ("tls_server_sni_maps",),
    ),
    (
        "warning: error loading private keys and certificates from: /etc/chain.pem: disabling TLS support",
        Finding.CHAIN_OUT_OF_ORDER,
        ("chain /etc/chain.pem,",),
    ),
    (
        'cannot load Certification Authority data, CAfile="/nonexist.pem": disabling TLS support',
        Finding.BAD_CA_FILE,
        ("authorities /nonexist.pem,", "smtpd_tls_CAfile"),
    ),
    (
        'warning: Digest algorithm "foo" not found\nwarning: disabling TLS support',
        Finding.BAD_DIGEST,
        ('no digest "foo"', "smtpd_tls_fingerprint_digest = sha256"),
    ),
    ("warning: No server certs available. TLS won't be enabled", Finding.NO_CERTIFICATE, ("smtpd_tls_chain_files",)),
    ('warning: h[192.0.2.1]: invalid cipher grade: "lowest"', Finding.BAD_CIPHERS, ('"lowest"', "smtpd_tls_ciphers")),
    ('warning: h[192.0.2.1]: error setting cipher grade: "medium"', Finding.BAD_CIPHERS, ("tls_medium_cipherlist",)),
    (
        "warning: error loading the 'global' settings from the /nonexist.cnf OpenSSL configuration file, disabling TLS "
        "support",
        Finding.BAD_OPENSSL_CONFIG,
        ("tls_config_file = default",),
    ),
    ('fatal: Invalid TLS level "mayy"', Finding.BAD_LEVEL, ("smtpd_tls_security_level = may",)),
    ("warning: no entropy for TLS key generation: disabling TLS support", Finding.NO_ENTROPY, ("tlsmgr",)),
    ("warning: tls_server_sni_maps: mx.example.net map lookup problem", Finding.SNI_TABLE, ("postmap -F",)),
    ("warning: disabling TLS support", Finding.TLS_DISABLED, ("grep -B3",)),
    (
        "warning: Wrapper-mode request dropped from h[192.0.2.1] for service smtps. TLS context initialization failed.",
        Finding.TLS_DISABLED,
        ("port 465",),
    ),
    ("error:0A0000BF:SSL routines::no protocols available", Finding.NO_PROTOCOLS, ("leaves no version",)),
    ("error:0A00018A:SSL routines::dh key too small", Finding.DH_TOO_SMALL, ("smtpd_tls_dh1024_param_file",)),
    (
        "imap-login: Fatal: Invalid ssl_protocols setting: Unknown protocol 'SSLv2'",
        Finding.DOVECOT_PROTOCOLS,
        ("protocol SSLv2", "ssl_min_protocol = TLSv1.2", "`ssl_protocols = !SSLv3`"),
    ),
    (
        "imap-login: Error: Failed to initialize SSL server context: Unknown ssl_min_protocol setting 'TLSv9': user=<>",
        Finding.DOVECOT_PROTOCOLS,
        ("protocol TLSv9",),
    ),
    (
        "Error: Failed to initialize SSL server context: Can't load DH parameters (ssl_dh setting): error:0A00018A:SSL "
        "routines::dh key too small",
        Finding.DOVECOT_DH,
        ("openssl dhparam -out /etc/dovecot/dh.pem 2048",),
    ),
    (
        "Error: Failed to initialize SSL server context: Can't set cipher list to 'FOOBAR'",
        Finding.DOVECOT_CIPHERS,
        ("ssl_cipher_list",),
    ),
    (
        "Error: Failed to initialize SSL server context: Can't load SSL certificate: There is no valid PEM certificate",
        Finding.DOVECOT_CERTIFICATE,
        ("ssl_cert = <FILE",),
    ),
    (
        "Error: Failed to initialize SSL server context: Can't load private key file: key values mismatch",
        Finding.DOVECOT_CERTIFICATE,
        ("belong together",),
    ),
    ("Error: Failed to initialize SSL server context: oops", Finding.DOVECOT_TLS, ("doveconf -n",)),
    ("Disconnected: TLS initialization failed.", Finding.DOVECOT_TLS, ("doveadm log errors",)),
    (
        "warning: Refusing STARTTLS request from h[192.0.2.1] for service 25: Error: too many new TLS sessions",
        Finding.TLS_RATE_LIMIT,
        ("smtpd_client_event_limit_exceptions",),
    ),
    (
        "warning: New TLS session rate limit exceeded: 4 from h[192.0.2.1] for service 25",
        Finding.TLS_RATE_LIMIT,
        ("smtpd_client_new_tls_session_rate_limit",),
    ),
)


@pytest.mark.parametrize(("said", "finding", "parts"), SAID, ids=[row[0][:60] for row in SAID])
def test_what_the_server_says_is_a_finding_with_its_remedy(said: str, finding: Finding, parts: tuple[str, ...]) -> None:
    complaint = read_complaint(said)
    assert complaint is not None
    assert complaint.finding is finding
    for part in parts:
        assert part in complaint.detail
    check_sentence(complaint.detail)


def test_every_row_of_the_table_is_the_first_that_matches_something() -> None:
    hit = set()
    for said, _, _ in SAID:
        hit.add(next(part for part, _, _ in COMPLAINTS if part in said.lower()))
    idle = {part for part, _, _ in COMPLAINTS} - hit
    assert not idle


def test_ordinary_lines_are_no_complaint() -> None:
    for said in ("connect from mx.example.net[192.0.2.1]", "error:0A0000C1:SSL routines::no shared cipher", ""):
        assert read_complaint(said) is None


# --- histories ----------------------------------------------------------------------------------------------------


def findings_of(history: History) -> list[ServerFinding]:
    found = find(history, survey(history))
    for item in found:
        check_sentence(item.detail)
        assert item.evidence or not item.count
    return found


def words_of(history: History) -> list[Finding]:
    return [item.finding for item in findings_of(history)]


def statement(kind: StatementKind, text: str, minutes: float | None = 0) -> Statement:
    return Statement(None if minutes is None else at(minutes), kind, text, f"host {text}")


LOST = (
    "B4F8: to=<someone@example.org>, relay=mx.example.net[private/dovecot-lmtp], status=deferred (lost connection with "
    "mx.example.net[private/dovecot-lmtp] while receiving the initial server greeting)"
)
FATAL = "imap-login: Fatal: Invalid ssl_protocols setting: Unknown protocol 'SSLv2'"


def test_a_complaint_that_is_repeated_is_one_finding_with_bounded_proof() -> None:
    line = 'warning: Invalid TLS protocol list "junk": disabling TLS support'
    history = history_of(statement_of_server(f"{n} {line}", minutes=n) for n in range(40))
    (found,) = findings_of(history)
    assert (found.finding, found.count) == (Finding.INVALID_PROTOCOL_LIST, 40)
    assert (found.first, found.last) == (at(0), at(39))
    assert found.evidence == tuple(f"{n} {line}" for n in range(EVIDENCE_LINES))


def test_a_line_that_is_both_session_and_statement_is_counted_once() -> None:
    history = history_of([statement_of_server(f"host {FATAL}", service=Service.IMAP)])
    history.statements.append(statement(StatementKind.DOVECOT_FATAL, FATAL))
    (found,) = findings_of(history)
    assert (found.finding, found.count, found.evidence) == (Finding.DOVECOT_PROTOCOLS, 1, (f"host {FATAL}",))


def test_two_different_mistakes_are_two_findings() -> None:
    lines = [f'Invalid TLS protocol list "{name}": disabling TLS support' for name in "ab"]
    assert words_of(history_of(map(statement_of_server, lines))) == [Finding.INVALID_PROTOCOL_LIST] * 2


def test_a_general_complaint_is_left_out_beside_an_exact_one() -> None:
    history = history_of([statement_of_server("No server certs available. TLS won't be enabled")])
    history.statements.append(statement(StatementKind.TLS_DISABLED, "warning: disabling TLS support"))
    assert words_of(history) == [Finding.NO_CERTIFICATE]


def test_a_general_complaint_alone_is_said() -> None:
    history = History(statements=[statement(StatementKind.TLS_DISABLED, "warning: disabling TLS support")])
    assert words_of(history) == [Finding.TLS_DISABLED]


def test_lmtp_without_greeting_is_explained_by_dovecot_two_hours_later() -> None:
    history = history_of([statement_of_server(f"host {FATAL}", service=Service.IMAP, reason=FATAL, minutes=134)])
    history.statements.append(statement(StatementKind.LMTP_GREETING, LOST))
    found = findings_of(history)[0]
    assert found.finding is Finding.LMTP_GREETING_LOST
    assert "mx.example.net[private/dovecot-lmtp] hangs up before its greeting" in found.detail
    assert "Dovecot says why: \"Invalid ssl_protocols setting: Unknown protocol 'SSLv2'\"." in found.detail
    assert "ssl_min_protocol = TLSv1.2" in found.detail
    assert found.evidence == (f"host {LOST}", f"host {FATAL}")


def test_the_exact_complaint_of_dovecot_explains_lmtp_before_a_nearer_general_one() -> None:
    history = History(
        statements=[
            statement(StatementKind.LMTP_GREETING, LOST),
            statement(StatementKind.DOVECOT_FATAL, "lmtp: Fatal: master: service(lmtp): child 7 returned error 1", 1),
            statement(StatementKind.DOVECOT_FATAL, FATAL, 200),
        ]
    )
    assert "ssl_protocols" in findings_of(history)[0].detail


def test_the_nearest_of_two_general_complaints_explains_lmtp() -> None:
    history = History(
        statements=[
            statement(StatementKind.DOVECOT_FATAL, "lmtp: Fatal: far away", 0),
            statement(StatementKind.LMTP_GREETING, LOST, 100),
            statement(StatementKind.DOVECOT_FATAL, "lmtp: Fatal: close by", 101),
        ]
    )
    detail = findings_of(history)[0].detail
    assert "close by" in detail
    assert "far away" not in detail


@pytest.mark.parametrize("minutes", [0, None])
def test_lmtp_without_any_word_of_dovecot_says_where_to_look(minutes: float | None) -> None:
    history = History(statements=[statement(StatementKind.LMTP_GREETING, LOST, minutes)])
    (found,) = findings_of(history)
    assert "The log does not say why" in found.detail
    assert "doveadm log errors" in found.detail


def test_a_line_of_dovecot_that_names_a_client_is_the_servers_fault() -> None:
    session = failure("192.0.2.7", "dh key too small", service=Service.IMAP, outcome=Outcome.SERVER_TLS_BROKEN)
    history = history_of([session])
    (found,) = findings_of(history)
    assert found.finding is Finding.DOVECOT_DH
    assert found.victims == ("192.0.2.7",)


def test_the_same_reason_at_port_25_is_about_postfix() -> None:
    (found,) = findings_of(history_of([failure("192.0.2.7", "dh key too small")]))
    assert found.finding is Finding.DH_TOO_SMALL


def test_a_general_fatal_line_of_dovecot_is_quoted() -> None:
    lines = [f"lmtp: Fatal: master: service(lmtp): child {pid} returned error 1" for pid in (7, 8)]
    history = History(statements=[statement(StatementKind.DOVECOT_FATAL, line) for line in lines])
    (found,) = findings_of(history)
    assert (found.finding, found.count) == (Finding.DOVECOT_FATAL, 2)
    assert "child 7 returned error 1" in found.detail


# --- patterns -----------------------------------------------------------------------------------------------------


def peer(number: int) -> dict[str, str]:
    return {"ip": f"198.51.{number}.7", "name": f"mx.owner{number}.example"}


def outbreak(count: int = 4, reason: str = "no shared cipher", gap: float = 1) -> list[Session]:
    """So many peers work for an hour, and fail from then on."""
    before = [success(**peer(n), minutes=n) for n in range(count)]
    after = [failure(**peer(n), reason=reason, minutes=60 + gap * n + again) for n in range(count) for again in (0, 30)]
    return before + after


def test_many_peers_that_begin_to_fail_within_minutes_are_the_servers_fault() -> None:
    history = history_of(outbreak())
    found = findings_of(history)[0]
    assert found.finding is Finding.MANY_BEGAN_TO_FAIL
    assert "4 peers that used to succeed at port 25" in found.detail
    assert at(60).isoformat(" ") in found.detail
    assert "no shared cipher" in found.detail
    assert "renewed certificate" in found.detail
    rows = diagnose(history).peers
    assert {row.diagnosis for row in rows} == {Diagnosis.SERVER_FAULT}
    assert all(row.outage for row in rows)


def test_peers_that_recovered_after_the_outbreak_are_counted_but_not_ill() -> None:
    history = history_of([*outbreak(), *(success(**peer(n), minutes=200) for n in range(4))])
    assert Finding.MANY_BEGAN_TO_FAIL in words_of(history)
    assert {row.diagnosis for row in diagnose(history).peers} == {Diagnosis.RECOVERED}


# Each row lacks one thing that makes an outbreak.
NO_OUTBREAKS: dict[str, list[Session]] = {
    "two peers": outbreak(2),
    "hours apart": outbreak(4, gap=40),
    "never worked": [failure(**peer(n), reason="unsupported protocol", minutes=n) for n in range(4)],
    "different causes": [
        *outbreak(1),
        *(success(**peer(n), minutes=0) for n in (1, 2)),
        failure(**peer(1), reason="tlsv1 alert unknown ca", minutes=61),
        failure(**peer(2), reason="bad key share", minutes=61),
    ],
    "one owner": [
        *(success(f"198.51.100.{n}", 0) for n in range(5)),
        *(failure(f"198.51.100.{n}", "no shared cipher", 60) for n in range(5)),
    ],
    "cut connections of four": outbreak(4, "lost connection"),
    "only monitors worked": [
        *(dropped(**peer(n), minutes=0) for n in range(4)),
        *(failure(**peer(n), reason="no shared cipher", minutes=60) for n in range(4)),
    ],
}


@pytest.mark.parametrize("row", NO_OUTBREAKS)
def test_what_lacks_one_sign_is_no_outbreak(row: str) -> None:
    assert Finding.MANY_BEGAN_TO_FAIL not in words_of(history_of(NO_OUTBREAKS[row]))


@pytest.mark.parametrize(("others", "expected"), [(4, True), (6, False)])
def test_in_a_short_log_an_outbreak_must_hit_most_peers(others: int, expected: bool) -> None:
    """Ten minutes are most of a log of a quarter of an hour, so only the share of peers can stand out."""
    well = [success(f"203.0.{n}.1", 0, name=f"mx.other{n}.example") for n in range(others)]
    before = [success(**peer(n), minutes=0) for n in range(4)]
    after = [failure(**peer(n), reason="no shared cipher", minutes=10 + n) for n in range(4)]
    assert (Finding.MANY_BEGAN_TO_FAIL in words_of(history_of([*well, *before, *after]))) is expected


def test_the_proof_of_an_outbreak_is_one_telling_line_of_each_peer() -> None:
    history = history_of(outbreak(20))
    for found in history.peers.values():
        found.evidence.insert(0, f"connect from {found.ip}")
    (found,) = (item for item in findings_of(history) if item.finding is Finding.MANY_BEGAN_TO_FAIL)
    assert len(found.evidence) == EVIDENCE_LINES
    assert all("TLS library problem" in line for line in found.evidence)
    assert len({line.rpartition(" ")[2] for line in found.evidence}) == EVIDENCE_LINES


def test_cut_connections_of_many_are_an_outbreak() -> None:
    assert words_of(history_of(outbreak(12, "lost connection", gap=0.5))) == [Finding.MANY_BEGAN_TO_FAIL]


def test_on_a_busy_day_three_at_once_are_no_outbreak() -> None:
    """Two hundred peers of two thousand begin to fail in a day: three in ten minutes are then nothing special."""
    quiet = [success(**peer(n % 250), minutes=0) for n in range(250)]
    busy = [failure(**peer(n), reason="unsupported protocol", minutes=5 * n + 1) for n in range(200)]
    more = [failure(**peer(n), reason="unsupported protocol", minutes=500) for n in (240, 241)]
    others = [success(f"203.0.113.{n}", 0, name=f"mx.other{n}.example") for n in range(200)]
    assert words_of(history_of([*quiet, *others, *busy, *more])) == []


def test_nobody_who_shares_a_cipher_is_the_certificates_fault() -> None:
    history = history_of(failure(**peer(n), reason="no shared cipher", minutes=n) for n in range(4))
    (found,) = findings_of(history)
    assert found.finding is Finding.EVERYBODY_NO_SHARED_CIPHER
    assert "smtpd_tls_chain_files" in found.detail
    assert {row.diagnosis for row in diagnose(history).peers} == {Diagnosis.SERVER_FAULT}


@pytest.mark.parametrize("more", [
    [success("203.0.113.1", 0)],
    [failure("203.0.113.1", "unsupported protocol", 0)],
], ids=["somebody succeeds", "somebody fails otherwise"])  # fmt: skip
def test_somebody_else_saves_the_certificate(more: list[Session]) -> None:
    history = history_of([*(failure(**peer(n), reason="no shared cipher", minutes=n) for n in range(4)), *more])
    assert Finding.EVERYBODY_NO_SHARED_CIPHER not in words_of(history)


def test_three_addresses_of_one_owner_are_not_everybody() -> None:
    assert words_of(history_of(failure(f"192.0.2.{n}", "no shared cipher", n) for n in range(4))) == []


def test_only_ecdsa_suites_beside_failures_point_to_the_certificate() -> None:
    history = history_of(
        [success(**peer(1), cipher="ECDHE-ECDSA-AES256-GCM-SHA384"), failure(**peer(2), reason="no shared cipher")]
    )
    (found,) = findings_of(history)
    assert found.finding is Finding.ECDSA_ONLY_CERTIFICATE
    assert "smtpd_tls_chain_files = key-and-cert-rsa.pem, key-and-cert-ecdsa.pem" in found.detail
    (row,) = diagnose(history).peers
    assert row.diagnosis is Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA", "TLS_AES_256_GCM_SHA384"])
def test_suites_that_prove_an_rsa_certificate_or_nothing_do_not(cipher: str) -> None:
    history = history_of([success(**peer(1), cipher=cipher), failure(**peer(2), reason="no shared cipher")])
    assert words_of(history) == []


def test_a_scanner_without_a_shared_cipher_says_nothing_of_the_certificate() -> None:
    reasons = ("no shared cipher", "version too low", "http request")
    scan = [failure("203.0.113.9", reason, n / 10) for n, reason in enumerate(reasons)]
    assert words_of(history_of([success(**peer(1), cipher="ECDHE-ECDSA-AES256-SHA"), *scan])) == []


def test_the_most_urgent_finding_stands_first() -> None:
    history = history_of([*outbreak(), statement_of_server('Invalid TLS protocol list "x": disabling TLS support')])
    history.statements.append(statement(StatementKind.OTHER, "warning: New TLS session rate limit exceeded: 4"))
    assert words_of(history) == [Finding.INVALID_PROTOCOL_LIST, Finding.MANY_BEGAN_TO_FAIL, Finding.TLS_RATE_LIMIT]


def test_a_row_has_the_fields_of_the_contract() -> None:
    (found,) = findings_of(history_of([statement_of_server("No server certs available. TLS won't be enabled")]))
    row = found.as_row()
    assert {"finding", "detail", "evidence"} <= set(row)
    assert row["finding"] == "no_certificate"
    assert row["evidence"] == ["No server certs available. TLS won't be enabled"]


def test_a_peer_told_454_without_an_explanation_makes_no_finding() -> None:
    session = failure("192.0.2.7", "", outcome=Outcome.SERVER_TLS_BROKEN)
    assert session.cause is Cause.UNKNOWN
    assert words_of(history_of([session])) == []
