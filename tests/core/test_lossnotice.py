"""Lines that the syslog daemon left out: it says so, and only it is believed."""

from __future__ import annotations

import pytest

from mailtls.core.lossnotice import loss_told


@pytest.mark.parametrize(
    "line",
    [
        b"Nov 21 10:00:00 mx rsyslogd: imuxsock lost 312 messages from pid 4711 due to rate-limiting",
        b"Nov 21 10:00:00 mx rsyslogd[88]: imjournal: 1234 messages lost due to rate-limiting (20000 allowed within 600 seconds)",
        b"2026-11-21T10:00:00+01:00 mx rsyslogd: imuxsock[pid: 4711, name: smtpd] from <postfix/smtpd>: begin to drop"
        b" messages due to rate-limiting",
        b"Nov 21 10:00:00 mx systemd-journald[301]: Suppressed 1234 messages from postfix@-.service",
        b"Nov 21 10:00:00 mx systemd-journal[301]: Suppressed 1234 messages from /system.slice/postfix.service",
    ],
)
def test_a_syslog_daemon_says_that_lines_are_missing(line: bytes) -> None:
    told = loss_told(line)
    assert told is not None
    assert "messages" in told


@pytest.mark.parametrize(
    "line",
    [
        b"Nov 21 10:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: EHLO from x[192.0.2.1]: helo=<rsyslogd: imuxsock lost 1"
        b" messages due to rate-limiting>",
        b"Nov 21 10:00:00 mx postfix/smtpd[1]: connect from Suppressed 5 messages[192.0.2.1]",
        b'Nov 21 10:00:00 mx rsyslogd: [origin software="rsyslogd"] rsyslogd was HUPed',
        b"rate-limiting",
        b"",
    ],
)
def test_anything_else_says_nothing(line: bytes) -> None:
    assert loss_told(line) is None
