"""What the log adds to the doctor's findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailtls.core.assembler import Assembler
from mailtls.core.diagnosis import diagnose
from mailtls.core.doctorfinding import DoctorFinding
from mailtls.core.doctorlog import Change, log_findings, weakening_findings, with_users
from mailtls.core.doctorservice import Role, SmtpdService
from mailtls.core.history import History
from mailtls.core.stamp import Calendar

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
MX = SmtpdService(
    "smtp/inet", Role.MX, "/etc/postfix",
    {"smtpd_tls_security_level": "may", "smtpd_tls_protocols": ">=TLSv1", "smtpd_tls_ciphers": "medium",
     "tls_medium_cipherlist": "HIGH:MEDIUM"},
)  # fmt: skip
OFF = 'warning: Invalid TLS protocol list "TLSv9": disabling TLS support'


def told(*lines: tuple[float, str], pid: int = 7) -> History:
    """Read lines of smtpd, each with its minute."""
    assembler, history = Assembler(Calendar(START)), History()
    for minute, words in lines:
        stamp = (START + timedelta(minutes=minute)).isoformat()
        for session in assembler.feed(f"{stamp} mx postfix/smtpd[{pid}]: {words}".encode()):
            history.record(session)
    for session in assembler.finish():
        history.record(session)
    history.statements = assembler.statements
    return history


def name(ip: str) -> str:
    """Give each network an owner of its own."""
    return f"mx.{'-'.join(ip.split('.')[:3])}.example"


def worked(
    ip: str, minute: float, version: str = "TLSv1.3", cipher: str | None = None
) -> tuple[tuple[float, str], ...]:
    """Lines of a session with TLS and a mail."""
    cipher = cipher or ("TLS_AES_256_GCM_SHA384" if version == "TLSv1.3" else "ECDHE-RSA-AES256-SHA")
    return (
        (minute, f"connect from {name(ip)}[{ip}]"),
        (minute, f"Anonymous TLS connection established from {name(ip)}[{ip}]: {version} with cipher {cipher} (256/256 bits)"),
        (minute, f"4ABC12345: client={name(ip)}[{ip}]"),
        (minute, f"disconnect from {name(ip)}[{ip}] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"),
    )


def failed(ip: str, minute: float) -> tuple[tuple[float, str], ...]:
    """Lines of a session whose handshake finds no cipher."""
    return (
        (minute, f"connect from {name(ip)}[{ip}]"),
        (minute, f"SSL_accept error from {name(ip)}[{ip}]: -1"),
        (minute, "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2220:"),
        (minute, f"lost connection after STARTTLS from {name(ip)}[{ip}]"),
        (minute, f"disconnect from {name(ip)}[{ip}] ehlo=1 starttls=0/1 commands=1/2"),
    )


def found(history: History, *changes: Change) -> list[DoctorFinding]:
    return list(log_findings(history, diagnose(history), (MX,), changes))


def test_what_the_server_said_of_itself_is_a_finding_with_its_first_time() -> None:
    rows = found(told((3, OFF), (9, OFF)))
    assert [row.id for row in rows] == ["log_invalid_protocol_list"]
    assert "2026-11-21 10:03" in rows[0].seen
    assert any(OFF in line for line in rows[0].evidence)


def test_what_is_over_since_is_a_note() -> None:
    rows = found(told((3, OFF), *worked("192.0.2.1", 8)))
    assert [(row.id, row.command) for row in rows] == [("over_by_now", "mailtlsctl report LOG")]


def test_a_success_before_the_fault_ends_nothing() -> None:
    rows = found(told(*worked("192.0.2.1", 1), (3, OFF)))
    assert [row.id for row in rows] == ["log_invalid_protocol_list"]


def test_failures_that_began_together_are_put_behind_the_change_before_them() -> None:
    peers = [f"192.0.{number}.1" for number in range(2, 8)]
    lines = [line for number, ip in enumerate(peers) for line in worked(ip, number)]
    lines += [line for number, ip in enumerate(peers) for line in failed(ip, 100 + number)]
    changes = (
        Change(START + timedelta(minutes=20), "an old thing was done"),
        Change(START + timedelta(minutes=98), "Postfix was reloaded"),
        Change(START + timedelta(minutes=200), "a later thing was done"),
    )
    rows = {row.id: row for row in found(told(*lines), *changes)}
    assert "log_many_began_to_fail" in rows
    assert "Postfix was reloaded" in rows["began_after"].seen


def test_no_change_is_charged_that_came_long_before() -> None:
    history = told((300, OFF))
    assert [row.id for row in found(history, Change(START, "Postfix was reloaded"))] == ["log_invalid_protocol_list"]


def test_the_few_that_need_old_versions_are_named() -> None:
    lines = [line for number in range(40) for line in worked(f"192.0.2.{number + 1}", number)]
    history = told(*lines, *worked("198.51.100.9", 50, "TLSv1"))
    rows = list(weakening_findings(history, (MX,)))
    assert [row.id for row in rows] == ["old_versions_for_few"]
    assert "198.51.100.9" in rows[0].seen
    assert rows[0].evidence == ("mailtlsctl allow-legacy 198.51.100.9 --level legacy",)


def test_who_has_only_weak_ciphers_is_named_where_these_are_offered_to_everybody() -> None:
    weak = tuple(DoctorFinding(each, ("master.cf",), "Seen.") for each in ("weakened_for_all", "ciphers_weak", "tls_off"))
    history = told(
        *worked("192.0.2.1", 1), *worked("198.51.100.9", 2, "TLSv1.2", "NULL-SHA256"),
        *worked("198.51.100.7", 3, "TLSv1", "RC4-MD5"), *worked("203.0.113.5", 4, "TLSv1", "RC4-MD5"),
        *worked("203.0.113.5", 5, "TLSv1.2"),
    )  # fmt: skip
    *rows, other = with_users(weak, history)
    assert other == weak[2]
    for row in rows:
        assert row.seen == "Seen. In the log 2 peers have nothing better, of 4: 198.51.100.7, 198.51.100.9."
        assert row.evidence == ("mailtlsctl allow-legacy 198.51.100.7", "mailtlsctl allow-legacy 198.51.100.9")


def test_that_nobody_needs_weak_ciphers_is_said_only_of_a_log_with_handshakes() -> None:
    weak = (DoctorFinding("weakened_for_all", ("master.cf",), "Seen."),)
    (row,) = with_users(weak, told(*worked("192.0.2.1", 1)))
    assert row.seen == "Seen. Nobody in the log, of 1 with TLS, needs such ciphers."
    assert tuple(with_users(weak, told(*failed("192.0.2.1", 1)))) == weak


def test_many_that_need_them_are_no_finding_nor_is_a_strict_door() -> None:
    lines = [line for number in range(20) for line in worked(f"192.0.2.{number + 1}", number, "TLSv1")]
    assert not list(weakening_findings(told(*lines), (MX,)))
    strict = SmtpdService("smtp/inet", Role.MX, "/", {**MX.values, "smtpd_tls_protocols": ">=TLSv1.2"})
    history = told(*worked("192.0.2.1", 1), *worked("198.51.100.9", 50, "TLSv1"))
    assert not list(weakening_findings(history, (strict,)))


def test_servers_of_microsoft_that_leave_without_a_word_are_about_tickets() -> None:
    head = "mail-db8eur05.outbound.protection.outlook.com[192.0.2.9]"
    lines = [
        (60.0 * hour, words)
        for hour in range(6)
        for words in (
            f"connect from {head}", f"SSL_accept error from {head}: lost connection",
            f"lost connection after STARTTLS from {head}", f"disconnect from {head} ehlo=1 starttls=0/1 commands=1/2",
        )
    ]  # fmt: skip
    (row,) = found(told(*lines))
    assert (row.id, row.setting) == ("tickets_microsoft", "tls_ssl_options = NO_TICKET")
    quiet = SmtpdService("smtp/inet", Role.MX, "/", {**MX.values, "tls_ssl_options": "NO_TICKET"})
    history = told(*lines)
    assert not list(log_findings(history, diagnose(history), (quiet,), ()))
