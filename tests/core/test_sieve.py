"""The sieve counts what the assembler would have counted, however the log is cut into blocks."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailtls.core import shape
from mailtls.core.assembler import Assembler
from mailtls.core.crowd import Crowd
from mailtls.core.history import History
from mailtls.core.shape import Shapes
from mailtls.core.sieve import Sieve, find_lane
from mailtls.core.stamp import Calendar

CALENDAR = Calendar(datetime(2026, 11, 21, tzinfo=UTC))
EST = "TLS connection established from"
SUITES = (
    "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS",
    "TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 (128/128 bits)",
)
REASONS = (
    "error:0A000102:SSL routines::unsupported protocol:../ssl/statem/statem_srvr.c:1657:",
    "error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2220:",
    "error:0A000418:SSL routines::tlsv1 alert unknown ca:../ssl/record/rec_layer_s3.c:1586:SSL alert number 48:",
)
MAIL = "mail=1 rcpt=1 data=1 quit=1 commands=7"


def success(who: str) -> list[str]:
    return [f"connect from {who}", f"Anonymous {EST} {who}: {SUITES[len(who) % 2]}",
            f"4ABCDE12345: client={who}", f"disconnect from {who} ehlo=2 starttls=1 {MAIL}"]  # fmt: skip


def success_at_loglevel_0(who: str) -> list[str]:
    return [f"connect from {who}", f"disconnect from {who} ehlo=2 starttls=1 quit=1 commands=4"]


def plaintext(who: str) -> list[str]:
    return [f"connect from {who}", f"disconnect from {who} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"]


def refuses_cleartext(who: str) -> list[str]:
    return [
        f"connect from {who}",
        "discarding EHLO keywords: STARTTLS",
        f"disconnect from {who} ehlo=1 quit=1 commands=2",
    ]


def failure(who: str) -> list[str]:
    reason = REASONS[len(who) % 3]
    return [f"connect from {who}", f"SSL_accept error from {who}: -1", f"warning: TLS library problem: {reason}",
            f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2"]  # fmt: skip


def cut_off(who: str) -> list[str]:
    return [f"connect from {who}", f"SSL_accept error from {who}: Connection reset by peer",
            f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2"]  # fmt: skip


def alert_after_success(who: str) -> list[str]:
    return [f"connect from {who}", f"Trusted {EST} {who}: {SUITES[0]}",
            f"warning: TLS library problem: {REASONS[2]}", f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=1 commands=2"]  # fmt: skip


def alert_at_loglevel_0(who: str) -> list[str]:
    return [f"connect from {who}", f"warning: TLS library problem: {REASONS[2]}",
            f"lost connection after STARTTLS from {who}", f"disconnect from {who} ehlo=1 starttls=1 commands=2"]  # fmt: skip


def refused_without_reason(who: str) -> list[str]:
    return [f"connect from {who}", f"lost connection after STARTTLS from {who}",
            f"disconnect from {who} ehlo=1 starttls=0/1 commands=1/2"]  # fmt: skip


KINDS = (success, success_at_loglevel_0, plaintext, refuses_cleartext, failure, cut_off, alert_after_success,
         alert_at_loglevel_0, refused_without_reason)  # fmt: skip
LANES = ("mx1 postfix/smtpd", "mx1 postfix/submission/smtpd", "mx2 postfix/smtpd")
OTHERS = (
    "mx1 dovecot: imap-login: Login: user=<a>, method=PLAIN, rip=198.51.100.7, lip=192.0.2.1, mpid=4, TLS, session=<x>",
    "mx1 dovecot: imap-login: Disconnected (no auth attempts in 3 secs): user=<>, rip=198.51.100.8, lip=192.0.2.1, "
    "TLS handshaking: SSL_accept() failed: error:0A000416:SSL routines::sslv3 alert certificate unknown: SSL alert "
    "number 46, session=<y>",
    "mx1 dovecot: pop3-login: Disconnected (no auth attempts in 9 secs): user=<>, rip=198.51.100.9, lip=192.0.2.1, "
    "TLS handshaking: SSL_accept() syscall failed: Connection reset by peer, session=<z>",
    "mx1 postfix/tlsproxy[77]: TLS handshake failed for service=smtpd peer=[198.51.100.10]:4000",
    "mx1 postfix/tlsproxy[77]: Anonymous " + EST + " [198.51.100.11]:4001: " + SUITES[0],
    "mx1 postfix/postscreen[5]: PREGREET 12 after 0 from [198.51.100.12]:50: \\026\\003\\001",
    "mx1 postfix/qmgr[9]: 4LS: from=<a@example.org>, size=3, nrcpt=1 (queue active)",
    "mx1 postfix/smtp[4]: SSL_connect error to mx.example.org[203.0.113.9]:25: -1",
    "mx1 sshd[3]: Invalid user postfix/smtpd[1]: SSL_accept error from bank.example[192.0.2.66]: -1",
)


def log_of(seed: int, sessions: int, kinds: tuple = KINDS) -> list[bytes]:
    """A log of interleaved sessions; each pid belongs to one lane and serves one session after the other."""
    chance = random.Random(seed)
    queues: dict[int, tuple[str, list[str]]] = {}
    lines: list[bytes] = []
    pids = [(pid, LANES[0] if pid % 5 else LANES[pid % 3]) for pid in range(1000, 1012)]
    left = sessions
    clock = 0
    while left or queues:
        pid, lane = chance.choice(pids)
        clock += chance.randrange(3)
        stamp = f"Nov 20 {clock // 3600 % 24:02}:{clock // 60 % 60:02}:{clock % 60:02}"
        if chance.random() < 0.1:
            lines.append(f"{stamp} {chance.choice(OTHERS)}".encode())
        if pid not in queues:
            if not left:
                if queues:
                    pid, (lane, _) = chance.choice(list(queues.items()))
            else:
                left -= 1
                who = f"mx{chance.randrange(9) ** 2}.example[192.0.2.{chance.randrange(30)}]"
                queues[pid] = (lane, chance.choice(kinds)(who))
        text = queues[pid][1].pop(0)
        lines.append(f"{stamp} {queues[pid][0]}[{pid}]: {text}".encode())
        if not queues[pid][1]:
            del queues[pid]
    return lines


def rows_of(history: History) -> Counter:
    rows: Counter = Counter()
    for ip, _, verdict, tally in history.rows():
        rows[ip, verdict] += tally.count
    return rows


def by_lines(lines: list[bytes]) -> History:
    history, assembler = History(), Assembler(CALENDAR)
    for session in [s for line in lines for s in assembler.feed(line)] + assembler.finish():
        history.record(session)
    return history


def through_sieve(lines: list[bytes], parts: list[list[list[bytes]]], most: int | None = None) -> History:
    """Feed `parts` (each a list of blocks, each a list of lines) to a sieve of its own, and join them."""
    history, assembler = History(), Assembler(CALENDAR)
    whole: Shapes | None = None
    lane = (b"mx1 postfix/smtpd", 16)
    for blocks in parts:
        sieve = Sieve(*lane)
        for block in blocks:
            if block:
                sieve.feed(b"\n".join(block) + b"\n")
        for line in sieve.shapes.odd:
            for session in assembler.feed(line):
                history.record(session)
        sieve.shapes.odd.clear()
        if whole is None:
            whole = sieve.shapes
        else:
            whole.join(sieve.shapes)
    assert whole is not None
    whole.close_all()
    for session in assembler.finish():
        history.record(session)
    crowd = Crowd(whole, CALENDAR)
    crowd.settle(history, most)
    history.crowds.append(crowd)
    return history


def blocks_of(lines: list[bytes], size: int) -> list[list[bytes]]:
    return [lines[i : i + size] for i in range(0, len(lines), size)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 60), size=st.integers(1, 400))
def test_blocks_of_any_size_give_what_the_assembler_gives(seed: int, sessions: int, size: int) -> None:
    lines = log_of(seed, sessions)
    assert rows_of(through_sieve(lines, [blocks_of(lines, size)])) == rows_of(by_lines(lines))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 60), size=st.integers(20, 400), data=st.data())
def test_two_halves_joined_give_what_the_whole_gives(seed: int, sessions: int, size: int, data: st.DataObject) -> None:
    lines = log_of(seed, sessions)
    cut = data.draw(st.integers(0, len(lines)))
    halves = [blocks_of(lines[:cut], size), blocks_of(lines[cut:], size)]
    assert rows_of(through_sieve(lines, halves)) == rows_of(by_lines(lines))


def test_failing_peers_have_the_same_history_both_ways() -> None:
    lines = log_of(7, 300)
    fast, slow = through_sieve(lines, [blocks_of(lines, 50)]), by_lines(lines)
    failing = {ip for ip, peer in slow.peers.items() if peer.failing}
    assert failing == {ip for ip, peer in fast.peers.items() if peer.failing}
    for ip in failing:
        for fact in ("mail", "cleartext_mail", "cleartext_refused", "hidden"):
            assert getattr(fast.peers[ip], fact).count == getattr(slow.peers[ip], fact).count, (ip, fact)


def test_only_the_peers_that_fail_most_are_settled_and_the_totals_stay_whole() -> None:
    lines = log_of(11, 300)
    few, slow = through_sieve(lines, [blocks_of(lines, 50)], most=3), by_lines(lines)
    settled = {peer.ip for peer in few.peers.values() if peer.failing}
    assert len(settled) < sum(peer.failing for peer in slow.peers.values())
    total, expected = few.totals(), slow.totals()
    dropped = {"dropped_after_tls": "none"}
    for found in (total, expected):
        for key in list(found):
            if key[2] in dropped:
                found[(*key[:2], type(key[2])("none"), *key[3:])] += found.pop(key)
    assert total == expected


def test_the_proof_of_a_failure_is_made_of_lines_of_the_log() -> None:
    lines = log_of(3, 200)
    texts = {line.decode() for line in lines}
    history = through_sieve(lines, [blocks_of(lines, 120)])
    proofs = [line for peer in history.peers.values() for line in peer.evidence]
    assert proofs
    assert not [line for line in proofs if line not in texts]


def test_a_lane_is_found_with_its_stamps() -> None:
    bsd = b"\n".join(log_of(1, 40)) + b"\n"
    assert find_lane(bsd) == (b"mx1 postfix/smtpd", 16)
    iso = bsd.replace(b"Nov 20 ", b"2026-11-20T").replace(b" mx1 ", b".000001+00:00 mx1 ")
    assert find_lane(iso) == (b"mx1 postfix/smtpd", 33)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"nothing\nof\nthis\n",
        b"Nov 20 10:00:00 mx1 postfix/smtpd[1]: disconnect from a[192.0.2.1]\n",  # before Postfix 3.0
        b"postfix/smtpd[1]: disconnect from a[192.0.2.1] ehlo=1 quit=1 commands=2\n",
    ],
)
def test_other_logs_have_no_lane(block: bytes) -> None:
    assert find_lane(block) is None


def test_what_is_open_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailtls.core.sieve.OPEN", 50)
    sieve = Sieve(b"mx1 postfix/smtpd", 16)
    for start in range(0, 2000, 100):
        lines = []
        for pid in range(start, start + 100):
            who = f"a[192.0.2.{pid % 250}]"
            lines.append(f"Nov 20 10:00:00 mx1 postfix/smtpd[{pid}]: Anonymous {EST} {who}: {SUITES[0]}")
            lines.append(f"Nov 20 10:00:00 mx1 postfix/smtpd[{5000 + pid}]: SSL_accept error from {who}: -1")
        sieve.feed("\n".join(lines).encode() + b"\n")
    assert len(sieve.shapes.running) <= 50
    assert len(sieve.shapes.trouble) <= 50
    assert len(sieve.shapes.heads) <= 150
    sieve.shapes.close_all()
    assert sum(row[0] for row in sieve.shapes.established.values()) == 2000
    assert sum(row[0][0] for row in sieve.shapes.troubles.values()) == 2000


def test_more_clients_than_there_is_room_for_are_counted_as_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailtls.core.sieve.SHAPES", 10)
    sieve = Sieve(b"mx1 postfix/smtpd", 16)
    lines = [
        f"Nov 20 10:00:00 mx1 postfix/smtpd[{n}]: disconnect from a[192.0.2.{n}] quit=1 commands=1" for n in range(25)
    ]
    sieve.feed("\n".join(lines).encode() + b"\n")
    assert len(sieve.shapes.ended) == 10
    assert sieve.shapes.left_out == 15


def test_a_process_that_says_its_tls_is_broken_is_left_to_the_assembler() -> None:
    lines = [
        b'Nov 20 10:00:00 mx1 postfix/smtpd[1]: warning: cannot get RSA certificate from file "/x": disabling TLS support',
        b"Nov 20 10:00:00 mx1 postfix/smtpd[1]: warning: TLS library problem: error:80000002:system library::No such file"
        b" or directory:../crypto/bio/bss_file.c:308:calling fopen(/x, r):",
        b"Nov 20 10:00:00 mx1 postfix/smtpd[1]: connect from a[192.0.2.1]",
        b"Nov 20 10:00:01 mx1 postfix/smtpd[1]: disconnect from a[192.0.2.1] ehlo=1 starttls=0/1 quit=1 commands=2/3",
    ]
    assert rows_of(through_sieve(lines, [[lines]])) == rows_of(by_lines(lines))
    assert [session.reason for session in by_lines(lines).server] == ["No such file or directory"]


def test_failures_of_a_process_without_its_chain_file_are_not_charged_to_the_peer() -> None:
    head = "Nov 20 10:00:00 mx1 postfix/smtpd[1]:"
    lines = [
        line.encode()
        for line in (
            f"{head} warning: error opening chain file: /x.pem: No such file or directory",
            f"{head} warning: TLS library problem: error:80000002:system library::No such file or directory:x.c:308:",
            *(f"{head} {text}" for text in failure("mx.example[192.0.2.1]")),
        )
    ]
    expected = rows_of(by_lines(lines))
    assert {verdict.outcome for _, verdict in expected} == {"server_tls_broken"}
    assert rows_of(through_sieve(lines, [[lines]])) == expected


def test_rows_can_be_rebuilt_from_shapes() -> None:
    assert shape.delivered(b"disconnect from a[192.0.2.1] ehlo=1 bdat=2 quit=1")
    assert not shape.delivered(b"disconnect from a[192.0.2.1] ehlo=1 data=0/1 quit=1")


def test_the_times_of_failures_are_exact_and_all_there() -> None:
    lines = log_of(5, 150, (failure, cut_off))
    fast, slow = through_sieve(lines, [blocks_of(lines, 60)]), by_lines(lines)
    compared = 0
    for ip, peer in slow.peers.items():
        if ip.startswith("192.0.2.") and len(peer.failed_at) < shape.TIMES:
            compared += len(peer.failed_at)
            assert fast.peers[ip].failed_at == sorted(peer.failed_at)
    assert compared > 100
