"""What `mailtlsctl simulate` prints: when, whom, why; to read, and as JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.ctl.simulate import SHOWN, Simulation, run
from mailtls.errors import ConfigError

POLICIES = Path(__file__).parents[2] / "policies"
DEFAULT = str(POLICIES / "default.toml")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
IPV6 = "2001:db8:1111:2222:3333:4444:5555:6666"
NASTY = "\x1b[31mred [bold]loud[/bold] :smile: \u202etxt.exe \udcff\x9b2J\r\n"


def failed(minute: float, ip: str = "192.0.2.7", number: int | None = 0x102, name: str = "old.example.org") -> Session:
    cause, reason = (Cause.PEER_TOO_OLD, "unsupported protocol") if number else (Cause.NETWORK_CUT, "lost connection")
    return Session(
        NOW + timedelta(minutes=minute), Peer(ip, name), Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, cause, reason,
        number, lines=(f"SSL_accept error from {name}[{ip}]",),
    )  # fmt: skip


def thrice(**peer: object) -> list[Session]:
    return [failed(minute, **peer) for minute in (0, 5, 10)]  # type: ignore[arg-type]


def printed(
    capsys: pytest.CaptureFixture[str], sessions: list[Session], *, as_json: bool = False, policy: str = DEFAULT
) -> str:
    assert run(policy, iter(sessions), as_json=as_json) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_waiver_is_told_with_time_level_end_peer_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, thrice())
    said = " ".join(text.split())
    assert "3 sessions, 3 failed, 2026-11-21 12:00 to 2026-11-21 12:10" in said
    assert "2026-11-21 12:10 waive legacy until 2026-12-21 12:10 threshold 192.0.2.7 old.example.org" in said
    assert "the first and the last 10 minutes apart" in said
    assert "ignore 0, advise 0, propose 0, waive 1, extend 0, withdraw 0" in said
    assert "1 waiver of this policy would stand at the end of the log." in said


def test_json_has_the_shape_of_its_model(capsys: pytest.CaptureFixture[str]) -> None:
    sessions = [*thrice(), replace(failed(11), service=Service.IMAP), failed(12, ip="192.0.2.8")]
    answer = Simulation.model_validate_json(printed(capsys, sessions, as_json=True), strict=False)
    waive, advise = answer.decisions
    assert (waive.action, waive.rule, waive.level, waive.cause) == ("waive", "threshold", "legacy", "peer_too_old")
    assert (waive.at, waive.until) == ("2026-11-21T12:10:00+00:00", "2026-12-21T12:10:00+00:00")
    assert (waive.peer_ip, waive.peer_name) == ("192.0.2.7", "old.example.org")
    assert waive.evidence == ("SSL_accept error from old.example.org[192.0.2.7]",) * 3
    assert (advise.rule, advise.level, advise.until) == ("not_yet", None, None)
    assert advise.alternatives[0].startswith("mailtlsctl allow-legacy 192.0.2.8 ")
    assert answer.actions == {"ignore": 0, "advise": 1, "propose": 0, "waive": 1, "extend": 0, "withdraw": 0}
    assert answer.sessions.model_dump() == {
        "read": 5,
        "failed": 5,
        "first": "2026-11-21T12:00:00+00:00",
        "last": "2026-11-21T12:12:00+00:00",
        "not_considered": {"other_service": 1, "server_fault": 0, "too_old": 0, "no_address": 0},
    }
    (waiver,) = answer.waivers
    assert (waiver.network, waiver.origin, waiver.owner) == ("192.0.2.7", "policy", "policy")
    assert waiver.granted == "2026-11-21T12:10:00+00:00"
    assert (answer.policy, answer.known_legacy) == (DEFAULT, str(POLICIES / "known-legacy.toml"))


def test_the_same_log_and_policy_print_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        assert printed(capsys, thrice(), as_json=as_json) == printed(capsys, thrice(), as_json=as_json)


def test_the_server_comes_first_and_what_is_ignored_last(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Session(
        NOW + timedelta(days=1), None, Service.SMTPD, Door.STRICT, Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED
    )
    scanner = [replace(failed(minute, ip="192.0.2.9"), reason=f"reason {minute}") for minute in (0, 1, 2)]
    text = printed(capsys, [*scanner, *thrice(), failed(11, number=None), failed(12, ip="192.0.2.8"), broken])
    places = [text.index(head) for head in ("The server", "Let in, or asked about", "Advised", "Ignored", "Decisions")]
    assert places == sorted(places)
    assert "run postfix check" in " ".join(text.split())
    assert ["1", "scanner", "peer_too_old", "192.0.2.9"] in [line.split() for line in text.splitlines()]


def test_a_log_without_stamps_says_that_nobody_can_be_waived(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, [replace(session, at=None) for session in thrice()])
    assert "The log has no time stamps: no threshold can be met, nobody is waived." in text
    assert "no_stamps" in text


def test_an_empty_log_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "0 sessions, 0 failed\n" in printed(capsys, [])
    assert json.loads(printed(capsys, [], as_json=True))["decisions"] == []


def test_what_was_not_considered_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, [replace(session, service=Service.SUBMISSION) for session in thrice()])
    assert "Not considered: 3 failed sessions on submission, smtps, IMAP" in text


def test_no_line_is_wider_than_the_screen_and_no_address_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, thrice(ip=IPV6, name="x" * 200 + ".example.org") + thrice(ip=IPV6[:-1] + "7", number=0x18C))
    assert IPV6 in text and IPV6[:-1] + "7" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_long_list_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    sessions = [failed(minute, ip=f"192.0.2.{number}") for minute in (0, 5) for number in range(SHOWN + 7)]
    assert "and 7 more; --json prints all" in printed(capsys, sessions)
    assert len(json.loads(printed(capsys, sessions, as_json=True))["decisions"]) == SHOWN + 7


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_that_a_stranger_wrote_is_obeyed(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    nasty = [replace(one, reason=NASTY + str(number)) for number, one in enumerate(thrice(name=NASTY))]
    text = printed(capsys, [*nasty, *thrice(ip="192.0.2.8", name=NASTY)], as_json=as_json)
    texts = _strings(json.loads(text)) if as_json else iter(text.splitlines())
    dangerous = [char for one in texts for char in one if unicodedata.category(char) in ("Cc", "Cs", "Cf")]
    assert dangerous == []
    assert "[bold]loud[/bold] :smile:" in " ".join(text.split())


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def test_a_wrong_policy_is_refused_before_the_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[limit]")

    def log() -> Iterator[Session]:
        raise AssertionError("the log was read")
        yield

    with pytest.raises(ConfigError, match=r"p\.toml, line 1: "):
        run(str(tmp_path / "p.toml"), log(), as_json=True)


def test_times_without_offset_are_said_as_utc(capsys: pytest.CaptureFixture[str]) -> None:
    naive = [replace(session, at=session.at.replace(tzinfo=None)) for session in thrice() if session.at]
    answer = json.loads(printed(capsys, naive, as_json=True))
    assert answer["sessions"]["first"] == "2026-11-21T12:00:00+00:00"
    assert answer["decisions"][0]["at"] == "2026-11-21T12:10:00+00:00"
