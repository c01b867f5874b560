"""PCRE2 gives the same answers as Python's `re`, whatever the block holds."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.test_sieve import log_of
from tests.core.test_skim import REGULAR, failures_of, skimmed

from mailtls.core import marks, sessionlines
from mailtls.core.search import PLAIN, Search, one_of
from mailtls.edge import pcre
from mailtls.edge.fastsearch import fastest

FOUND = pcre.patterns()
needs_pcre = pytest.mark.skipif(FOUND is None, reason="no libpcre2-8.so.0 with machine code here")
PIECES = [
    b"\n", b"\n", b" ", b"Nov 20 10:00:00 mx1 postfix/smtpd[1]: ", b"mx1 postfix/submission/smtpd[12345]: ", b"smtpd[",
    b"x/smtpd[77]: ", b"disconnect from ", b"a.example[192.0.2.1]", b"b[192.0.2.2]:99", b"[", b"]", b": ",
    b" ehlo=1", b" starttls=1", b" starttls=0/1", b" mail=1", b" commands=2", b" starttls=", b"  ", b"\0", b"\xff\x80",
    b"Anonymous TLS connection established from ", b": TLSv1.3 with cipher AES (128/128 bits)", b" to sni.example",
    b": TLSv1.2 with cipher ", b"SSL_accept error from ", b"warning: TLS library problem: ", b"SSL routines",
    b" imap-login: ", b"-login", b" pop3-login: ", b"Login: ", b"Disconnected (x): ", b"user=<u>, ", b"user=<u, rip=1>, ",
    b"method=PLAIN, ", b"rip=192.0.2.9, ", b"rip=::1,", b"lip=192.0.2.8, ", b"mpid=1, ", b"TLS", b"TLS: ", b", session=<x>",
    b"TLS handshaking: SSL_accept() failed: error:1: SSL alert number 42", b"\\026\\003\\001", b"SSL: Stacked", b"SSLv3'",
    b"while receiving the initial server greeting", b"TLS support", b"TLS handshake failed", b"$1", b"${9}", b"\\",
]  # fmt: skip
BLOCKS = st.lists(st.sampled_from(PIECES), max_size=60).map(lambda pieces: b"".join(pieces) + b"\n")
ADDRESSES = one_of([b"192.0.2.1", b"192.0.2.11", b"2001:db8::1", b"192.0.2.2"])
OWN = sessionlines.own_ends(16, b"mx1 postfix/smtpd"), sessionlines.own_successes(16, b"mx1 postfix/smtpd")
GATHERED = [
    marks._LOGINS,
    sessionlines.ends(ADDRESSES, OWN[0]),
    sessionlines.ends(b"(?!)", b"(?!)"),
    sessionlines.successes(ADDRESSES, OWN[1]),
    sessionlines.successes(ADDRESSES, OWN[1], [b"TLSv1.3 with cipher AES", b"TLSv1.2 with cipher $1"]),
    (sessionlines.other_lines(ADDRESSES, OWN, 12), b"\0%b\0%b\n"),
    (sessionlines.headed(16), b"%b\0%b%b\n"),
    (rb"(?<=(\d))(a)?b", b"<%b$1%b>"),
]
FINDERS = [marks._FAILED, marks._ACCEPT, marks._GREETING, sessionlines.ELSEWHERE]


@needs_pcre
@settings(max_examples=400, deadline=None)
@given(block=BLOCKS, start=st.integers(0, 40))
def test_the_same_is_gathered(block: bytes, start: int) -> None:
    for gather, plain in [(FOUND.gatherer(*asked), PLAIN.gatherer(*asked)) for asked in GATHERED]:
        assert gather(block) == plain(block)
        assert gather(block, min(start, len(block))) == plain(block, min(start, len(block)))


@needs_pcre
@settings(max_examples=400, deadline=None)
@given(block=BLOCKS)
def test_the_same_is_found(block: bytes) -> None:
    for pattern in FINDERS:
        assert FOUND.finder(pattern)(block) == PLAIN.finder(pattern)(block)


@needs_pcre
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 60), cut=st.integers(0, 4))
def test_a_log_is_the_same_through_both(seed: int, sessions: int, cut: int) -> None:
    lines = log_of(seed, sessions, REGULAR)
    mine, theirs = skimmed(lines, 40, cut, fastest())[0], skimmed(lines, 40, cut)[0]
    assert mine.totals() == theirs.totals()
    assert failures_of(mine) == failures_of(theirs)


@needs_pcre
def test_more_than_there_is_room_for_is_gathered_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcre, "_ROOM", 16)
    gather = FOUND.gatherer(rb"(a)", b"<%b>")
    assert gather(b"a" * 10_000) == (10_000, b"<a>" * 10_000)
    assert gather(b"ba") == (1, b"<a>")


@needs_pcre
def test_what_the_library_refuses_is_searched_by_python() -> None:
    deep = rb"(?:(?:a|aa)+)+b"  # more ways than the match limit allows
    assert FOUND.finder(deep)(b"a" * 26 + b"c") == []
    assert FOUND.gatherer(rb"(?P<x>a)", b"%b")(b"a") == (1, b"a")


@pytest.mark.parametrize("missing", ["libno-such-library.so.0", "libc.so.6"])
def test_without_the_library_python_searches(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcre, "_LIBRARY", missing)
    assert pcre.patterns() is None
    found: Search = fastest()
    assert found.gatherer(rb"(a)", b"%b")(b"xax") == (1, b"a")
    assert found.lines(b"1\n2\n") == 2


@needs_pcre
def test_an_older_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcre, "_OLDEST", (99, 0))
    assert pcre.patterns() is None
    assert ctypes.CDLL(pcre._LIBRARY) is not None


@given(block=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\x0b", b"\x85", b"\0"])).map(b"".join))
def test_lines_are_counted_as_newlines(block: bytes) -> None:
    assert fastest().lines(block) == PLAIN.lines(block) == block.count(b"\n")
