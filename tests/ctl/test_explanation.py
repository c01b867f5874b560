"""What `explain` makes of sessions: the lines, their meaning, the diagnosis, for those that were asked for alone."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ctl.program import CUT, MODERN, TOO_OLD, log_of, mailtlsctl
from ctl.test_overview import SERVER, failure, success
from mailtls.core.cause import Cause, Outcome
from mailtls.core.diagnosis import Confidence, Diagnosis
from mailtls.ctl import explanation
from mailtls.ctl.explanation import Explanation, Witness
from mailtls.ctl.ruling import RULES, SURE
from mailtls.ctl.whom import read_whom

LOG = log_of(MODERN, TOO_OLD, CUT)


def explained(whom: str, *sessions: object) -> Explanation:
    witness = Witness(read_whom(whom))
    witness.hear(sessions)  # type: ignore[arg-type]
    return witness.explain()


def test_a_failing_peer_is_explained_from_line_to_advice() -> None:
    page = mailtlsctl("explain", "192.0.2.7", "--log", "-", stdin=LOG).stdout
    order = ["192.0.2.7 mx.example.com", "1 unsupported protocol (peer_too_old), smtpd", "What the lines prove",
             "SSL_accept error from", "= the handshake failed", "TLS library problem",
             "= why OpenSSL ended it: unsupported protocol (reason 0x102)", "Diagnosis", "too_old (its mail does not",
             "reason 0x102), which is TLS 1.0 or 1.1", "What else it could be", "A scanner that tries old versions",
             "What to do", "allow-legacy 192.0.2.7"]  # fmt: skip
    page = " ".join(page.split())
    places = [page.index(words) for words in order]
    assert places == sorted(places)


def test_a_session_at_a_door_is_told_with_the_door() -> None:
    log = LOG.replace("postfix/smtpd", "postfix/mailtls-legacy/smtpd")
    page = " ".join(mailtlsctl("explain", "192.0.2.7", "--log", "-", stdin=log).stdout.split())
    assert "unsupported protocol (peer_too_old), smtpd at door legacy" in page


def test_a_peer_that_works_is_said_to_work() -> None:
    page = mailtlsctl("explain", ".example.org", "--log", "-", stdin=LOG).stdout
    assert "Nothing fails for this peer" in page
    assert "Mail was accepted in 1 session, 0 in cleartext." in page


@pytest.mark.parametrize("whom", ["192.0.2.8", ".example.net", "2001:db8::/48", "mx.example"])
def test_an_unknown_peer_is_one_sentence_and_exit_status_1(whom: str) -> None:
    for form in ([], ["--json"]):
        seen = mailtlsctl("explain", whom, *form, "--log", "-", stdin=LOG)
        assert seen.returncode == 1
        assert seen.stderr.startswith(f"mailtlsctl: {whom} is not in the sessions that were read (13 lines, 3 other")
        assert seen.stderr.count("\n") == 1
        assert (json.loads(seen.stdout)["peers"] == []) if form else (seen.stdout == "")


def test_json_has_the_model_that_is_documented() -> None:
    seen = mailtlsctl("explain", "0.0.0.0/0", "--json", "--log", "-", stdin=LOG)
    answer = Explanation.model_validate_json(seen.stdout)
    assert [peer.peer_ip for peer in answer.peers] == ["192.0.2.7", "198.51.100.9"]
    first = answer.peers[0]
    assert first.ruling is not None
    assert first.ruling.diagnosis == "too_old"
    assert first.ruling.outage
    assert [line.line.split(": ", 1)[1] for line in first.kinds[0].sessions[0].lines] == list(TOO_OLD)


def test_logs_may_follow_the_option_and_the_option_may_be_repeated(tmp_path_factory: pytest.TempPathFactory) -> None:
    logs = [tmp_path_factory.mktemp("logs") / name for name in ("a.log", "b.log", "c.log")]
    for log in logs:
        log.write_text(log_of(TOO_OLD))
    seen = mailtlsctl("explain", "192.0.2.7", "--json", "--log", logs[0], logs[1], "--log", logs[2])
    assert Explanation.model_validate_json(seen.stdout).peers[0].kinds[0].count == 3


def test_a_fault_of_the_server_is_told_to_its_victims_and_to_nobody_else() -> None:
    victim = dataclasses.replace(
        failure("192.0.2.7", "no certificate", Cause.SERVER_MISCONFIGURED), outcome=Outcome.SERVER_TLS_BROKEN
    )
    answer = explained("0.0.0.0/0", SERVER, victim, failure("192.0.2.8", "lost connection", Cause.NETWORK_CUT))
    told = {peer.peer_ip: peer for peer in answer.peers}
    assert told["192.0.2.7"].ruling is not None
    assert told["192.0.2.7"].ruling.diagnosis == "server_fault"
    assert told["192.0.2.7"].server[0].startswith("no_certificate: ")
    assert told["192.0.2.8"].server == ()


def test_others_are_heard_for_the_diagnosis_but_not_told() -> None:
    answer = explained("192.0.2.7", success("203.0.113.1"), failure("192.0.2.7", "x", Cause.UNKNOWN))
    assert [peer.peer_ip for peer in answer.peers] == ["192.0.2.7"]


def test_peers_whose_mail_does_not_arrive_come_first() -> None:
    answer = explained(
        "0.0.0.0/0",
        success("192.0.2.1"),
        failure("192.0.2.2", "lost connection", Cause.NETWORK_CUT),
        *[failure("192.0.2.3", "unsupported protocol", Cause.PEER_TOO_OLD)] * 3,
    )
    assert [peer.peer_ip for peer in answer.peers] == ["192.0.2.3", "192.0.2.2", "192.0.2.1"]


def test_a_network_of_too_many_peers_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "PEERS", 3)
    many = [failure(f"192.0.2.{n}", "x", Cause.UNKNOWN) for n in range(10)]
    answer = explained("192.0.2.0/24", *many, *many)
    assert (len(answer.peers), answer.peers_left_out) == (3, 3)


def test_only_the_first_sessions_of_a_kind_are_kept_but_all_are_counted() -> None:
    answer = explained("192.0.2.7", *[failure("192.0.2.7", "x", Cause.UNKNOWN)] * 50)
    assert answer.peers[0].kinds[0].count == 50
    assert len(answer.peers[0].kinds[0].sessions) == explanation.SESSIONS


def test_every_diagnosis_and_confidence_has_its_rule() -> None:
    assert set(RULES) == set(Diagnosis)
    assert set(SURE) == set(Confidence)
    assert all(rule.endswith(".") for rule in RULES.values())
