"""What `explain` says that a line proves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause
from mailtls.core.evidence import Kind
from mailtls.ctl import proof

HEAD = "Nov 21 00:42:35 mx postfix/smtpd[17]: "
LINES = [
    ("connect from mx.example.com[192.0.2.7]", "who connected"),
    ("SSL_accept error from mx.example.com[192.0.2.7]: -1", "the handshake failed"),
    ("SSL_accept error from mx.example.com[192.0.2.7]: lost connection", "the handshake failed: lost connection"),
    ("warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:../ssl/x.c:1657:",
     "why OpenSSL ended it: unsupported protocol (reason 0x102)"),
    ("warning: TLS library problem: error:0A000418:SSL routines::tlsv1 alert unknown ca:../ssl/x.c:1586:"
     "SSL alert number 48:", "the peer ended the handshake with alert 48: tlsv1 alert unknown ca"),
    ("lost connection after STARTTLS from mx.example.com[192.0.2.7]", "the peer was gone at the stage STARTTLS"),
    ("disconnect from mx.example.com[192.0.2.7] ehlo=1 starttls=0/1 commands=1/2",
     "the session is over; STARTTLS was tried and did not succeed (starttls=0/...)"),
    ("disconnect from mx.example.com[192.0.2.7] ehlo=2 starttls=1 quit=1 commands=4",
     "the session is over; STARTTLS succeeded"),
    ("disconnect from mx.example.com[192.0.2.7] ehlo=1 quit=1 commands=2",
     "the session is over; STARTTLS was not tried"),
    ("disconnect from mx.example.com[192.0.2.7]", "the session is over"),
    ("Anonymous TLS connection established from mx.example.com[192.0.2.7]: TLSv1.3 with cipher "
     "TLS_AES_256_GCM_SHA384 (256/256 bits)",
     "the handshake was completed: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"),
    ("4ABC1234: client=mx.example.com[192.0.2.7]", "a mail was accepted in this session"),
    ("something else altogether", proof._NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("message", "meaning"), LINES)
def test_a_line_of_smtpd_is_read_as_the_report_read_it(message: str, meaning: str) -> None:
    assert proof.proves(HEAD + message) == meaning


def test_a_line_of_dovecot_is_read_too() -> None:
    line = (
        "Nov 21 00:42:35 mx dovecot: imap-login: Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.7, "
        "lip=198.51.100.1, TLS handshaking: SSL_accept() failed: error:1417D18C:SSL routines:"
        "tls_process_client_hello:version too low, session=<x>"
    )
    assert proof.proves(line) == "the handshake failed: version too low"


@given(st.text())
def test_any_text_is_at_least_no_proof(words: str) -> None:
    for line in (words, HEAD + words, HEAD + "warning: TLS library problem: error:" + words):
        assert proof.proves(line)


def test_every_cause_has_its_meaning_in_full_sentences() -> None:
    assert set(proof.MEANINGS) == set(Cause)
    for meaning in proof.MEANINGS.values():
        assert meaning.proves.endswith(".")
        assert not meaning.else_ or meaning.else_.endswith(".")


def test_every_kind_of_evidence_has_its_words() -> None:
    assert {*proof._KINDS, Kind.LIBRARY, Kind.ACCEPT_ERROR, Kind.DISCONNECT} == set(Kind)
