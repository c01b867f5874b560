"""What doveconf prints, of 2.3 and of 2.4, and what follows from it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.doctordovecot import (
    DovecotFacts,
    LmtpFacts,
    certificate_settings,
    dovecot_findings,
    lmtp_findings,
    lmtp_sockets,
    parse_doveconf,
    postfix_sockets,
)

PRINTED_2_3 = """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
protocols = imap lmtp
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    group = postfix
    mode = 0600
  }
}
ssl_cert = </etc/ssl/imap.pem
ssl_key = </etc/ssl/imap.key
ssl_min_protocol = TLSv9
local_name mail.example.org {
  ssl_cert = </etc/ssl/other.pem
}
"""
PRINTED_2_4 = """\
dovecot_config_version = 2.4.1
protocols {
  imap = yes
}
ssl_server {
  cert_file = /etc/ssl/imap.pem
  key_file = /etc/ssl/imap.key
}
local_name mail.example.org {
  ssl_server {
    cert_file = /etc/ssl/other.pem
  }
}
"""


def facts(printed: str, version: tuple[int, ...] = (2, 3), **more: object) -> DovecotFacts:
    return DovecotFacts("/etc/dovecot/dovecot.conf", version, parse_doveconf(printed), **more)  # type: ignore[arg-type]


def test_blocks_are_kept_apart() -> None:
    pairs = list(certificate_settings(facts(PRINTED_2_3)))
    assert [(block, file, key) for block, _, _, file, key in pairs] == [
        ("", "/etc/ssl/imap.pem", "/etc/ssl/imap.key"),
        ("local_name mail.example.org", "/etc/ssl/other.pem", "/etc/ssl/imap.key"),
    ]


def test_certificates_of_2_4_have_other_names() -> None:
    pairs = list(certificate_settings(facts(PRINTED_2_4, (2, 4))))
    assert [(block, file, key) for block, _, _, file, key in pairs] == [
        ("", "/etc/ssl/imap.pem", "/etc/ssl/imap.key"),
        ("local_name mail.example.org", "/etc/ssl/other.pem", "/etc/ssl/imap.key"),
    ]
    assert facts(PRINTED_2_4, (2, 4)).value("protocols") == "imap"


def test_the_socket_that_dovecot_opens_is_found() -> None:
    assert lmtp_sockets(parse_doveconf(PRINTED_2_3)) == ("/var/spool/postfix/private/dovecot-lmtp",)


def test_a_version_that_there_is_not_is_found() -> None:
    assert [row.id for row in dovecot_findings(facts(PRINTED_2_3))] == ["dovecot_protocols_invalid"]


def test_what_doveconf_refuses_for_want_of_permission_is_no_finding() -> None:
    words = ("doveconf: Fatal: Error in configuration file x line 1: ssl_key: Can't open file k: Permission denied",)
    assert not list(dovecot_findings(facts("protocols = imap\n", fatal=words)))


def test_sockets_of_postfix_are_below_its_queue_unless_absolute() -> None:
    values = {"virtual_transport": "lmtp:unix:private/x", "mailbox_transport": "lmtp:unix:/run/y", "z": "lmtp:inet:h:24"}
    assert postfix_sockets(values, "/var/spool/postfix") == (
        ("virtual_transport", "/var/spool/postfix/private/x"), ("mailbox_transport", "/run/y"),
    )  # fmt: skip


def test_a_socket_that_nobody_may_look_at_is_no_finding() -> None:
    assert not list(lmtp_findings(LmtpFacts("virtual_transport", "/x", None, opened=True, dovecot=True), "main.cf"))


@given(st.text(alphabet="ab_ ={}\n/<\x1b#", max_size=400))
def test_any_text_of_doveconf_is_read(text: str) -> None:
    for row in dovecot_findings(facts(text)):
        assert row.seen.isprintable()
