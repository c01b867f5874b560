"""The milter's side of one connection: Postfix's events in, facts and verdicts out, and nothing raw of a stranger's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Door
from mailtls.core.delegation import PolicyReader
from mailtls.core.level import Level
from mailtls.core.milterdialogue import (
    BITS,
    DOOR_MACRO,
    FIELDS,
    LONGEST,
    Ending,
    Macro,
    MilterDialogue,
    Wishes,
    reply_to,
    wishes_of,
)
from mailtls.core.peermap import PeerMap
from mailtls.core.printable import printable
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import (
    DUNNO,
    HEADER,
    Answer,
    Ground,
    Guard,
    Proof,
    Requirement,
    Snapshot,
    Terms,
    Verdict,
    WaiverLimits,
)

PLAIN = {
    "{client_addr}": "192.0.2.1",
    "{client_name}": "mx.peer.example",
    "{client_port}": "40000",
    "{daemon_port}": "25",
    "i": "4F2",
}
SECURE = {**PLAIN, "{tls_version}": "TLSv1.3", "{cipher}": "TLS_AES_256_GCM_SHA384", BITS: "256"}
PROVEN = {"192.0.2.1": Proof(50)}
NOTHING = Snapshot()
STAMPING = Snapshot(guard=Guard(Answer.STAMP), proven=PROVEN)


def macros(values: Mapping[str, str]) -> Macro:
    return values.get


def at_data(dialogue: MilterDialogue, values: Mapping[str, str], snapshot: Snapshot = NOTHING) -> Verdict:
    dialogue.hello("client.example")
    dialogue.sender([b"<a@peer.example>", b"SIZE=100"])
    return dialogue.data(macros(values), snapshot).verdict


def test_the_facts_are_those_of_the_policy_protocol() -> None:
    asked = PolicyReader().feed(
        b"request=smtpd_access_policy\nprotocol_state=DATA\nclient_address=192.0.2.1\nclient_name=mx.peer.example\n"
        b"client_port=40000\nserver_port=25\nhelo_name=client.example\nsender=a@peer.example\nqueue_id=4F2\nsize=100\n"
        b"encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n\n"
    )
    dialogue = MilterDialogue(Wishes())
    dialogue.hello("before.starttls.example")
    dialogue.hello("client.example")
    dialogue.sender([b"<a@peer.example>", b"BODY=8BITMIME", b"size=100"])
    assert [dialogue.data(macros(SECURE), Snapshot()).facts] == asked


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (b"<a@x.example>", "a@x.example"),
        (b"<>", ""),
        (b"a@x.example", "a@x.example"),
        (b"<@relay.example,@b.example:a@x.example>", "a@x.example"),
        (b'<"a b"@x.example>', '"a b"@x.example'),
        (b"<\xff@x.example>", "\\xff@x.example"),
        (b"<" + b"a" * 1_000_000 + b"@x.example>", "a" * (LONGEST - 1)),
    ],
)
def test_a_path_is_read_as_its_address(path: bytes, address: str) -> None:
    dialogue = MilterDialogue(Wishes())
    dialogue.sender([path])
    assert dialogue.data(macros(PLAIN), Snapshot()).facts.sender == address


@pytest.mark.parametrize("words", [[b"<a@x.example>"], [b"<>", b"SIZE"], [b"<>", b"SIZE=-1"], [b"<>", b"SIZE=" + b"9" * 21]])
def test_no_size_is_announced_by_what_is_no_number(words: list[bytes]) -> None:
    dialogue = MilterDialogue(Wishes())
    dialogue.sender(words)
    assert dialogue.data(macros(PLAIN), Snapshot()).facts.size == 0


def test_an_ipv6_client_is_known_by_its_bare_address() -> None:
    facts = MilterDialogue(Wishes()).data(macros({**PLAIN, "{client_addr}": "IPv6:2001:db8::1"}), Snapshot()).facts
    assert facts.peer.ip == "2001:db8::1"


def test_a_door_is_known_by_its_own_macro_also_where_the_port_is_the_clients() -> None:
    facts = MilterDialogue(Wishes()).data(macros({**PLAIN, DOOR_MACRO: "mailtls-sslv3"}), Snapshot()).facts
    assert facts.door({"25": Door.STRICT}) is Door.SSLV3


def test_a_user_that_has_logged_in_is_left_alone() -> None:
    snapshot = Snapshot(required_of_peers=PeerMap({"0.0.0.0/0": Requirement()}))
    assert at_data(MilterDialogue(Wishes()), PLAIN, snapshot).answer is Answer.DEFER
    assert at_data(MilterDialogue(Wishes()), {**PLAIN, "{auth_authen}": "bob"}, snapshot) == DUNNO


# --- what is asked for --------------------------------------------------------------------------------------------


def limited(**limits: object) -> Snapshot:
    terms = Terms(Level.LEGACY, WaiverLimits(**limits))  # type: ignore[arg-type]
    return Snapshot(ports={"10225": Door.LEGACY}, waivers=PeerMap({"192.0.2.1": terms}))


@pytest.mark.parametrize(
    ("snapshot", "wishes"),
    [
        (Snapshot(), Wishes()),
        (limited(), Wishes()),
        (limited(senders=("x.example",)), Wishes()),
        (limited(recipients=("x.example",)), Wishes(recipients=True)),
        (limited(size=1), Wishes(size=True)),
        (STAMPING, Wishes(headers=True)),
        (Snapshot(guard=Guard(Answer.DEFER)), Wishes()),
    ],
)
def test_only_what_the_snapshot_has_a_use_for_is_asked_for(snapshot: Snapshot, wishes: Wishes) -> None:
    assert wishes_of(snapshot) == wishes


# --- recipients and size ------------------------------------------------------------------------------------------

AT_THE_DOOR = {**SECURE, "{tls_version}": "TLSv1", "{daemon_port}": "10225"}


def test_a_recipient_that_the_waiver_does_not_reach_is_deferred_and_the_others_are_not() -> None:
    snapshot, dialogue = limited(recipients=("ours.example",)), MilterDialogue(Wishes(recipients=True))
    dialogue.sender([b"<a@peer.example>"])
    first = dialogue.recipient([b"<b@ours.example>"], macros(AT_THE_DOOR), snapshot)
    second = dialogue.recipient([b"<c@other.example>"], macros(AT_THE_DOOR), snapshot)
    assert first.verdict == DUNNO and first.facts.protocol_state is Stage.RCPT
    assert second.verdict.ground is Ground.RECIPIENT_NOT_WAIVED
    data = dialogue.data(macros(AT_THE_DOOR), snapshot)
    assert data.verdict == DUNNO and data.facts.recipient == "b@ours.example"


def test_with_several_recipients_none_is_named_as_in_the_policy_protocol() -> None:
    dialogue = MilterDialogue(Wishes(recipients=True))
    dialogue.sender([b"<a@peer.example>"])
    for word in (b"<b@ours.example>", b"<c@ours.example>", b"<d@ours.example>"):
        dialogue.recipient([word], macros(PLAIN), Snapshot())
    assert dialogue.data(macros(PLAIN), Snapshot()).facts.recipient == ""


@pytest.mark.parametrize(("octets", "answer"), [(960, Answer.DUNNO), (961, Answer.DEFER)])
def test_a_message_that_grew_beyond_the_waivers_size_is_deferred_at_its_end(octets: int, answer: Answer) -> None:
    snapshot, dialogue = limited(size=1000), MilterDialogue(Wishes(size=True))
    dialogue.sender([b"<a@peer.example>"])
    assert dialogue.data(macros(AT_THE_DOOR), snapshot).verdict == DUNNO
    dialogue.header("Subject", 27)  # 38 octets with ": " and CR LF, and 2 of the empty line
    dialogue.body(octets - 500)
    dialogue.body(500)
    judged = dialogue.end(lambda: snapshot).judged
    assert judged is not None and judged.facts.protocol_state is Stage.END_OF_MESSAGE
    assert judged.facts.size == octets + 40 and judged.verdict.answer is answer


def test_the_size_of_one_message_is_not_counted_for_the_next() -> None:
    snapshot, dialogue = limited(size=1000), MilterDialogue(Wishes(size=True))
    for _ in range(3):
        dialogue.sender([b"<a@peer.example>"])
        dialogue.data(macros(AT_THE_DOOR), snapshot)
        dialogue.body(900)
        judged = dialogue.end(lambda: snapshot).judged
        assert judged is not None and judged.verdict == DUNNO


# --- the header ---------------------------------------------------------------------------------------------------


def test_a_stamp_says_what_was_seen_and_what_was_expected() -> None:
    dialogue = MilterDialogue(wishes_of(STAMPING))
    assert at_data(dialogue, PLAIN, STAMPING).answer is Answer.STAMP
    assert dialogue.end(lambda: STAMPING) == Ending(stamp=(HEADER, "cleartext; expected TLSv1.2"))
    assert dialogue.end(lambda: STAMPING) == Ending()


def test_the_same_header_from_outside_is_removed_also_where_nothing_is_stamped() -> None:
    dialogue = MilterDialogue(wishes_of(STAMPING))
    at_data(dialogue, SECURE, STAMPING)
    for name in ("Subject", "mailtls-DOWNGRADE", "MailTLS-Downgrade", "MailTLS-Downgrades"):
        dialogue.header(name, 5)
    assert dialogue.end(lambda: STAMPING) == Ending(remove=2)


def test_headers_of_a_message_that_was_given_up_are_not_those_of_the_next() -> None:
    dialogue = MilterDialogue(wishes_of(STAMPING))
    at_data(dialogue, PLAIN, STAMPING)
    dialogue.header(HEADER, 5)
    at_data(dialogue, SECURE, STAMPING)
    assert dialogue.end(lambda: STAMPING) == Ending()


def test_a_connection_that_was_begun_without_headers_stamps_none() -> None:
    dialogue = MilterDialogue(Wishes())
    assert at_data(dialogue, PLAIN, STAMPING).answer is Answer.STAMP
    assert dialogue.end(lambda: STAMPING) == Ending()


# --- replies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (Answer.DUNNO, None),
        (Answer.NOTE, None),
        (Answer.STAMP, None),
        (Answer.DEFER, ("450", "4.7.1")),
        (Answer.REJECT, ("554", "5.7.1")),
    ],
)
def test_only_defer_and_reject_are_replied_to(answer: Answer, codes: tuple[str, str] | None) -> None:
    reply = reply_to(Verdict(answer, text="Sorry"))
    assert reply == (None if codes is None else (*codes, "Sorry"))


HOSTILE = st.text() | st.sampled_from(["\r\nX-Evil: 1", "\x1b[31mred", "a" * 1_000_000, "\ud800"])


@given(st.dictionaries(st.sampled_from([*FIELDS, BITS]), HOSTILE), HOSTILE, st.binary(), st.sampled_from(Answer))
def test_nothing_raw_of_a_strangers_reaches_header_or_reply(
    values: dict[str, str], helo: str, path: bytes, answer: Answer
) -> None:
    values["{client_addr}"] = "192.0.2.1"
    snapshot = Snapshot(
        guard=Guard(answer), proven=PROVEN, required_of_domains=PeerMap({".example": Requirement(text="Bitte\r\nTLS")})
    )
    dialogue = MilterDialogue(Wishes(headers=True))
    dialogue.hello(helo)
    dialogue.sender([path, path])
    judged = dialogue.data(macros(values), snapshot)
    stamp = dialogue.end(lambda: snapshot).stamp or ("", "")
    for text in (*stamp, *(reply_to(judged.verdict) or ()), judged.verdict.reason):
        assert text == printable(text, 1000)
    assert all(part.isascii() for part in stamp)
    assert all(len(getattr(judged.facts, name)) <= 12 * LONGEST for name in ("helo_name", "sender", "client_name"))
    assert isinstance(judged.facts, SmtpFacts)
