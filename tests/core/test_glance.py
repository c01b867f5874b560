"""What passes at a glance: only what is read without a fault, and answered DUNNO."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_delegation import SENT

from mailtls.core import glance
from mailtls.core.cause import Door
from mailtls.core.delegation import PolicyReader
from mailtls.core.glance import LONGEST, Glance
from mailtls.core.level import Level
from mailtls.core.peermap import PeerMap
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.tlsversion import SSLV3, TLS12, TLS13
from mailtls.core.verdict import DUNNO, Answer, Guard, Phase, Proof, Requirement, Snapshot, Terms, judge
from mailtls.core.waiver import WaiverLimits

USUAL = (
    SENT.replace(b"mailtls-legacy", b"mailtls-strict")
    .replace(b"TLSv1.2", b"TLSv1.3")
    .replace(b"server_port=10225", b"server_port=25")
    + b"\n"
)
"""As Postfix 3.12 asks."""
OF_3_7 = re.sub(rb"(tls_sni|compatibility_level|mail_version)=.*\n", b"", USUAL)
OLDER = USUAL.replace(b"TLSv1.3", b"TLSv1.2")
EMPTY = Snapshot()
HARD = Snapshot(
    guard=Guard(Answer.REJECT, 1),
    ports={"25": Door.STRICT, "10225": Door.LEGACY},
    proven={"192.0.2.1": Proof(20, TLS13)},
    waivers=PeerMap({"192.0.2.0/24": Terms(Level.LEGACY, WaiverLimits(("x.test",), ("a@x.test",), 1))}),
    required_of_peers=PeerMap({"192.0.2.0/24": Requirement(TLS13)}),
    required_of_domains=PeerMap({"example.net": Requirement(TLS13)}),
    phases=(Phase(TLS13, 100, Answer.REJECT, None, cleartext=True, waived=True),),
)
"""Everything is asked of this peer, and everybody else."""


@pytest.mark.parametrize("question", [USUAL, OF_3_7, OLDER])
def test_what_postfix_asks_most_passes(question: bytes) -> None:
    assert Glance(EMPTY).passes(question) is Stage.DATA
    assert Glance(EMPTY).passes(question.replace(b"=DATA", b"=END-OF-MESSAGE")) is Stage.END_OF_MESSAGE


def test_tls_1_3_at_the_strict_door_passes_whatever_is_asked_of_the_peer() -> None:
    assert Glance(HARD).passes(USUAL) is Stage.DATA


@pytest.mark.parametrize(
    ("snapshot", "passes"),
    [
        (Snapshot(required_of_peers=PeerMap({"198.51.100.0/24": Requirement(TLS12), "a.test": Requirement()})), True),
        (Snapshot(required_of_peers=PeerMap({"198.51.100.0/24": Requirement(TLS13)})), False),
        (Snapshot(required_of_peers=PeerMap({".a.test": Requirement(TLS13)})), False),
        (Snapshot(required_of_domains=PeerMap({"a.test": Requirement(SSLV3)})), True),
        (Snapshot(required_of_domains=PeerMap({"a.test": Requirement(SSLV3), "b.test": Requirement(TLS13)})), False),
        (Snapshot(phases=(Phase(TLS12, 100),)), True),
        (Snapshot(phases=(Phase(TLS12, 100), Phase(TLS13, 1))), False),
    ],
)
def test_tls_1_2_passes_where_nobody_is_asked_for_more(snapshot: Snapshot, passes: bool) -> None:
    assert Glance(snapshot).passes(OLDER) is (Stage.DATA if passes else None)
    assert Glance(snapshot).passes(USUAL) is Stage.DATA


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"=DATA", b"=RCPT"),
        (b"=DATA", b"=DATA\r"),
        (b"TLSv1.3", b""),
        (b"TLSv1.3", b"TLSv1.1"),
        (b"TLSv1.3", b"TLSv1.3 "),
        (b"TLSv1.3", b"TLSv193"),
        (b"encryption_protocol=TLSv1.3\n", b""),
        (b"mailtls-strict", b"mailtls-legacy"),
        (b"mailtls-strict", b""),
        (b"policy_context=mailtls-strict\n", b""),
        (b"sasl_method=", b"sasl_method=PLAIN"),
        (b"sasl_username=", b"sasl_username=a"),
        (b"size=12345", b"size=many"),
        (b"size=12345", b"size=-1"),
        (b"size=12345", b"size=" + b"9" * 21),
        (b"size=12345", "size=\u0663".encode()),
        (b"recipient_count=1", b"recipient_count=1\r"),
        (b"helo_name=mx", b"helo_name=\0mx"),
        (b"helo_name=mx", b"helo_name=" + b"x" * LONGEST),
        (b"helo_name=mx", b"helo_name\nmx"),
        (b"size=12345\n", b"size=12345\nsize=1\n"),
        (b"size=12345\n", b"size=12345\nsender=b\n"),
        (b"size=12345\n", b"size=12345\nnew_in_4_0=1\n"),
        (b"size=12345\n", b"size=12345\n\n"),
        (b"size=12345\n", b"size=12345\n=\n"),
        (b"request=smtpd_access_policy", b"request=junk"),
        (b"request=smtpd_access_policy\n", b""),
        (b"request=", b"\nrequest="),
    ],
)
def test_whatever_is_unusual_has_to_be_read(old: bytes, new: bytes) -> None:
    question = USUAL.replace(old, new, 1)
    assert question != USUAL
    assert Glance(EMPTY).passes(question) is None


def test_half_a_question_and_two_of_them_have_to_be_read() -> None:
    for question in (b"", b"\n", USUAL[:-1], USUAL[1:], USUAL + b"\n", USUAL * 2, USUAL + USUAL[:30]):
        assert Glance(EMPTY).passes(question) is None


LINES = USUAL.splitlines(keepends=True)
VALUES = [
    b"", b"0", b"9" * 20, b"9" * 21, b"\0", b"\r", b"\xff", b"a=b", b"TLSv1", b"TLSv1.2", b"TLSv1.3", b"TLSv1.4",
    b"DATA", b"RCPT", b"END-OF-MESSAGE", b"XYZ", b"mailtls-strict", b"mailtls-legacy", b"25", b"10225", b"a@x.test",
    b"x" * LONGEST, "\u2028\u0663".encode(), b"a\nb=c", b"a\nsize=1", b"a\n",
]  # fmt: skip


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A usual question with up to three changes: a line less, twice, elsewhere or with another value; bytes put in."""
    lines = list(LINES)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        to = draw(st.integers(0, len(lines)))
        name = lines[at].partition(b"=")[0]
        match draw(st.sampled_from(["drop", "repeat", "move", "value", "value", "value", "bytes"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "repeat":
                lines.insert(to, lines[at])
            case "move":
                lines.insert(to, lines.pop(at))
            case "value":
                lines[at] = name + b"=" + draw(st.one_of(st.sampled_from(VALUES), st.binary(max_size=9))) + b"\n"
            case _:
                lines.insert(to, draw(st.binary(max_size=5)))
    return b"".join(lines)


GLANCES = [Glance(EMPTY), Glance(HARD)]


def passes_rightly(question: bytes) -> int:
    """Look at a question in both worlds; where it passes, read it as well. Gives in how many it passes."""
    passed = 0
    for look in GLANCES:
        stage = look.passes(question)
        if stage is None:
            continue
        reader = PolicyReader()
        (facts,) = reader.feed(question)
        assert reader.pending == 0
        assert isinstance(facts, SmtpFacts), question
        assert judge(facts, look.snapshot) is DUNNO, question
        assert facts.protocol_state is stage
        assert not facts.authenticated, question
        passed += 1
    return passed


@given(changed())
def test_who_passes_is_answered_as_if_the_question_had_been_read(question: bytes) -> None:
    passes_rightly(question)


def test_no_other_value_of_any_attribute_makes_it_pass_wrongly() -> None:
    passed = 0
    for base in (USUAL, OLDER):
        for line in base.splitlines(keepends=True):
            name = line.partition(b"=")[0]
            passed += sum(passes_rightly(base.replace(line, name + b"=" + value + b"\n", 1)) for value in VALUES)
    assert passed > 1000, "else it shows nothing"


def test_no_line_that_is_missing_or_comes_twice_makes_it_pass_wrongly() -> None:
    passed = 0
    for at, line in enumerate(LINES):
        passed += passes_rightly(b"".join(LINES[:at] + LINES[at + 1 :]))
        for to in range(len(LINES)):
            passed += passes_rightly(b"".join([*LINES[:to], line, *LINES[to:]]))
    assert passed > 20, "else it shows nothing"


def test_no_sign_of_a_question_is_ever_tried_twice() -> None:
    """Each repetition, `*`, `?` behind a group, `{m,n}`, is possessive."""
    pattern = glance._TLS12_TOO.pattern
    assert re.findall(rb"[*}]|\)\?", pattern)
    assert not re.findall(rb"(?:[*}]|\)\?)(?!\+)", pattern)
