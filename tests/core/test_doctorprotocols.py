"""Lists of protocols, by the syntax of each Postfix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.doctorprotocols import protocol_findings, wrong_words
from mailtls.core.doctorservice import Role, SmtpdService
from mailtls.core.offering import versions_of

OLD, NEW = (3, 5, 25), (3, 7, 11)


def service(text: str, **more: str) -> SmtpdService:
    values = {"smtpd_tls_security_level": "may", "smtpd_tls_protocols": text, **more}
    return SmtpdService("smtp/inet", Role.MX, "/etc/postfix", values)


def found(text: str, version: tuple[int, ...] = NEW) -> list[str]:
    return [each.id for each in protocol_findings((service(text),), version)]


@pytest.mark.parametrize("text", [">=TLSv1.2", "<=TLSv1.3 >=TLSv1"])
def test_limits_are_for_postfix_3_6_and_later(text: str) -> None:
    assert found(text) == []
    rows = list(protocol_findings((service(text),), OLD))
    assert [row.id for row in rows] == ["protocols_invalid"]
    assert "3.6" in rows[0].seen
    assert ">=" not in rows[0].setting, "what mends it must be in the syntax of this version"


def test_what_mends_an_invalid_list_is_a_valid_one() -> None:
    for text in ("TLSv1.0", ">=TLSv1.0", "all", ">=TLSv1.4", "!TLSv9", "junk", "!SSLv2, TLSv9"):
        for version in (OLD, NEW):
            (row,) = protocol_findings((service(text),), version)
            _, _, value = row.setting.partition(" = ")
            assert not wrong_words(value, version), (text, value)
            assert versions_of(service(value).values), (text, value)


def test_an_option_of_the_service_is_mended_where_it_stands() -> None:
    own = SmtpdService("587/inet", Role.PEOPLE, "/etc/postfix", service("TLSv1.0").values, frozenset({"smtpd_tls_protocols"}))
    (row,) = protocol_findings((own,), NEW)
    assert row.where == ("/etc/postfix/master.cf 587/inet",)
    assert row.setting == "-o smtpd_tls_protocols=>=TLSv1"
    assert row.command == "mailtlsctl edit master.cf"


def test_a_service_without_tls_has_no_list() -> None:
    off = SmtpdService("smtp/inet", Role.MX, "/", {"smtpd_tls_security_level": "none", "smtpd_tls_protocols": "junk"})
    assert not list(protocol_findings((off,), NEW))


@given(st.text(alphabet="!<>=SLTvV0123456789.,: \x1b\n\"';", max_size=80))
def test_any_list_ends_in_findings_that_are_printable(text: str) -> None:
    for row in protocol_findings((service(text),), NEW):
        assert row.seen.isprintable()
        assert row.setting.isprintable()
