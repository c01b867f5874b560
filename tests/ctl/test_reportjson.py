"""The JSON of `report`: its shape is a contract, and nothing of a stranger's is obeyed by who prints it."""

import json
from datetime import datetime, timedelta, timezone
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.diagnosis import Diagnosis, diagnose
from mailtls.core.history import History, PeerHistory, Statement, StatementKind, Tally, Verdict
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.ctl.reportjson import json_pieces

STRANGERS = st.text(st.characters() | st.sampled_from("\x1b\r\n\x9b\u202e\udcff[]"), max_size=60)


INDIA = timezone(timedelta(hours=5, minutes=30))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VerdictRow(Strict):
    peer_ip: str | None
    peer_name: str | None
    service: Service
    door: Door
    outcome: Outcome
    tls_version: str | None
    cipher: str | None
    reason: str | None
    cause: Cause
    count: PositiveInt
    first_seen: AwareDatetime | None
    last_seen: AwareDatetime | None


class PeerRow(Strict):
    peer_ip: str
    peer_name: str | None
    diagnosis: Diagnosis
    outage: bool
    confidence: Literal["proven", "likely", "weak"]
    advice: str
    evidence: list[str]
    failures: NonNegativeInt
    first_seen: AwareDatetime | None
    last_seen: AwareDatetime | None
    causes: dict[Cause, PositiveInt]
    underlying: Diagnosis
    refuses_cleartext: bool


class ServerRow(Strict):
    finding: str
    detail: str
    evidence: list[str]
    count: NonNegativeInt
    first_seen: AwareDatetime | None
    last_seen: AwareDatetime | None
    victims: list[str]


class LinesRow(Strict):
    read: NonNegativeInt
    understood: NonNegativeInt
    ignored: NonNegativeInt
    unknown: NonNegativeInt


class ReportObject(Strict):
    verdicts: list[VerdictRow]
    peers: list[PeerRow]
    server: list[ServerRow]
    lines: LinesRow


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda naive: naive.replace(tzinfo=INDIA))
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Service), st.sampled_from(Door), st.sampled_from(Outcome), st.none() | STRANGERS,
    st.none() | STRANGERS, st.none() | STRANGERS, st.sampled_from(Cause),
)  # fmt: skip


@st.composite
def peers(draw: st.DrawFn) -> PeerHistory:
    peer = PeerHistory(draw(st.ip_addresses().map(str) | STRANGERS), draw(st.none() | STRANGERS))
    for verdict in draw(st.lists(VERDICTS, min_size=1, max_size=3)):
        first, last = sorted([draw(INSTANTS), draw(INSTANTS)])
        tally = peer.verdicts.setdefault(verdict, Tally())
        tally.add(draw(st.integers(1, 9)), *((first, last) if draw(st.booleans()) else (None, None)))
    peer.evidence.extend(draw(st.lists(STRANGERS, max_size=2)))
    return peer


def history_of(*several: PeerHistory) -> History:
    return History(peers={peer.ip: peer for peer in several})


def printed(history: History) -> str:
    return "".join(json_pieces(history, diagnose(history)))


@given(st.lists(peers(), max_size=4))
def test_any_history_is_printed_in_the_shape_of_the_contract(several: list[PeerHistory]) -> None:
    history = history_of(*several)
    words = printed(history)
    report = ReportObject.model_validate_json(words)
    assert words.isascii()
    assert words.endswith("}\n")
    rows = [(row.count, row.first_seen, row.last_seen) for row in report.verdicts]
    assert rows == [
        (tally.count, tally.first, tally.last)
        for peer in history.peers.values()
        for tally in peer.verdicts.values()
    ]  # fmt: skip


@given(STRANGERS)
def test_what_a_stranger_wrote_is_printable_even_behind_jq(words: str) -> None:
    verdict = Verdict(Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, None, None, words, Cause.UNKNOWN)
    peer = PeerHistory("192.0.2.7", words, {verdict: Tally(1)}, evidence=[words])
    for text in texts(json.loads(printed(history_of(peer)))):
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029\u202e" for c in text)
        assert not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def texts(value: object) -> list[str]:
    """Every text anywhere in a JSON value."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for item in value.values() for text in texts(item)]
        case list():
            return [text for item in value for text in texts(item)]
    return []


def test_names_and_addresses_come_through_as_they_are() -> None:
    verdict = Verdict(Service.SMTPD, Door.STRICT, Outcome.TLS_OK, "TLSv1.3", 'A"B\\C', None, Cause.NONE)
    row = json.loads(printed(history_of(PeerHistory("2001:db8::7", "münchen.example", {verdict: Tally(3)}))))
    assert row["verdicts"] == [
        {"peer_ip": "2001:db8::7", "peer_name": "münchen.example", "service": "smtpd", "door": "strict",
         "outcome": "tls_ok", "tls_version": "TLSv1.3", "cipher": 'A"B\\C', "reason": None, "cause": "none",
         "count": 3, "first_seen": None, "last_seen": None}
    ]  # fmt: skip


def test_times_keep_the_offset_of_the_log() -> None:
    at = datetime(2026, 11, 21, 10, 0, 0, tzinfo=timezone(timedelta(hours=1)))
    verdict = Verdict(Service.IMAP, Door.STRICT, Outcome.TLS_OK, None, None, None, Cause.NONE)
    row = json.loads(printed(history_of(PeerHistory("192.0.2.7", None, {verdict: Tally(1, at, at)}))))
    assert row["verdicts"][0]["first_seen"] == "2026-11-21T10:00:00+01:00"


def test_faults_of_the_server_are_verdicts_without_peer_counted_together() -> None:
    where = (None, None, Service.SMTPD, Door.STRICT, Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED)
    fault = Session(*where, "no certificate", lines=("warning: No server certs available. TLS won't be enabled",))
    history = History()
    history.record(fault)
    history.record(fault)
    history.record(Session(None, Peer("192.0.2.7", "mx"), Service.SMTPD, Door.STRICT, Outcome.TLS_OK, Cause.NONE))
    report = ReportObject.model_validate_json(printed(history))
    assert [(row.peer_ip, row.peer_name, row.outcome, row.count) for row in report.verdicts] == [
        ("192.0.2.7", "mx", Outcome.TLS_OK, 1),
        (None, None, Outcome.SERVER_TLS_BROKEN, 2),
    ]
    assert [row.finding for row in report.server] == ["no_certificate"]


def test_an_empty_history_is_an_empty_report() -> None:
    assert json.loads(printed(History())) == {
        "verdicts": [], "peers": [], "server": [], "lines": {"read": 0, "understood": 0, "ignored": 0, "unknown": 0}
    }  # fmt: skip


def test_statements_of_the_server_reach_the_report() -> None:
    text = "warning: lost connection with mx.example[private/lmtp] while receiving the initial server greeting"
    said = Statement(None, StatementKind.LMTP_GREETING, text, f"postfix/lmtp[7]: {text}")
    report = ReportObject.model_validate_json(printed(History(statements=[said])))
    assert report.server


@pytest.mark.parametrize("count", [2, 200])
def test_each_verdict_has_a_line_of_its_own(count: int) -> None:
    verdict = Verdict(Service.SMTPD, Door.STRICT, Outcome.TLS_OK, "TLSv1.3", "X", None, Cause.NONE)
    several = [PeerHistory(f"192.0.2.{n}", None, {verdict: Tally(1)}) for n in range(count)]
    assert printed(history_of(*several)).count('\n{"peer_ip"') == count
