"""What postconf warns of: told once for each file, however long that is."""

from __future__ import annotations

from mailtls.core.doctorfinding import EVIDENCE_LINES
from mailtls.core.doctorvalues import NAMED, warning_findings

MAIN, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"


def unknown(file: str, name: str) -> str:
    return f"postconf: warning: {file}: unused parameter: {name}=yes"


def test_parameters_that_postfix_does_not_know_are_told_by_file() -> None:
    lines = [unknown(MAIN, "smtpd_tls_protocol"), unknown(MASTER, "smtpd_timeoutt"), unknown(MAIN, "tls_nothing")]
    main, master = warning_findings(lines)
    assert main.seen == "Postfix knows no parameter smtpd_tls_protocol, tls_nothing."
    assert (main.where, master.where) == ((MAIN,), (MASTER,))
    assert (main.command, master.command) == ("mailtlsctl edit main.cf", "mailtlsctl edit master.cf")
    assert len(main.evidence) == 2


def test_ten_thousand_of_them_are_one_finding() -> None:
    (row,) = warning_findings(unknown(MAIN, f"smtpd_{number}") for number in range(10_000))
    assert row.seen.endswith(f"smtpd_5 and {10_000 - NAMED:,} more.")
    assert len(row.evidence) == EVIDENCE_LINES


def test_what_is_no_parameter_of_mail_is_nobodys_business() -> None:
    assert not list(warning_findings([unknown(MAIN, "my_own_name")]))


def test_parameters_that_stand_twice_are_told_with_the_line_that_counts() -> None:
    lines = [f"postconf: warning: {MAIN}, line {n}: overriding earlier entry: smtpd_{n}=1" for n in (7, 9)]
    (row,) = warning_findings(lines)
    assert row.seen == "smtpd_7 stands twice; line 7 counts; smtpd_9 stands twice; line 9 counts."
