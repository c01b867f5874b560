"""The milter's datagrams: what was packed is unpacked again, and anything else is counted by its fault."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.factsparcel import LARGEST, VERSION, FactsParcel, Misshapen, pack_facts, unpack_facts
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import Answer, Ground, Verdict

FACT = SmtpFacts(protocol_state=Stage.DATA, client_address="192.0.2.1", size=4321)
NOTE = Verdict(Answer.NOTE, Ground.DOWNGRADE, reason="less than before")
WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
FACTS = st.builds(
    SmtpFacts,
    protocol_state=st.sampled_from(Stage),
    client_address=WORD,
    helo_name=WORD,
    sender=WORD,
    ccert_subject=WORD,
    size=st.integers(0, 10**19),
    encryption_keysize=st.integers(0, 4096),
)
VERDICTS = st.builds(Verdict, st.sampled_from(Answer), st.sampled_from(Ground), WORD, WORD)


@given(FACTS, VERDICTS, st.integers(0, 10**12))
def test_what_was_packed_is_unpacked_again(facts: SmtpFacts, verdict: Verdict, lost: int) -> None:
    parcel = FactsParcel(facts, verdict, lost)
    assert unpack_facts(pack_facts(parcel)) == parcel


@pytest.mark.parametrize("sign", ["x", "\x1b", "\N{PILE OF POO}", "\0"])
def test_words_that_are_too_long_are_shortened_and_the_rest_stays(sign: str) -> None:
    words = {each.name: sign * 100_000 for each in fields(SmtpFacts) if each.type == "str"}
    facts = SmtpFacts(protocol_state=Stage.DATA, **{**words, "client_address": "192.0.2.1"})  # type: ignore[arg-type]
    data = pack_facts(FactsParcel(facts, Verdict(Answer.NOTE, Ground.DOWNGRADE, sign * 5000, sign * 5000)))
    assert len(data) <= LARGEST
    found = unpack_facts(data)
    assert isinstance(found, FactsParcel)
    assert found.facts.client_address == "192.0.2.1" and found.facts.protocol_state is Stage.DATA
    assert found.verdict.answer is Answer.NOTE
    assert found.facts.helo_name and set(found.facts.helo_name) == {sign.replace("\0", "?")}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_fault_and_never_an_exception(data: bytes) -> None:
    assert isinstance(unpack_facts(data), Misshapen)


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_version_are_a_parcel_or_a_fault(data: bytes) -> None:
    assert isinstance(unpack_facts(b"%d\0%s" % (VERSION, data)), FactsParcel | Misshapen)


WHOLE = pack_facts(FactsParcel(FACT, NOTE, 3)).split(b"\0")


def changed(place: int, word: bytes) -> bytes:
    return b"\0".join((*WHOLE[:place], word, *WHOLE[place + 1 :]))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", Misshapen.BROKEN),
        (b"1\0" + b" " * LARGEST, Misshapen.OVERSIZED),
        (changed(0, b"2"), Misshapen.OTHER_VERSION),
        (changed(0, b"one"), Misshapen.BROKEN),
        (changed(1, b"-1"), Misshapen.BROKEN),
        (changed(2, b"perhaps"), Misshapen.BROKEN),
        (changed(3, b"moody"), Misshapen.BROKEN),
        (changed(6, b"LUNCH"), Misshapen.BROKEN),
        (changed(10, b"\xff"), Misshapen.BROKEN),
        (b"\0".join(WHOLE[:-1]), Misshapen.BROKEN),
        (b"\0".join((*WHOLE, b"")), Misshapen.BROKEN),
        (b"\0".join(WHOLE).replace(b"4321", b"43x1"), Misshapen.BROKEN),
        (b"\0".join(WHOLE), None),
    ],
)
def test_each_fault_has_its_name(data: bytes, fault: Misshapen | None) -> None:
    assert unpack_facts(data) == (FactsParcel(FACT, NOTE, 3) if fault is None else fault)


def test_a_zero_byte_that_cannot_be_does_not_shift_the_words_behind_it() -> None:
    found = unpack_facts(pack_facts(FactsParcel(SmtpFacts(client_name="a\0b", helo_name="c"))))
    assert isinstance(found, FactsParcel)
    assert (found.facts.client_name, found.facts.helo_name) == ("a?b", "c")
