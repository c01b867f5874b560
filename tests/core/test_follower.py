"""The follower counts the sessions of the addresses it was told, and of nobody else."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import follower
from mailtls.core.follower import Follower

HEAD = "Nov 20 10:00:00 mx1 postfix/smtpd[77]: "
SUITE = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
LONGEST = ".".join(["a" * 60] * 4)  # of a name, RFC 1035


OWN = b"mx1 postfix/smtpd"


def followed(*lines: str, addresses: tuple[bytes, ...] = (b"192.0.2.1",), own: bytes = OWN) -> Follower:
    found = Follower(16, frozenset(addresses), own=own)
    found.follow("".join(f"{line}\n" for line in lines).encode(), 0)
    return found


def rows_of(found: Follower, suite: str = "") -> dict[bytes, int]:
    """Where a row is as short as what matters of its line, with all of the suite that the line had."""
    short = suite.partition(" (")[0].encode()
    return {
        key + suite.encode()[len(short) :] if short and key.endswith(short) else key: row[0]
        for key, row in found.rows.items()
    }


@given(
    before=st.integers(0, 30),
    behind=st.integers(0, 30),
    name=st.sampled_from(["a.example", "unknown", LONGEST]),
    own=st.sampled_from([OWN, b"mx1 postfix/submission/smtpd", b""]),
)
def test_a_line_is_found_wherever_it_stands_in_its_block(before: int, behind: int, name: str, own: bytes) -> None:
    other = f"{HEAD}connect from b.example[192.0.2.2]"
    line = f"{HEAD}Anonymous TLS connection established from {name}[192.0.2.1]: {SUITE}"
    found = followed(*[other] * before, line, *[other] * behind, own=own)
    assert rows_of(found, SUITE) == {
        f"mx1 postfix/smtpd\0TLS connection established from {name}[192.0.2.1]: {SUITE}".encode(): 1
    }


@pytest.mark.parametrize(
    "line",
    [
        f"{HEAD}connect from a.example[192.0.2.1]",
        f"{HEAD}disconnect from a.example[192.0.2.11] ehlo=1 quit=1 commands=2",
        f"{HEAD}warning: x[1]: disconnect from a.example[192.0.2.1] quit=1 commands=1",
        f"{HEAD}warning: smtpd[1]: {'y' * 700} postfix/smtpd[2]: disconnect from a.example[192.0.2.1] quit=1 commands=1",
        f"{HEAD}improper command: Nov 20 10:00:00 mx1 postfix/smtpd[1]: disconnect from a[192.0.2.1] quit=1 commands=1",
        "disconnect from a.example[192.0.2.1] ehlo=1 quit=1 commands=2",
    ],
)
@pytest.mark.parametrize("own", [OWN, b""])
def test_what_is_no_end_of_a_session_of_theirs_is_not_counted(line: str, own: bytes) -> None:
    assert rows_of(followed(line, line, own=own)) == {}


@pytest.mark.parametrize("own", [OWN, b""])
def test_words_of_strangers_hide_no_line_of_the_same_block(own: bytes) -> None:
    stranger = f"{HEAD}warning: disconnect from a.example[192.0.2.1] quit=1 commands=1"
    end = f"disconnect from {LONGEST}[192.0.2.1] ehlo=1 quit=1 commands=2"
    found = followed(stranger, f"{HEAD}{end}", stranger, own=own)
    assert rows_of(found) == {f"mx1 postfix/smtpd\0{end}".encode(): 1}


def test_services_side_by_side_are_all_followed() -> None:
    text = f"Trusted TLS connection established from a.example[192.0.2.1]: {SUITE}"
    other = HEAD.replace("postfix/", "postfix/submission/")
    assert rows_of(followed(HEAD + text, other + text, HEAD + text, other + text), SUITE) == {
        f"mx1 postfix/{tag}\0{text.removeprefix('Trusted ')}".encode(): 2 for tag in ("smtpd", "submission/smtpd")
    }


def test_sessions_of_everybody_are_counted() -> None:
    texts = [
        f"TLS connection established from a.example[192.0.2.1]: {SUITE}",
        f"TLS connection established from b.example[192.0.2.2]: {SUITE}",
        "disconnect from a.example[192.0.2.1] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
        "disconnect from b.example[192.0.2.2] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
        "disconnect from a.example[192.0.2.1] ehlo=1 starttls=0/1 commands=1/2",
        "disconnect from b.example[192.0.2.2] ehlo=1 quit=1 commands=2",
    ]
    smtps = "disconnect from b.example[192.0.2.2] ehlo=1 quit=1 commands=2"  # no session without TLS
    lines = [*(HEAD + text for text in texts), HEAD.replace("postfix/", "postfix/smtps/") + smtps]
    found = followed(*lines)
    found.join(*followed(*lines).parcel())
    assert (found.established, found.ended_tls, found.ended_refused, found.plain) == (4, 4, 2, 2)
    assert found.suites == {b"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384": 4}
    assert set(rows_of(found).values()) == {2}


SUITES = [f"TLSv1.{n % 4} with cipher {'X' * n}{'-' * (n % 3)}Y".replace("v1.0", "v1").encode() for n in range(40)]
SUITES[5:5] = [SUITES[0] + b"256", SUITES[1][:-1]]  # longer and shorter than a frequent one


def test_usual_suites_are_counted_as_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_SEEN", 60)
    found = Follower(16, frozenset([b"192.0.2.1"]), own=OWN)
    expected: Counter[bytes] = Counter()
    for number in range(4):
        lines = []
        for rank, suite in enumerate(SUITES):
            for client in ["a[192.0.2.1]"] + ["b.example[192.0.2.2]"] * (50 - rank):
                lines.append(f"{HEAD}Trusted TLS connection established from {client}: {suite.decode()} (1/1 bits)\n")
                expected[suite] += 1
        found.follow("".join(lines).encode(), number)
    assert found.suites == expected
    assert found.established == sum(expected.values())
    texts = list(found.lanes()[0][OWN].established)
    assert sorted(texts) == sorted(b"TLS connection established from a[192.0.2.1]: " + suite for suite in SUITES)
    assert {row[0] for row in found.rows.values()} == {4}


@pytest.mark.parametrize("own", [OWN, b""])
def test_clients_of_odd_names_are_followed(own: bytes) -> None:
    names = ["1host.example", "=", "a=b/c", "x-y_z", "-"]
    lines = [
        f"{HEAD}disconnect from {name}[192.0.2.1]{rest}"
        for name in names
        for rest in ("", ":25", " ehlo=1 quit=1 commands=2", " ehlo=2 starttls=1 data=1", " ehlo=1 starttls=0/1", " starttls=0/1 data=1")
    ]
    found = followed(*lines, own=own)
    assert (found.ended_tls, found.ended_refused, found.plain) == (5, 10, 15)
    lanes, mails = found.lanes()
    plain = {line.removeprefix(HEAD).encode() for line in lines if "starttls" not in line}
    assert lanes[OWN].ended.keys() == plain
    assert mails == {(OWN, f"{name}[192.0.2.1]".encode()): 1 for name in names}


def test_rows_are_in_the_order_of_the_log_whoever_read_it_first() -> None:
    blocks = [f"{HEAD}disconnect from a[192.0.2.1] quit={number} commands=1\n".encode() for number in range(6)]
    first, second = Follower(16, frozenset([b"192.0.2.1"]), own=OWN), Follower(16, frozenset([b"192.0.2.1"]), own=OWN)
    for number in (4, 1, 5):
        first.follow(blocks[number], number)
    for number in (0, 2, 3):
        second.follow(blocks[number], number)
    first.join(*second.parcel())
    ended = first.lanes()[0][OWN].ended
    assert [row[1] for row in ended.values()] == list(range(6))


def test_sessions_become_rows_of_their_service_and_mails_of_their_client() -> None:
    client = "a.example[192.0.2.1]"
    found = followed(
        f"{HEAD}Trusted TLS connection established from {client}: {SUITE}",
        f"{HEAD}disconnect from {client} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
        f"{HEAD}disconnect from {client} ehlo=2 starttls=1 mail=1 rcpt=0/1 quit=1 commands=6/7",
        f"{HEAD}disconnect from {client} ehlo=1 starttls=0/1 commands=1/2",
        f"{HEAD}disconnect from {client} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    )
    lanes, mails = found.lanes()
    assert list(lanes) == [b"mx1 postfix/smtpd"]
    shapes = lanes[b"mx1 postfix/smtpd"]
    assert [row[0] for row in shapes.established.values()] == [1]
    assert list(shapes.ended) == [f"disconnect from {client} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5".encode()]
    assert dict(mails) == {(b"mx1 postfix/smtpd", client.encode()): 1}


def test_more_kinds_of_lines_than_there_is_room_for_are_counted_as_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "SHAPES", 10)
    found = followed(*(f"{HEAD}disconnect from a{n}[192.0.2.1] quit=1 commands=1" for n in range(25)))
    assert (len(found.rows), found.left_out) == (10, 15)


def test_of_very_many_addresses_every_one_is_followed() -> None:
    many = [f"198.51.{n // 250}.{n % 250}".encode() for n in range(2_500)]
    lines = [f"{HEAD}disconnect from a[{address.decode()}] quit=1 commands=1" for address in many[::100]]
    found = followed(*lines, f"{HEAD}disconnect from a[192.0.2.1] quit=1 commands=1", addresses=tuple(many))
    lanes, _ = found.lanes()
    assert len(lanes[b"mx1 postfix/smtpd"].ended) == 25
