"""What an open session makes of its evidence: which line outweighs which, and when nothing is proven."""

from __future__ import annotations

from itertools import permutations

import pytest

from mailtls.core.cause import Cause, Outcome
from mailtls.core.evidence import Evidence, Kind
from mailtls.core.postfixlog import Program
from mailtls.core.session import Session
from mailtls.core.sessionstate import LINES_KEPT, OpenSession, conclude, server_statement
from mailtls.core.stamp import Calendar

from .reading import NOW

WHO = b"mx.example.net[192.0.2.1]"
SMTPD = Program(b"postfix/smtpd")
LIBRARY = b"error:0A0000C1:SSL routines::no shared cipher:x.c:1:"
ALERT = b"error:0A000418:SSL routines::tlsv1 alert unknown ca:x.c:1:SSL alert number 48:"
STAMP = b"Nov 21 00:42:35"


def opened(*evidence: tuple[Kind, bytes]) -> OpenSession:
    session = OpenSession(WHO, STAMP, begun=True)
    for kind, text in evidence:
        if kind is Kind.LIBRARY:
            session.add_library(text, STAMP)
        else:
            session.note(Evidence(kind, WHO, text), STAMP)
    return session


def concluded(*evidence: tuple[Kind, bytes], broken: bool = False, whole: bool = True) -> Session | None:
    return conclude(opened(*evidence), SMTPD, Calendar(NOW), broken=broken, whole=whole)


ACCEPT, RESET = (Kind.ACCEPT_ERROR, b"-1"), (Kind.ACCEPT_ERROR, b"Connection reset by peer")
DONE = (Kind.ESTABLISHED, b"TLSv1.3 with cipher X (1/1 bits)")
FAILED_END, GOOD_END = (
    (Kind.DISCONNECT, b"ehlo=1 starttls=0/1 commands=1/2"),
    (Kind.DISCONNECT, b"ehlo=2 starttls=1 commands=3"),
)
PLAIN_END, OLD_END = (Kind.DISCONNECT, b"ehlo=1 quit=1 commands=2"), (Kind.DISCONNECT, b"")
REASON, UNKNOWN_CA, LOST = (Kind.LIBRARY, LIBRARY), (Kind.LIBRARY, ALERT), (Kind.LOST, b"STARTTLS")

DECISIONS = [
    ((ACCEPT, REASON, LOST, FAILED_END), Outcome.TLS_FAILED, Cause.NO_SHARED_CIPHER, "no shared cipher"),
    ((ACCEPT, FAILED_END), Outcome.TLS_FAILED, Cause.UNKNOWN, None),
    ((RESET, FAILED_END), Outcome.TLS_FAILED, Cause.NETWORK_CUT, "Connection reset by peer"),
    ((ACCEPT, REASON, GOOD_END), Outcome.TLS_FAILED, Cause.NO_SHARED_CIPHER, "no shared cipher"),
    ((DONE, UNKNOWN_CA, LOST, GOOD_END), Outcome.TLS_FAILED, Cause.PEER_REJECTS_OUR_CERT, "tlsv1 alert unknown ca"),
    ((DONE, REASON, LOST, GOOD_END), Outcome.TLS_OK, Cause.DROPPED_AFTER_TLS, "no shared cipher"),
    ((DONE, LOST, GOOD_END), Outcome.TLS_OK, Cause.DROPPED_AFTER_TLS, None),
    ((DONE, (Kind.CLIENT, b""), LOST, GOOD_END), Outcome.TLS_OK, Cause.NONE, None),
    ((DONE, GOOD_END), Outcome.TLS_OK, Cause.NONE, None),
    ((GOOD_END,), Outcome.TLS_OK, Cause.NONE, None),
    ((LOST, GOOD_END), Outcome.TLS_OK, Cause.DROPPED_AFTER_TLS, None),
    ((FAILED_END,), Outcome.TLS_FAILED, Cause.UNKNOWN, None),
    (((Kind.DISCONNECT, b"ehlo=1 starttls=0/3 commands=1/4"),), Outcome.TLS_FAILED, Cause.UNKNOWN, None),
    (((Kind.REFUSED, b"limit"), FAILED_END), Outcome.TLS_FAILED, Cause.UNKNOWN, "limit"),
    (((Kind.SERVER_FAULT, b"grade"), LOST), Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED, "grade"),
    ((PLAIN_END,), Outcome.NO_STARTTLS, Cause.NONE, None),
    (((Kind.HIDDEN, b""), PLAIN_END), Outcome.NO_STARTTLS, Cause.NONE, None),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "outcome", "cause", "reason"), DECISIONS)
def test_evidence_becomes_an_outcome(
    evidence: tuple[tuple[Kind, bytes], ...], outcome: Outcome, cause: Cause, reason: str | None
) -> None:
    session = concluded(*evidence)
    assert session is not None
    assert (session.outcome, session.cause, session.reason) == (outcome, cause, reason)


@pytest.mark.parametrize(
    "evidence",
    [
        (),
        (OLD_END,),
        (LOST,),
        (LOST, OLD_END),
        (REASON,),
        (UNKNOWN_CA,),
        ((Kind.DISCONNECT, b"commands=0/0"),),
        ((Kind.CLIENT, b""),),
    ],
)
def test_what_proves_nothing_is_no_session(evidence: tuple[tuple[Kind, bytes], ...]) -> None:
    assert concluded(*evidence, whole=False) is None


def test_a_session_without_a_client_is_nobodys() -> None:
    session = OpenSession(b"", STAMP)
    session.add_library(LIBRARY, STAMP)
    session.lost = b"STARTTLS"
    assert conclude(session, SMTPD, Calendar(NOW), broken=False, whole=True) is None


@pytest.mark.parametrize("evidence", [(FAILED_END,), (LOST, OLD_END), (LOST, FAILED_END)])
def test_the_client_of_a_broken_process_is_a_victim(evidence: tuple[tuple[Kind, bytes], ...]) -> None:
    session = concluded(*evidence, broken=True)
    assert session is not None
    assert (session.outcome, session.cause) == (Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED)


def test_a_client_of_a_broken_process_that_never_asked_for_tls_is_no_victim() -> None:
    session = concluded(PLAIN_END, broken=True)
    assert session is not None
    assert session.outcome is Outcome.NO_STARTTLS


def test_what_a_line_says_does_not_depend_on_the_order_of_the_others() -> None:
    wanted = concluded(DONE, LOST, GOOD_END)
    for order in permutations([DONE, LOST, GOOD_END]):
        assert concluded(*order) == wanted


@pytest.mark.parametrize(
    ("commands", "delivered"),
    [
        (b"ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7", True),
        (b"ehlo=2 starttls=1 mail=1 rcpt=1 bdat=1 quit=1 commands=7", True),
        (b"ehlo=2 starttls=1 mail=1 rcpt=1 bdat=3/4 quit=1 commands=7/8", True),
        (b"ehlo=2 starttls=1 mail=1 rcpt=0/1 data=0/1 quit=1 commands=5/7", False),
        (b"ehlo=2 starttls=1 quit=1 commands=4", False),
    ],
)
def test_mail_is_seen_in_the_statistics(commands: bytes, delivered: bool) -> None:
    session = concluded((Kind.DISCONNECT, commands))
    assert session is not None
    assert session.delivered is delivered


def test_tls_is_started_once_in_a_session() -> None:
    assert not opened().is_over_before(Kind.ACCEPT_ERROR)
    assert opened(ACCEPT).is_over_before(Kind.ACCEPT_ERROR)
    assert opened(DONE).is_over_before(Kind.ESTABLISHED)
    assert not opened(DONE).is_over_before(Kind.LOST)


def test_a_client_is_the_same_whatever_the_case_of_its_name() -> None:
    assert opened().is_of(b"MX.Example.Net[192.0.2.1]")
    assert opened().is_of(b"unknown[192.0.2.1]:4711")
    assert not opened().is_of(b"mx.example.net[192.0.2.11]")


def test_few_lines_are_kept_and_the_last_is_one_of_them() -> None:
    session = opened()
    for number in range(100):
        session.add_line(b"%d" % number)
    assert len(session.lines) == LINES_KEPT
    assert (session.lines[0], session.lines[-1]) == (b"0", b"99")


@pytest.mark.parametrize(
    ("text", "prelude", "library", "reason"),
    [
        (b'Invalid TLS protocol list "x": disabling TLS support', None, None, "Invalid TLS protocol list"),
        (b'cannot get RSA certificate from file "/x": disabling TLS support', None, LIBRARY, "no shared cipher"),
        (b"disabling TLS support", b'Digest algorithm "md5" not found', None, 'Digest algorithm "md5" not found'),
        (b"error loading private keys and certificates from: /x: disabling TLS support", b"error loading chain from /x: key not first", None, "key not first"),
        (b"No server certs available. TLS won't be enabled", None, None, "No server certs available. TLS won't be enabled"),
        (b"cannot get private key from file /x", None, None, "cannot get private key from file"),
    ],
)  # fmt: skip
def test_a_statement_gives_its_best_reason(
    text: bytes, prelude: bytes | None, library: bytes | None, reason: str
) -> None:
    statement = OpenSession(b"", STAMP)
    statement.fault, statement.prelude = text, prelude
    if library is not None:
        statement.add_library(library, STAMP)
    session = server_statement(statement, SMTPD, Calendar(NOW))
    assert (session.peer, session.outcome, session.cause) == (
        None,
        Outcome.SERVER_TLS_BROKEN,
        Cause.SERVER_MISCONFIGURED,
    )
    assert session.reason == reason
