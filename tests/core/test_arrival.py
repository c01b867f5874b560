"""One message as evidence, whatever strangers wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.arrival import Arrival, Certificate, arrival_of, port_of, write_arrivals
from mailtls.core.cause import Door
from mailtls.core.printable import printable
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.tlsversion import TLS10, TLS13
from mailtls.core.verdict import DUNNO, Answer, Verdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def arrived(verdict: Verdict = DUNNO, counted: bool = True, **fields: Any) -> Arrival:
    given_ = {"protocol_state": Stage.DATA, "client_address": "192.0.2.7", "client_name": "mx.example.com"} | fields
    return arrival_of(SmtpFacts(**given_), verdict, Door.STRICT, NOW, counted=counted)


def test_what_postfix_told_is_taken_down() -> None:
    arrival = arrived(
        encryption_protocol="TLSv1.3", encryption_cipher="TLS_AES_256_GCM_SHA384", encryption_keysize=256,
        ccert_subject="mx.example.com", ccert_fingerprint="AB:CD", helo_name="mx.example.com",
        sender="a@Example.COM", client_port="4000",
    )  # fmt: skip
    assert arrival.kind == ("strict", "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, "trusted")
    assert (arrival.version, arrival.port, arrival.sender_domain) == (TLS13, 4000, "example.com")
    assert (arrival.subject, arrival.fingerprint, arrival.helo) == ("mx.example.com", "AB:CD", "mx.example.com")
    assert arrival.alarm is None


def test_cleartext_has_neither_version_nor_cipher() -> None:
    assert arrived().kind == ("strict", None, None, 0, Certificate.NONE)
    assert arrived(ccert_fingerprint="AB").kind.certificate == "shown"


@pytest.mark.parametrize("name", ["TLSv1", "TLSv1.0", "TLSv1/SSLv3"])
def test_a_version_has_one_name(name: str) -> None:
    arrival = arrived(encryption_protocol=name)
    assert (arrival.kind.tls_version, arrival.version) == ("TLSv1", TLS10)
    unknown = arrived(encryption_protocol="TLSv1.9")
    assert (unknown.kind.tls_version, unknown.version) == ("TLSv1.9", None)


@pytest.mark.parametrize(("text", "port"), [("25", 25), ("", None), ("unknown", None), ("-1", None), ("1" * 9, None)])
def test_a_port_is_a_number_or_not_known(text: str, port: int | None) -> None:
    assert port_of(SmtpFacts(client_port=text)) == port


@given(st.text(max_size=2000), st.integers(0, 1 << 70))
def test_nothing_of_a_strangers_text_is_stored_raw_or_without_bounds(text: str, size: int) -> None:
    arrival = arrived(
        Verdict(Answer.NOTE, reason=text), helo_name=text, sender=f"a@{text}", ccert_subject=text,
        ccert_fingerprint=text, encryption_protocol=text, encryption_cipher=text, encryption_keysize=size,
        client_name=text,
    )  # fmt: skip
    told = [arrival.helo, arrival.sender_domain, arrival.subject, arrival.fingerprint, arrival.alarm, arrival.peer.name]
    for each in (*told, *arrival.kind):
        assert each is None or isinstance(each, int) or (printable(each) == each and len(each) <= 500)
    assert arrival.kind.keysize <= 1024


def test_a_batch_is_added_up_by_peer_day_and_kind() -> None:
    alarm = arrived(Verdict(Answer.NOTE, reason="odd"), counted=False)
    book = write_arrivals([arrived(), arrived(), alarm, arrived(client_address="unknown")])
    assert list(book.messages.values()) == [2]
    (last,) = book.last.values()
    assert last is alarm
    assert list(book.alarms.values()) == [alarm]
