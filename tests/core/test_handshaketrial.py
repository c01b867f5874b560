"""Trials of handshakes: who failed for which reason is read from the log, and only a whole answer agrees."""

from __future__ import annotations

import pytest

from mailtls.core.ciphersuite import BY_NUMBER
from mailtls.core.handshake import Negotiated, Refused
from mailtls.core.handshaketrial import NOT_READ, Trial, Visit, visits_of, with_reasons
from mailtls.core.serverhello import ServerAnswer

SUITE = BY_NUMBER[0xC02F]
REFUSED = Refused(0x0C1, 40)


def lines(text: str) -> list[bytes]:
    return [f"Nov 21 10:00:00 mx {line}".encode() for line in text.strip().splitlines()]


LOG = lines(
    """
postfix/smtpd[7]: connect from localhost[127.0.0.1]:4001
postfix/mailtls-legacy/smtpd[8]: connect from localhost[127.0.0.1]:4002
postfix/smtpd[7]: SSL_accept error from localhost[127.0.0.1]:4001: -1
postfix/mailtls-legacy/smtpd[8]: warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:x.c:1:
postfix/smtpd[7]: warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:2220:
postfix/smtpd[9]: warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:2220:
postfix/smtpd[7]: disconnect from localhost[127.0.0.1]:4001 ehlo=1 starttls=0/1 commands=1/2
dovecot: imap-login: postfix/smtpd[7]: connect from bank[192.0.2.1]:1
postfix/mailtls-legacy/smtpd[8]: disconnect from localhost[127.0.0.1]:4002 ehlo=1 starttls=0/1 commands=1/2
postfix/smtpd[7]: connect from unknown[2001:db8::7]:5
"""
)


def test_each_reason_is_of_the_client_that_its_process_served() -> None:
    assert visits_of(LOG) == [
        Visit("127.0.0.1", 4001, 0x0C1, over=True),
        Visit("127.0.0.1", 4002, 0x102, over=True),
        Visit("2001:db8::7", 5),
    ]


def trial(reason: int | None = NOT_READ) -> Trial:
    return Trial("smtp", b"x", REFUSED, ServerAnswer(alert=40), reason)


def test_a_trial_gets_the_reason_of_its_own_port_also_where_the_port_comes_back() -> None:
    visits = [Visit("127.0.0.1", 1, 0x0C1, over=True), Visit("127.0.0.1", 2, None, over=True),
              Visit("127.0.0.1", 1, 0x102, over=True)]  # fmt: skip
    clients = [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 1)]
    found = with_reasons([trial()] * 3, clients, visits)
    assert [one.reason for one in found or []] == [0x0C1, None, 0x102]


def test_where_ports_are_not_logged_the_order_tells_unless_others_came() -> None:
    visits = [Visit("127.0.0.1", 0, 0x0C1, over=True), Visit("192.0.2.1", 0, 5), Visit("127.0.0.1", 0, None, over=True)]
    clients = [("127.0.0.1", 1), ("127.0.0.1", 2)]
    found = with_reasons([trial()] * 2, clients, visits)
    assert [one.reason for one in found or []] == [0x0C1, None]
    assert with_reasons([trial()] * 2, clients, [*visits, Visit("127.0.0.1", 0, over=True)]) is None


def test_a_log_that_is_not_whole_yet_gives_no_reasons() -> None:
    assert with_reasons([trial()], [("127.0.0.1", 1)], [Visit("127.0.0.1", 1)]) is None
    assert with_reasons([trial()], [("127.0.0.1", 1)], []) is None


@pytest.mark.parametrize(
    ("one", "agrees"),
    [
        (trial(), True),
        (trial(0x0C1), True),
        (trial(0x102), False),
        (trial(None), False),
        (Trial("smtp", b"", REFUSED, ServerAnswer(alert=70)), False),
        (Trial("smtp", b"", REFUSED, ServerAnswer()), False),
        (Trial("smtp", b"", None, ServerAnswer()), True),
        (Trial("smtp", b"", None, ServerAnswer(0x0303, 0xC02F)), False),
        (Trial("smtp", b"", Negotiated(0x0303, SUITE), ServerAnswer(0x0303, 0xC02F)), True),
        (Trial("smtp", b"", Negotiated(0x0303, SUITE), ServerAnswer(0x0302, 0xC02F)), False),
        (Trial("smtp", b"", Negotiated(0x0303, SUITE), ServerAnswer(0x0303, 0xC030)), False),
        (Trial("smtp", b"", Negotiated(0x0304, SUITE, retry=True), ServerAnswer(0x0304, 0xC02F)), False),
    ],
)
def test_only_the_whole_answer_agrees(one: Trial, agrees: bool) -> None:
    assert one.agrees is agrees


def test_a_difference_says_all_that_is_needed_to_see_it_again() -> None:
    wrong = Trial("smtp", b"\x16\x03", Negotiated(0x0303, SUITE), ServerAnswer(alert=40), 0x0C1)
    assert str(wrong) == (
        "smtp: predicted TLSv1.2 with ECDHE-RSA-AES128-GCM-SHA256; came no shared cipher, alert 40: 1603"
    )
    assert trial().foretold == "no shared cipher, alert 40"
    assert Trial("smtp", b"", None, ServerAnswer(0x0303, 0x2F)).came == "TLSv1.2 with cipher 0x002F"
    assert Trial("smtp", b"", None, ServerAnswer()).came == "the end of the connection"
