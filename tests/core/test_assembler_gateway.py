"""A session at the gateway is two in the log, the gateway's and that of the service behind it; it counts once.

The lines are of a real session: an SSLv3 client, mailtls-gateway, Postfix 3.7.
"""

from __future__ import annotations

import pytest
from tests.core.reading import BSD, one, read, smtpd

from mailtls.core.cause import Door, Outcome
from mailtls.core.follower import Follower
from mailtls.core.sieve import find_lane

WHO, IP = "[198.51.100.4]:40100", "198.51.100.4"
BACKEND = "postfix/mailtls-backend/smtpd"
IN_CLEAR = (f"connect from unknown[{IP}]", f"disconnect from unknown[{IP}] ehlo=1 commands=1")
WITH_TLS = (
    f"connect from unknown[{IP}]",
    f"4gXy2Z1abcz1Q: client=unknown[{IP}]",
    f"disconnect from unknown[{IP}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
)


def gateway(*messages: str) -> list[str]:
    return smtpd(*messages, tag="mailtls-sslv3/tlsproxy", pid=7)


def backend(*messages: str) -> list[str]:
    return smtpd(*messages, tag=BACKEND, pid=8)


def delivered(taken: int) -> list[str]:
    agreed = f"Anonymous TLS connection established from {WHO}: SSLv3 with cipher RC4-SHA (128/128 bits)"
    said = gateway(f"CONNECT from {WHO}", agreed, f"DISCONNECT {WHO} data={taken}")
    return [said[0], *backend(*IN_CLEAR), said[1], *backend(*WITH_TLS), said[2]]


@pytest.mark.parametrize("taken", [0, 1, 12])
def test_it_is_one_session_at_the_sslv3_door_with_its_mail(taken: int) -> None:
    session = one(delivered(taken))
    assert session.peer is not None
    assert (session.peer.ip, session.door, session.outcome) == (IP, Door.SSLV3, Outcome.TLS_OK)
    assert (session.tls_version, session.cipher, session.delivered) == ("SSLv3", "RC4-SHA", taken > 0)


def test_mail_in_clear_is_one_session_too() -> None:
    said = gateway(f"CONNECT from {WHO}", f"DISCONNECT {WHO} data=1")
    session = one([said[0], *backend(*WITH_TLS), said[1]])
    assert (session.door, session.outcome, session.delivered) == (Door.SSLV3, Outcome.NO_STARTTLS, True)


def test_what_the_service_behind_it_says_alone_is_of_no_client() -> None:
    assert read(backend(*IN_CLEAR, *WITH_TLS, "lost connection after STARTTLS from unknown[198.51.100.4]")) == []


def test_the_quick_ways_through_a_large_log_leave_it_aside_too() -> None:
    block = "".join(f"{line}\n" for line in delivered(1) * 3).encode()
    assert find_lane(block) is None
    follower = Follower(len(BSD) + 1, frozenset((IP.encode(),)), own=b"mail postfix/smtpd")
    follower.follow(block, 0)
    assert follower.plain == 0
    assert follower.lanes()[0] == {}
