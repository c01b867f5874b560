"""Scanners and monitors: what makes one, and which sign alone does not."""

from __future__ import annotations

import pytest
from tests.core.histories import at, dropped, failure, history_of, in_clear, success

from mailtls.core.cause import Service
from mailtls.core.session import Session
from mailtls.core.visitor import is_monitor, is_scanner, keeps_even_intervals, named_like_a_scanner

IP = "203.0.113.9"
KINDS = ("no shared cipher", "version too low", "bad key share")


def failures(*reasons: str, gap: float = 0.1, name: str = "unknown", start: float = 0) -> list[Session]:
    return [failure(IP, reason, start + gap * n, name=name) for n, reason in enumerate(reasons)]


def suites(*ciphers: str, gap: float = 0.1, **more: object) -> list[Session]:
    return [success(IP, gap * n, cipher=cipher, mail=False, **more) for n, cipher in enumerate(ciphers)]  # type: ignore[arg-type]


SCANNERS: dict[str, list[Session]] = {
    "three reasons in seconds": failures(*KINDS),
    "three reasons in nine minutes": failures(*KINDS, gap=4.5),
    "two reasons and cuts": failures("no shared cipher", "lost connection", "version too low"),
    "two reasons, and a scanner's name": failures("no shared cipher", "lost connection", name="a.census.shodan.io"),
    "one reason in a burst, and a scanner's name": failures(*["unsupported protocol"] * 3, name="X.Censys-Scanner.com"),
    "one reason and three suites": failures("no shared cipher") + suites("AES128-SHA", "AES256-SHA", "X-CHACHA20"),
    "a burst every day": [s for day in range(5) for s in failures(*KINDS, start=1440 * day)],
    "no stamps": [failure(IP, reason, None) for reason in KINDS],
    "on several services": [
        failure(IP, reason, 0, service=service)
        for reason, service in zip(KINDS, (Service.SMTPD, Service.IMAP, Service.SMTPS), strict=True)
    ],
}
NO_SCANNERS: dict[str, list[Session]] = {
    "nothing": [success(IP, 0)],
    "two reasons": failures("no shared cipher", "version too low"),
    "one reason, again and again": failures(*["no shared cipher"] * 9),
    "three reasons in an hour": failures(*KINDS, gap=30),
    "three reasons in eleven minutes": failures(*KINDS, gap=5.5),
    "three reasons and mail": [*failures(*KINDS), in_clear(IP, 60)],
    "cuts of every kind": failures("lost connection", "Connection timed out", "", "unexpected eof while reading"),
    "three reasons at once, then a queue's rhythm": [
        *failures(*KINDS), *(failure(IP, "no shared cipher", 30 * n) for n in range(1, 12)),
    ],
    "a scanner's name alone": failures("no shared cipher", name="a.census.shodan.io"),
    "a scanner's name, twice in a day": failures(*["no shared cipher"] * 2, gap=700, name="a.census.shodan.io"),
    "one reason and two suites": failures("no shared cipher") + suites("AES128-SHA", "AES256-SHA"),
    "one reason and three suites of people's phones": [
        failure(IP, "unsupported protocol", 0, service=Service.IMAP),
        *suites("AES128-SHA", "AES256-SHA", "X-CHACHA20", service=Service.IMAP),
    ],
    "four suites and no failure": suites("AES128-SHA", "AES256-SHA", "X-CHACHA20", "Y"),
}  # fmt: skip


@pytest.mark.parametrize("row", SCANNERS)
def test_this_is_a_scanner(row: str) -> None:
    assert is_scanner(history_of(SCANNERS[row]).peers[IP])


@pytest.mark.parametrize("row", NO_SCANNERS)
def test_this_is_no_scanner(row: str) -> None:
    assert not is_scanner(history_of(NO_SCANNERS[row]).peers[IP])


@pytest.mark.parametrize(("name", "expected"), [
    ("a.census.shodan.io", True), ("internet.nl", True), ("STRETCHOID.COM", True), ("azpdsg17.stretchoid.com.", True),
    ("myinternet.nl", False), ("mail.census.example", False), ("shodan.io.example.net", False), ("unknown", False),
    (None, False), ("", False),
])  # fmt: skip
def test_a_scanners_name_ends_in_a_scanners_domain(name: str | None, expected: bool) -> None:
    peer = history_of([failure(IP, "no shared cipher", name=name)]).peers[IP]
    assert named_like_a_scanner(peer) is expected


MONITORS: dict[str, list[Session]] = {
    "three dropped handshakes": [dropped(IP, 5 * n) for n in range(3)],
    "dropped and once cut": [*(dropped(IP, 5 * n) for n in range(3)), failure(IP, "lost connection", 20)],
    "cut at even intervals": [failure(IP, "lost connection", 5 * n) for n in range(8)],
}
NO_MONITORS: dict[str, list[Session]] = {
    "two dropped handshakes": [dropped(IP, 5 * n) for n in range(2)],
    "dropped, and mail": [*(dropped(IP, 5 * n) for n in range(3)), success(IP, 20)],
    "dropped, and mail in clear": [*(dropped(IP, 5 * n) for n in range(3)), in_clear(IP, 20)],
    "dropped, and a reason": [*(dropped(IP, 5 * n) for n in range(3)), failure(IP, "no shared cipher", 20)],
    "mostly used": [*(dropped(IP, 5 * n) for n in range(3)), *(success(IP, n, mail=False) for n in range(4))],
    "mostly cut": [*(dropped(IP, 5 * n) for n in range(3)), *(failure(IP, "lost connection", n * n) for n in range(4))],
    "cut at growing intervals": [failure(IP, "lost connection", 5 * n * n) for n in range(12)],
    "cut seven times": [failure(IP, "lost connection", 5 * n) for n in range(7)],
}


@pytest.mark.parametrize("row", MONITORS)
def test_this_is_a_monitor(row: str) -> None:
    assert is_monitor(history_of(MONITORS[row]).peers[IP])


@pytest.mark.parametrize("row", NO_MONITORS)
def test_this_is_no_monitor(row: str) -> None:
    assert not is_monitor(history_of(NO_MONITORS[row]).peers[IP])


def test_one_missed_look_does_not_break_the_rhythm_but_two_do() -> None:
    looks = [at(5 * n) for n in range(12)]
    assert keeps_even_intervals(looks)
    assert keeps_even_intervals([*looks[:4], *looks[5:]])
    assert not keeps_even_intervals([*looks[:4], *looks[5:8], *looks[9:]])


def test_eight_cuts_within_seconds_are_a_burst_and_no_rhythm() -> None:
    assert not keeps_even_intervals([at(n / 60) for n in range(9)])
