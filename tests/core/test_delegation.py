"""The policy protocol: whatever bytes come in whatever pieces, each question has one answer."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.delegation import LONGEST_REQUEST, LONGEST_TEXT, MALFORMED, Malformed, PolicyReader, written
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import DUNNO, Answer, Verdict

# In the order in which Postfix 3.7 sends them, and what 3.8 and 3.12 add.
SENT = b"""request=smtpd_access_policy
protocol_state=DATA
protocol_name=ESMTP
client_address=192.0.2.1
client_name=mx.example.net
client_port=40000
reverse_client_name=mx.example.net
server_address=198.51.100.25
server_port=10225
helo_name=mx.example.net
sender=a=b@example.net
recipient=c@example.org
recipient_count=1
queue_id=8045F2AB23
instance=7d51.64d8a1b2.4e20.0
size=12345
etrn_domain=
stress=
sasl_method=
sasl_username=
sasl_sender=
ccert_subject=solaris9.porcupine.org
ccert_issuer=Wietse+20Venema
ccert_fingerprint=C2:9D:F4:87
ccert_pubkey_fingerprint=68:B3:29:DA
encryption_protocol=TLSv1.2
encryption_cipher=ECDHE-ECDSA-CHACHA20-POLY1305
encryption_keysize=256
tls_sni=mail.example.org
policy_context=mailtls-legacy
compatibility_level=3.6
mail_version=3.12-20260716
"""
READ = SmtpFacts(
    protocol_state=Stage.DATA,
    protocol_name="ESMTP",
    client_address="192.0.2.1",
    client_name="mx.example.net",
    client_port="40000",
    reverse_client_name="mx.example.net",
    server_address="198.51.100.25",
    server_port="10225",
    helo_name="mx.example.net",
    sender="a=b@example.net",
    recipient="c@example.org",
    recipient_count=1,
    queue_id="8045F2AB23",
    instance="7d51.64d8a1b2.4e20.0",
    size=12345,
    ccert_subject="solaris9.porcupine.org",
    ccert_issuer="Wietse Venema",
    ccert_fingerprint="C2:9D:F4:87",
    ccert_pubkey_fingerprint="68:B3:29:DA",
    encryption_protocol="TLSv1.2",
    encryption_cipher="ECDHE-ECDSA-CHACHA20-POLY1305",
    encryption_keysize=256,
    tls_sni="mail.example.org",
    policy_context="mailtls-legacy",
    compatibility_level="3.6",
    mail_version="3.12-20260716",
)
HEAD = b"request=smtpd_access_policy\n"


def asked(stream: bytes, size: int | None = None) -> list[SmtpFacts | Malformed]:
    reader = PolicyReader()
    size = size or len(stream) or 1
    questions = []
    for start in range(0, len(stream), size):
        questions += reader.feed(stream[start : start + size])
        assert reader.pending <= LONGEST_REQUEST + 1
    return questions


def test_every_attribute_of_postfix_3_12_is_a_fact() -> None:
    assert asked(SENT + b"\n") == [READ]
    names = {line.partition(b"=")[0].decode() for line in SENT.splitlines()}
    assert names - {"request"} == {item.name for item in fields(SmtpFacts)}


def test_postfix_2_1_says_less_and_is_understood() -> None:
    question = HEAD + b"protocol_state=RCPT\nclient_address=1.2.3.4\nsender=\nrecipient=b@foo.tld\n\n"
    assert asked(question) == [
        SmtpFacts(protocol_state=Stage.RCPT, client_address="1.2.3.4", recipient="b@foo.tld"),
    ]


@pytest.mark.parametrize("size", [4096, 128, 16, 3, 2, 1])
def test_the_pieces_do_not_matter(size: int) -> None:
    second = SENT.replace(b"size=12345", b"size=1")
    assert asked(SENT + b"\n" + second + b"\n", size) == [READ, replace(READ, size=1)]


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (b"\n", Malformed.EMPTY),
        (b"nonsense\n\n", Malformed.NO_ATTRIBUTE),
        (HEAD + b"=value\n\n", Malformed.NO_ATTRIBUTE),
        (HEAD + b"sender=a\0b\n\n", Malformed.NO_ATTRIBUTE),
        (HEAD + b"sender=a\nsender=b\n\n", Malformed.DUPLICATE),
        (HEAD + HEAD + b"\n", Malformed.DUPLICATE),
        (HEAD + b"size=many\n\n", Malformed.NOT_A_NUMBER),
        (HEAD + b"size=-1\n\n", Malformed.NOT_A_NUMBER),
        (HEAD + "size=\u0663\n\n".encode(), Malformed.NOT_A_NUMBER),
        (HEAD + b"size=" + b"9" * 5000 + b"\n\n", Malformed.NOT_A_NUMBER),
        (b"sender=a\n\n", Malformed.OTHER_REQUEST),
        (b"request=junk\n\n", Malformed.OTHER_REQUEST),
        (HEAD + b"helo_name=" + b"x" * LONGEST_REQUEST + b"\n\n", Malformed.OVERSIZED),
        (b"\nsender".join([b"x" * LONGEST_REQUEST] * 20) + b"\n\n", Malformed.OVERSIZED),
    ],
)
@pytest.mark.parametrize("size", [None, 4093])
def test_a_malformed_question_is_a_value_and_the_next_one_is_read(
    request_: bytes, wrong: Malformed, size: int | None
) -> None:
    assert asked(SENT + b"\n" + request_ + SENT + b"\n", size) == [READ, wrong, READ]


@pytest.mark.parametrize("size", [None, 1000, 1])
@pytest.mark.parametrize(("extra", "oversized"), [(0, False), (1, True), (2, True)])
def test_the_bound_is_exact_however_the_bytes_come(size: int | None, extra: int, oversized: bool) -> None:
    body = HEAD + b"helo_name="
    body += b"x" * (LONGEST_REQUEST + extra - len(body))
    (question,) = asked(body + b"\n\n", size)
    assert (question is Malformed.OVERSIZED) is oversized


def test_unknown_attributes_are_ignored_even_twice() -> None:
    assert asked(HEAD + b"new_in_4_0=1\nnew_in_4_0=\xff\nb\xe9=2\n\n") == [SmtpFacts()]


def test_a_number_or_stage_that_is_not_there_is_not_wrong() -> None:
    assert asked(HEAD + b"protocol_state=XYZ\nsize=\nclient_port=unknown\n\n") == [SmtpFacts(client_port="unknown")]


def test_a_question_without_its_end_is_not_answered() -> None:
    reader = PolicyReader()
    assert reader.feed(SENT) == []
    assert reader.pending == len(SENT)


def test_xtext_comes_off_the_names_of_a_certificate_and_nothing_else() -> None:
    question = HEAD + b"ccert_subject=a+2Bb+zz+C3+BC\nsender=a+2Bb@example.net\n\n"
    assert asked(question) == [SmtpFacts(ccert_subject="a+b+zzü", sender="a+2Bb@example.net")]


PIECES = st.sampled_from(
    [b"\n", b"\n\n", b"=", b"request=smtpd_access_policy\n", b"sender=", b"size=", b"9", b"\0", b"\xff", b"\r\n", SENT]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=30).map(b"".join), st.data())
def test_any_bytes_in_any_pieces_give_the_same_questions(stream: bytes, data: st.DataObject) -> None:
    reader, questions, rest = PolicyReader(), [], stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        questions += reader.feed(rest[:size])
        rest = rest[size:]
    assert questions == asked(stream)
    # One question for each empty line: the lines that are empty, the unfinished last one aside.
    assert len(questions) == stream.split(b"\n")[:-1].count(b"")
    assert all(isinstance(question, SmtpFacts | Malformed) for question in questions)


@given(st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"])))
def test_a_strangers_value_arrives_as_it_is(value: str) -> None:
    (facts,) = asked(HEAD + b"sender=" + value.encode() + b"\n\n")
    assert isinstance(facts, SmtpFacts)
    assert facts.sender == value


@pytest.mark.parametrize(
    ("verdict", "bytes_"),
    [
        (DUNNO, b"action=DUNNO\n\n"),
        (Verdict(Answer.NOTE, text="never sent"), b"action=DUNNO\n\n"),
        (Verdict(Answer.STAMP, text="MailTLS-Downgrade: cleartext"), b"action=PREPEND MailTLS-Downgrade: cleartext\n\n"),
        (Verdict(Answer.DEFER, text="Later"), b"action=DEFER Later\n\n"),
        (Verdict(Answer.DEFER), b"action=DEFER\n\n"),
        (Verdict(Answer.REJECT, text="a\r\n\naction=OK\n\n"), b"action=REJECT a???action=OK??\n\n"),
        (Verdict(Answer.DEFER, text="später\u202e \x1b[2J"), b"action=DEFER sp?ter? ?[2J\n\n"),
    ],
)
def test_an_answer_is_one_line_of_printable_ascii(verdict: Verdict, bytes_: bytes) -> None:
    assert written(verdict) == bytes_


def test_what_is_malformed_is_answered_as_if_nothing_were_asked() -> None:
    assert written(DUNNO) == MALFORMED


@given(st.sampled_from(Answer), st.text(max_size=2 * LONGEST_TEXT))
def test_no_text_whatever_breaks_out_of_its_line(answer: Answer, text: str) -> None:
    line = written(Verdict(answer, text=text))
    assert re.fullmatch(rb"action=(DUNNO|PREPEND|DEFER|REJECT)( [ -~]{1,%d})?\n\n" % (LONGEST_TEXT + 2), line)
