"""The text of `report`: first things first, every peer with its reasons, totals that add up."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl.test_reportjson import peers
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.diagnosis import diagnose
from mailtls.core.history import History, PeerHistory, Tally, Total, Verdict
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.ctl.overview import SHOWN, add_up, overview
from mailtls.ctl.screen import Screen

AT = datetime(2026, 11, 21, 8, 44, tzinfo=UTC)


def failure(ip: str, reason: str, cause: Cause, count: int = 1, name: str = "mx.example.com") -> Session:
    return Session(AT, Peer(ip, name), Service.SMTPD, Door.STRICT, Outcome.TLS_FAILED, cause, reason,
                   lines=(f"connect from {name}[{ip}]", f"SSL_accept error from {name}[{ip}]: {reason}"))  # fmt: skip


def success(ip: str, version: str = "TLSv1.3", cipher: str = "TLS_AES_256_GCM_SHA384") -> Session:
    return Session(AT, Peer(ip, "mail.example.org"), Service.SMTPD, Door.STRICT, Outcome.TLS_OK, Cause.NONE,
                   tls_version=version, cipher=cipher, delivered=True)  # fmt: skip


def history_of(*sessions: Session) -> History:
    history = History()
    for session in sessions:
        history.record(session)
    return history


def shown(history: History, *, every_peer: bool = False, width: int = 80) -> str:
    view = Screen(width=width, colour=False, charset="utf-8")
    return "".join(overview(history, diagnose(history), every_peer=every_peer, view=view))


SERVER = Session(AT, None, Service.SMTPD, Door.STRICT, Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED,
                 "no certificate", lines=("warning: No server certs available. TLS won't be enabled",))  # fmt: skip
OUTAGE = [failure("192.0.2.7", "unsupported protocol", Cause.PEER_TOO_OLD)] * 3
CUT = failure("198.51.100.9", "lost connection", Cause.NETWORK_CUT, name="unknown")


def test_the_server_stands_before_outages_and_outages_before_the_rest() -> None:
    page = shown(history_of(success("203.0.113.1"), CUT, *OUTAGE, SERVER))
    order = ["1 fault of the server itself", "THE SERVER ITSELF", "no_certificate", "PEERS WHOSE MAIL DOES NOT ARRIVE",
             "192.0.2.7", "too_old", "OTHER PEERS", "198.51.100.9", "TLS VERSIONS AND CIPHERS", "TOTALS"]  # fmt: skip
    places = [page.index(words) for words in order]
    assert places == sorted(places)


def test_a_failing_peer_has_name_count_reason_cause_time_diagnosis_advice_and_proof() -> None:
    page = shown(history_of(*OUTAGE))
    for words in ("192.0.2.7 mx.example.com", "3 unsupported protocol (peer_too_old), smtpd; 2026-11-21 08:44",
                  "too_old: It knows nothing newer than TLS 1.0", "mailtlsctl allow-legacy 192.0.2.7",
                  "SSL_accept error from mx.example.com[192.0.2.7]"):  # fmt: skip
        assert words in " ".join(page.split()), words


def test_the_summary_says_when_failures_were_seen() -> None:
    assert "\n4 sessions; what failed: 2026-11-21 08:44\n" in shown(history_of(*OUTAGE, success("203.0.113.1")))
    assert "\n1 session, nothing failed\n" in shown(history_of(success("203.0.113.1")))


def test_the_proof_is_of_lines_that_say_more_than_who_connected() -> None:
    lines = (
        "mx postfix/smtpd[1]: connect from x[192.0.2.7]",
        "mx postfix/smtpd[1]: SSL_accept error from x[192.0.2.7]",
    )
    page = shown(history_of(*[dataclasses.replace(failure, lines=lines) for failure in OUTAGE]))
    assert lines[0] not in page
    assert lines[1] in page


def test_a_reason_and_a_cause_of_the_same_words_stand_once() -> None:
    page = shown(history_of(failure("192.0.2.7", "no shared cipher", Cause.NO_SHARED_CIPHER)))
    assert "1  no_shared_cipher, smtpd" in page


def test_versions_and_ciphers_are_counted_as_the_classic_pipeline_did() -> None:
    page = shown(history_of(*[success("203.0.113.1")] * 1200, success("203.0.113.2", "TLSv1.2", "AES128-SHA")))
    assert "1,200  TLSv1.3  TLS_AES_256_GCM_SHA384\n" in page
    assert "1  TLSv1.2  AES128-SHA\n" in page


def test_every_peer_is_listed_with_its_versions_and_ciphers_only_where_asked_for() -> None:
    history = history_of(success("2001:db8::1"), success("2001:db8::1", "TLSv1.2", "AES128-SHA"))
    listed = "2001:db8::1  mail.example.org\n        1  TLSv1.3 TLS_AES_256_GCM_SHA384, smtpd\n"
    assert listed in shown(history, every_peer=True)
    assert "2001:db8::1" not in shown(history)


def test_a_large_group_that_needs_nobody_shows_its_busiest_and_says_how_many_more() -> None:
    few = [failure(f"198.51.100.{n}", "lost connection", Cause.NETWORK_CUT) for n in range(SHOWN + 5)]
    page = shown(history_of(*few, few[-1]))
    assert page.count("198.51.100.") == SHOWN
    assert f"198.51.100.{SHOWN + 4} " in page
    assert "and 5 peers more; --peers shows all" in page
    assert shown(history_of(*few), every_peer=True).count("198.51.100.") == 2 * len(few)


def test_no_outage_is_ever_left_out() -> None:
    many = [failure(f"192.0.2.{n}", "unsupported protocol", Cause.PEER_TOO_OLD) for n in range(100)]
    page = shown(history_of(*many))
    assert all(f"\n192.0.2.{n}  " in page for n in range(100))


def test_what_is_advised_to_all_of_a_group_stands_once() -> None:
    another = failure("198.51.100.10", "lost connection", Cause.NETWORK_CUT)
    page = shown(history_of(CUT, another))
    assert page.count("network: 2 peers") == 1
    assert page.count("tracepath") == page.count("tracepath ADDRESS") == 1
    assert "tracepath 198.51.100.9" in shown(history_of(CUT))


def test_a_page_of_one_group_has_an_advice_that_names_the_peer() -> None:
    assert "ADDRESS" not in shown(history_of(CUT, *OUTAGE))


def test_a_peer_with_many_reasons_shows_the_most_frequent_and_counts_the_others() -> None:
    reasons = [failure("192.0.2.7", f"reason {n}", Cause.BUGGY_OR_SCANNER_PEER) for n in range(6)]
    page = shown(history_of(*reasons, reasons[5]))
    assert "2  reason 5 (buggy_or_scanner_peer), smtpd" in page
    assert "2  for 2 other reasons" in page


@settings(max_examples=60)
@given(st.lists(peers(), max_size=4), st.integers(60, 120))
def test_any_history_fits_the_screen_and_its_totals_add_up(several: list[PeerHistory], width: int) -> None:
    history = History(peers={peer.ip: peer for peer in several})
    page = shown(history, every_peer=True, width=width)
    assert all(len(line) <= width for line in page.split("\n"))
    totals = add_up(history)
    assert sum(totals.sessions.values()) == sum(tally.count for *_, tally in history.rows())
    assert sum(totals.ciphers.values()) == totals.sessions[Outcome.TLS_OK]
    assert totals.failing == sum(peer.failing for peer in history.peers.values())
    assert totals.time.count == totals.sessions[Outcome.TLS_FAILED] + totals.sessions[Outcome.SERVER_TLS_BROKEN]


class Counted:
    """A crowd of one peer that was only counted."""

    verdict = Verdict(Service.SMTPD, Door.STRICT, Outcome.TLS_OK, "TLSv1.2", "AES128-SHA", None, Cause.NONE)

    def rows(self) -> Iterator[tuple[str, str | None, Verdict, Tally]]:
        yield "203.0.113.77", "crowd.example", self.verdict, Tally(41)

    def totals(self) -> Counter[Total]:
        return Counter({(Service.SMTPD, Outcome.TLS_OK, Cause.NONE, None, "TLSv1.2", "AES128-SHA"): 41})

    def peers(self) -> int:
        return 1


def test_peers_of_large_logs_that_were_only_counted_are_in_the_totals_and_the_list() -> None:
    history = history_of(success("203.0.113.1", "TLSv1.2", "AES128-SHA"))
    history.crowds.append(Counted())
    page = shown(history, every_peer=True)
    assert "42  TLSv1.2  AES128-SHA\n" in page
    assert "2  peers, 0 of them with failed handshakes" in page
    assert "203.0.113.77  crowd.example\n       41  TLSv1.2 AES128-SHA, smtpd\n" in page


def test_an_outage_is_told_once() -> None:
    assert shown(history_of(*OUTAGE, CUT)).count("192.0.2.7  mx.example.com") == 1


@pytest.mark.parametrize("every_peer", [False, True])
def test_an_empty_history_is_told_in_a_few_lines(every_peer: bool) -> None:
    page = shown(History(), every_peer=every_peer)
    assert page.startswith("No faults of the server itself, no peers whose mail does not arrive")
    assert len(page.split("\n")) < 12


def test_sessions_that_were_only_counted_are_said() -> None:
    verdict = Verdict(Service.SMTPD, Door.STRICT, Outcome.TLS_OK, None, None, None, Cause.NONE)
    history = History(peers={"192.0.2.1": PeerHistory("192.0.2.1", None, {verdict: Tally(1)})}, sessions_left_out=4321)
    assert "4,321  sessions of too many peers" in shown(history)
