"""The diagnosis of peers, one row per diagnosis and rule; and what holds for every history."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.histories import CAUSES, START, dropped, failure, history_of, in_clear, success

from mailtls.core.advice import AT_PORT_25, BECAUSE, ON_A_DEVICE
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.complaint import COMPLAINTS, Finding
from mailtls.core.diagnosis import Confidence, Diagnosis, PeerReport, diagnose
from mailtls.core.history import FAILED, History, PeerHistory, Tally, Verdict
from mailtls.core.session import Session
from mailtls.core.trouble import DEVICES

IP = "192.0.2.7"

# The parameters that Postfix 3.7 has (`postconf -d`), as far as any sentence may name them.
POSTFIX_PARAMETERS = frozenset(
    {
        "smtpd_client_event_limit_exceptions", "smtpd_client_new_tls_session_rate_limit",
        "smtpd_discard_ehlo_keyword_address_maps", "smtpd_tls_CAfile", "smtpd_tls_cert_file",
        "smtpd_tls_chain_files", "smtpd_tls_ciphers", "smtpd_tls_dh1024_param_file", "smtpd_tls_eccert_file",
        "smtpd_tls_exclude_ciphers", "smtpd_tls_fingerprint_digest", "smtpd_tls_key_file", "smtpd_tls_loglevel",
        "smtpd_tls_mandatory_ciphers", "smtpd_tls_mandatory_protocols", "smtpd_tls_protocols",
        "smtpd_tls_security_level", "smtpd_tls_wrappermode", "tls_config_file", "tls_eecdh_auto_curves",
        "tls_high_cipherlist", "tls_medium_cipherlist", "tls_random_source", "tls_server_sni_maps",
        "tls_ssl_options",
    }
)  # fmt: skip
DOVECOT_SETTINGS = frozenset(
    {
        "ssl_alt_cert", "ssl_cert", "ssl_cipher_list", "ssl_curve_list", "ssl_dh", "ssl_key",
        "ssl_min_protocol", "ssl_protocols", "ssl_server_cert_file", "ssl_server_dh_file",
        "ssl_server_key_file",
    }
)  # fmt: skip
SETTING = re.compile(r"\b(?:smtpd|postscreen|tlsproxy|lmtp|tls|ssl)_[A-Za-z0-9_]+")


def check_sentence(text: str) -> None:
    """What an operator reads: whole sentences, nothing left to fill in, only settings that exist."""
    assert text.endswith("."), text
    assert ".." not in text, text
    assert not re.search(r"[{}]", text), text
    assert text.count("`") % 2 == 0, text
    unknown = set(SETTING.findall(text)) - POSTFIX_PARAMETERS - DOVECOT_SETTINGS
    assert not unknown, f"{unknown} in: {text}"


def report_of(*sessions: Session) -> PeerReport | None:
    return next((row for row in diagnose(history_of(sessions)).peers if row.ip == IP), None)


def failures(reason: str, *minutes: float | None, **more: object) -> list[Session]:
    return [failure(IP, reason, moment, **more) for moment in minutes]  # type: ignore[arg-type]


QUEUE = (0, 15, 45)  # minutes: a mail server that tries again
OUTLOOK = "mail-db5.outbound.protection.outlook.com"

# name of the row: sessions, diagnosis, outage, a part of the advice
PEERS: dict[str, tuple[list[Session], Diagnosis, bool, str]] = {
    "no shared cipher": (
        failures("no shared cipher", *QUEUE), Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, True,
        "smtpd_tls_chain_files = key-and-cert-rsa.pem, key-and-cert-ecdsa.pem",
    ),
    "no shared cipher, once": (
        failures("no shared cipher", 0), Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, True, "smtpd_tls_eccert_file",
    ),
    "TLS 1.0": (
        failures("unsupported protocol", *QUEUE), Diagnosis.TOO_OLD, True,
        f"mailtlsctl allow-legacy {IP} --level legacy",
    ),
    "SSLv3": (
        failures("version too low", *QUEUE), Diagnosis.SSLV3_OR_OLDER, True,
        f"mailtlsctl allow-legacy {IP} --level sslv3",
    ),
    "SSLv2's format": (
        failures("unknown protocol", *QUEUE), Diagnosis.SSLV3_OR_OLDER, True, "--level sslv3",
    ),
    "SSLv3 after TLS 1.0 was refused": (
        failures("unsupported protocol", 0, 15) + failures("version too low", 1, 16), Diagnosis.TOO_OLD, True,
        "--level legacy",
    ),
    "unknown protocol of OpenSSL 1.0": (
        failures("unknown protocol of OpenSSL 1.0", *QUEUE), Diagnosis.OLD_OR_NOT_TLS, True, "tcpdump -w hello.pcap",
    ),
    "the same, settled by another failure": (
        [*failures("unknown protocol of OpenSSL 1.0", 0), *failures("unsupported protocol", 5, service=Service.IMAP)],
        Diagnosis.TOO_OLD, True, "fails at imap too",
    ),
    "no common group": (
        failures("no suitable key share", *QUEUE), Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE, True,
        "tls_eecdh_auto_curves",
    ),
    "alert 48": (
        failures("tlsv1 alert unknown ca", *QUEUE), Diagnosis.REJECTS_OUR_CERTIFICATE, True,
        "(tlsv1 alert unknown ca): check with `openssl s_client -starttls smtp",
    ),
    "alert 70": (
        failures("tlsv1 alert protocol version", *QUEUE), Diagnosis.REJECTS_OUR_VERSION, True, "`!TLSv1.3` from",
    ),
    "alert 40, and it tries again": (
        failures("sslv3 alert handshake failure", *QUEUE), Diagnosis.SENDS_ALERT, True, "smtpd_tls_ciphers = medium",
    ),
    "alert 40, once": (failures("sslv3 alert handshake failure", 0), Diagnosis.SENDS_ALERT, False, "its own log"),
    "plain SMTP after STARTTLS": (failures("wrong version number", *QUEUE), Diagnosis.NOT_TLS, True, "firewall"),
    "a web request": (failures("http request", 0), Diagnosis.NOT_TLS, False, "scanner"),
    "TLS on port 25": (failures("TLS bytes on port 25", 0), Diagnosis.TLS_ON_PLAIN_PORT, False, "wrappermode = yes"),
    "nonsense": (failures("bad key share", 0), Diagnosis.BUGGY, False, "makes no sense (bad key share)"),
    "fallback": (failures("inappropriate fallback", 0), Diagnosis.VERSION_FALLBACK, False, f"grep -F {IP}"),
    "several causes": (
        failures("no shared cipher", *QUEUE) + failures("tlsv1 alert unknown ca", 100, 200), Diagnosis.MIXED, True,
        "3 no_shared_cipher, 2 peer_rejects_our_cert",
    ),
    "one cause and its echo": (
        failures("unsupported protocol", *QUEUE) + failures("lost connection", 1, 16), Diagnosis.TOO_OLD, True,
        "TLS 1.0",
    ),
    "cut": (failures("lost connection", *QUEUE), Diagnosis.NETWORK, False, "count it"),
    "cut since its last mail": (
        [success(IP, 0), *failures("lost connection", 60, 80, 120)], Diagnosis.NETWORK, True, "tracepath",
    ),
    "cut, by Microsoft": (
        failures("unexpected eof while reading", *QUEUE, name=OUTLOOK), Diagnosis.SESSION_TICKETS, True,
        "tls_ssl_options = NO_TICKET",
    ),
    "dropped after TLS, by Microsoft": (
        [dropped(IP, moment, name=OUTLOOK) for moment in QUEUE], Diagnosis.SESSION_TICKETS, True, "NO_TICKET",
    ),
    "silence": (failures("Connection timed out", *QUEUE), Diagnosis.TIMEOUT, False, "tracepath 192.0.2.7"),
    "no reason": (failures("", 0), Diagnosis.UNDECIDED, False, "smtpd_tls_loglevel = 1"),
    "worked with TLS 1.3 before": (
        [success(IP, 0), *failures("unsupported protocol", 60, 80, 120)], Diagnosis.USED_TO_WORK, True, "no waiver",
    ),
    "found ciphers before": (
        [success(IP, 0), *failures("no shared cipher", 60, 80, 120)], Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, True,
        "look twice before you let it down",
    ),
    "leaves when STARTTLS is hidden": (
        [in_clear(IP, moment, mail=False, hidden=True) for moment in (0, 15)], Diagnosis.REFUSES_CLEARTEXT, True,
        "the `cleartext` level does not help it",
    ),
    "fails without reason, then leaves": (
        [*failures("", *QUEUE), in_clear(IP, 46, mail=False)], Diagnosis.REFUSES_CLEARTEXT, True,
        "smtpd_discard_ehlo_keyword_address_maps",
    ),
    "fails for a reason, and leaves in clear": (
        [*failures("no shared cipher", 0), in_clear(IP, 1, mail=False, hidden=True)],
        Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, True, "do not hide STARTTLS from it",
    ),
    "454": (
        failures("", 0, outcome=Outcome.SERVER_TLS_BROKEN), Diagnosis.SERVER_FAULT, True,
        "see the findings about the server",
    ),
    "nothing enabled": (failures("no protocols available", 0), Diagnosis.SERVER_FAULT, True, "postfix reload"),
    "falls back": (
        [*failures("unsupported protocol", 0, 30), in_clear(IP, 1), in_clear(IP, 31)],
        Diagnosis.FALLS_BACK_TO_CLEARTEXT, False, "its mail arrives unencrypted",
    ),
    "fell back once, and no more": (
        [failure(IP, "unsupported protocol", 0), in_clear(IP, 1), *failures("unsupported protocol", 60, 90, 120)],
        Diagnosis.TOO_OLD, True, "--level legacy",
    ),
    "sent in clear before it tried TLS": (
        [in_clear(IP, 0), *failures("unsupported protocol", 60, 90)], Diagnosis.TOO_OLD, True, "--level legacy",
    ),
    "let in by a waiver": (
        [*failures("unsupported protocol", *QUEUE), success(IP, 60, door=Door.LEGACY, version="TLSv1")],
        Diagnosis.SERVED_BY_WAIVER, False, "by a waiver",
    ),
    "STARTTLS hidden from it": (
        [*failures("wrong version number", *QUEUE), in_clear(IP, 60, hidden=True)], Diagnosis.SERVED_BY_WAIVER, False,
        "smtpd_discard_ehlo_keyword_address_maps",
    ),
    "fails at the relaxed door too": (
        failures("no shared cipher", *QUEUE, door=Door.LEGACY), Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, True,
        f"mailtlsctl revoke {IP}",
    ),
    "by turns": (
        [failure(IP, "no shared cipher", 0), success(IP, 10), failure(IP, "no shared cipher", 20)],
        Diagnosis.SOMETIMES_FAILS, False, "several servers behind one address",
    ),
    "recovered": ([*failures("unsupported protocol", 0), success(IP, 5)], Diagnosis.RECOVERED, False, "No outage"),
    "recovered in the same second": ([*failures("lost connection", 5), success(IP, 5)], Diagnosis.RECOVERED, False, ""),
    "monitor": ([dropped(IP, 5 * moment) for moment in range(6)], Diagnosis.MONITOR, False, "as monitors do"),
    "monitor that begins only": (
        failures("lost connection", *range(0, 50, 5)), Diagnosis.MONITOR, False, "as monitors do",
    ),
    "scanner": (
        failures("no shared cipher", 0) + failures("version too low", 0.1) + failures("http request", 0.2),
        Diagnosis.SCANNER, False, "A scanner: many failures at once",
    ),
    "named like a scanner, once": (
        failures("no shared cipher", 0, name="a.census.shodan.io"), Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, False, "RSA",
    ),
    "a user's device": (
        [
            success(IP, 0, service=Service.IMAP),
            *failures("unsupported protocol", 50, 60, 70, service=Service.SUBMISSION),
        ],
        Diagnosis.USED_TO_WORK, False, "no waiver for people's devices",
    ),
    "an old device": (
        failures("unsupported protocol", *QUEUE, service=Service.IMAP), Diagnosis.TOO_OLD, False, "ssl_min_protocol",
    ),
    "a device with another name for us": (
        failures("tlsv1 alert unknown ca", 0, service=Service.POP3), Diagnosis.REJECTS_OUR_CERTIFICATE, False,
        "set to a server name that the certificate bears",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", PEERS)
def test_a_peer_gets_the_diagnosis_of_its_row(row: str) -> None:
    sessions, diagnosis, outage, words = PEERS[row]
    found = report_of(*sessions)
    assert found is not None
    assert (found.diagnosis, found.outage) == (diagnosis, outage)
    assert words in found.advice
    check_sentence(found.advice)


def test_every_diagnosis_has_a_row_and_a_sentence() -> None:
    assert {row[1] for row in PEERS.values()} == set(Diagnosis)
    assert set(AT_PORT_25) == set(Diagnosis)


def test_every_parameter_that_is_allowed_is_used_somewhere() -> None:
    """A list with idle entries would let a misspelt name through."""
    texts = [*AT_PORT_25.values(), *ON_A_DEVICE.values(), *BECAUSE.values()]
    for _, _, sentence in COMPLAINTS:
        texts.append(sentence if isinstance(sentence, str) else sentence("x"))
    named = set(SETTING.findall(" ".join(texts)))
    assert named == POSTFIX_PARAMETERS | DOVECOT_SETTINGS


@pytest.mark.parametrize("word", [*Diagnosis, *Finding])
def test_the_handbook_explains_every_word(word: str) -> None:
    handbook = (Path(__file__).parents[2] / "docs" / "diagnoses.md").read_text("utf-8")
    heading = f"\n### `{word}`\n"
    assert handbook.count(heading) == 1
    paragraph = handbook.partition(heading)[2].partition("\n#")[0]
    assert not set(SETTING.findall(paragraph)) - POSTFIX_PARAMETERS - DOVECOT_SETTINGS
    assert {"Proof:", "To do:"} == set(re.findall(r"Proof:|To do:", paragraph))


@pytest.mark.parametrize("sessions", [
    [success(IP, 0)], [in_clear(IP, 0)], [in_clear(IP, 0, mail=False)], [dropped(IP, 0), dropped(IP, 5)],
    [success(IP, 0, mail=False)] * 9,
], ids=["TLS", "cleartext", "ehlo and quit", "dropped twice", "TLS without mail"])  # fmt: skip
def test_a_peer_that_is_well_gets_no_row(sessions: list[Session]) -> None:
    assert report_of(*sessions) is None


def test_cleartext_mail_while_failing_says_why_the_handshakes_fail() -> None:
    found = report_of(*PEERS["falls back"][0])
    assert found is not None
    assert found.underlying is Diagnosis.TOO_OLD
    assert "nothing newer than TLS 1.0 or 1.1" in found.advice


def test_without_stamps_cleartext_mail_still_counts_as_falling_back() -> None:
    found = report_of(failure(IP, "unsupported protocol", None), in_clear(IP, None))
    assert found is not None
    assert (found.diagnosis, found.outage, found.first) == (Diagnosis.FALLS_BACK_TO_CLEARTEXT, False, None)


def test_without_stamps_a_success_does_not_count_as_recovery() -> None:
    found = report_of(failure(IP, "unsupported protocol", None), success(IP, None))
    assert found is not None
    assert found.diagnosis is Diagnosis.SOMETIMES_FAILS


def test_too_old_means_sslv3_where_the_server_took_tls_1_0_from_others_meanwhile() -> None:
    other = "198.51.100.1"
    old = {"version": "TLSv1", "cipher": "ECDHE-RSA-AES256-SHA"}
    found = report_of(success(other, 0, **old), *failures("unsupported protocol", 10, 20), success(other, 30, **old))  # type: ignore[arg-type]
    assert found is not None
    assert found.diagnosis is Diagnosis.SSLV3_OR_OLDER


def test_too_old_stays_so_where_tls_1_0_was_taken_only_before() -> None:
    found = report_of(success("198.51.100.1", 0, version="TLSv1"), *failures("unsupported protocol", 10, 20))
    assert found is not None
    assert found.diagnosis is Diagnosis.TOO_OLD


@pytest.mark.parametrize(("cipher", "words", "confidence"), [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "the certificate in use is ECDSA", Confidence.PROVEN),
    ("ECDHE-RSA-AES256-GCM-SHA384", "The server has an RSA certificate", Confidence.LIKELY),
    ("TLS_AES_256_GCM_SHA384", "If the certificate is ECDSA only", Confidence.LIKELY),
])  # fmt: skip
def test_the_advice_on_ciphers_follows_from_the_suites_of_others(
    cipher: str, words: str, confidence: Confidence
) -> None:
    others = [success(f"198.51.100.{n}", n, cipher=cipher) for n in range(3)]
    found = report_of(*others, *failures("no shared cipher", *QUEUE))
    assert found is not None
    assert words in found.advice
    assert found.confidence is confidence


def test_who_may_know_only_rsa_is_let_in_by_the_narrowest_door() -> None:
    """Unasked `allow-legacy` takes legacy-rsa where that is enough; `--level legacy` would go deeper than it has to."""
    found = report_of(*failures("no shared cipher", *QUEUE))
    assert found is not None
    assert f"`mailtlsctl allow-legacy {IP}`" in found.advice
    assert "--level" not in found.advice


def test_only_an_ecdsa_certificate_is_no_reason_for_a_waiver() -> None:
    other = success("198.51.100.1", 0, cipher="ECDHE-ECDSA-AES128-SHA")
    found = report_of(other, *failures("no shared cipher", *QUEUE))
    assert found is not None
    assert "allow-legacy" not in found.advice


@pytest.mark.parametrize(("sessions", "confidence"), [
    (failures("unsupported protocol", *QUEUE), Confidence.PROVEN),
    (failures("unsupported protocol", 0, 15), Confidence.LIKELY),
    (failures("unsupported protocol", *QUEUE) + failures("", 1, service=Service.IMAP), Confidence.LIKELY),
    (failures("unsupported protocol", *QUEUE, service=Service.IMAP), Confidence.WEAK),
    (
        [
            success(IP, 0, service=Service.IMAP, version="TLSv1.1"),
            *failures("unsupported protocol", 5, 6, 7, service=Service.IMAP),
        ],
        Confidence.PROVEN,
    ),
    (failures("tlsv1 alert protocol version", *QUEUE), Confidence.LIKELY),
    (failures("lost connection", *QUEUE), Confidence.WEAK),
    ([failure(IP, "unsupported protocol", 0), success(IP, 5)], Confidence.PROVEN),
    ([failure(IP, "unsupported protocol", 0), success(IP, 5, mail=False)], Confidence.LIKELY),
    ([failure(IP, "unsupported protocol", None), in_clear(IP, None)], Confidence.LIKELY),
    (failures("", 0, outcome=Outcome.SERVER_TLS_BROKEN), Confidence.PROVEN),
    (failures("no protocols available", 0), Confidence.LIKELY),
    (failures("no shared cipher", 0, name="x.shodan.io") + failures("bad key share", 1), Confidence.PROVEN),
    (failures("no shared cipher", 0) + failures("version too low", 1) + failures("http request", 2), Confidence.LIKELY),
])  # fmt: skip
def test_a_diagnosis_says_how_sure_it_is(sessions: list[Session], confidence: Confidence) -> None:
    found = report_of(*sessions)
    assert found is not None
    assert found.confidence is confidence


@pytest.mark.parametrize(("before", "said"), [([], True), ([success(IP, 0, service=Service.IMAP)], False)])
def test_a_device_that_never_got_in_may_be_a_scanner(before: list[Session], said: bool) -> None:
    found = report_of(*before, *failures("no shared cipher", *QUEUE, service=Service.IMAP))
    assert found is not None
    assert ("so a scanner is as likely as a user" in found.advice) is said


def test_the_certificates_in_use_change_no_other_advice() -> None:
    others = [success("198.51.100.1", 0, cipher="ECDHE-RSA-AES128-SHA")]
    found = report_of(*others, *failures("unsupported protocol", *QUEUE))
    assert found is not None
    assert found.advice.startswith("It knows nothing newer than TLS 1.0 or 1.1")


@pytest.mark.parametrize(("many", "few", "diagnosis"), [
    (9, 1, Diagnosis.TOO_OLD), (8, 1, Diagnosis.MIXED), (5, 5, Diagnosis.MIXED),
])  # fmt: skip
def test_nine_tenths_of_the_failures_are_the_diagnosis(many: int, few: int, diagnosis: Diagnosis) -> None:
    found = report_of(
        *failures("unsupported protocol", *(60 * n for n in range(many))),
        *failures("tlsv1 alert unknown ca", *(60 * n + 30 for n in range(few))),
    )
    assert found is not None
    assert found.diagnosis is diagnosis


def test_cleartext_mail_in_the_second_of_the_failure_is_falling_back() -> None:
    found = report_of(failure(IP, "unsupported protocol", 0), in_clear(IP, 0))
    assert found is not None
    assert found.diagnosis is Diagnosis.FALLS_BACK_TO_CLEARTEXT


def test_a_device_is_never_advised_a_waiver() -> None:
    for reason in ("unsupported protocol", "version too low", "no shared cipher", "wrong version number"):
        for service in (Service.SUBMISSION, Service.SMTPS, Service.IMAP, Service.POP3, Service.SIEVE):
            found = report_of(*failures(reason, *QUEUE, service=service))
            assert found is not None
            assert "allow-legacy" not in found.advice
            assert not found.outage


def test_a_large_provider_is_not_believed_to_be_old() -> None:
    found = report_of(*failures("unsupported protocol", *QUEUE, name="mail-lf1-f44.google.com"))
    assert found is not None
    assert "give no waiver" in found.advice


def test_an_address_that_is_none_never_becomes_part_of_a_command() -> None:
    history = history_of([replace(failure("$(reboot)", "unsupported protocol"))])
    advice = diagnose(history).peers[0].advice
    assert "reboot" not in advice
    assert "allow-legacy ADDRESS" in advice


def test_outages_come_first_and_then_the_most_failures() -> None:
    history = history_of(
        [
            *[failure("192.0.2.1", "lost connection", minute) for minute in (0, 3, 20, 60, 61)],
            *[failure("192.0.2.2", "unsupported protocol", minute) for minute in (0, 30)],
            *[failure("192.0.2.3", "unsupported protocol", minute) for minute in QUEUE],
        ]
    )
    assert [row.ip for row in diagnose(history).peers] == ["192.0.2.3", "192.0.2.2", "192.0.2.1"]


def test_a_row_carries_its_proof_and_its_numbers() -> None:
    found = report_of(*failures("unsupported protocol", *QUEUE))
    assert found is not None
    assert found.evidence and all(IP in line for line in found.evidence)
    assert (found.failures, found.first, found.last) == (3, START, START + timedelta(minutes=45))
    assert found.causes == ((Cause.PEER_TOO_OLD, 3),)
    row = found.as_row()
    assert {"peer_ip", "peer_name", "diagnosis", "advice", "evidence"} <= set(row)
    assert row["diagnosis"] == "too_old"


# --- for every history --------------------------------------------------------------------------------------------

times = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3)).map(lambda moment: moment.replace(tzinfo=UTC))
moments = st.none() | times
tallies = st.builds(
    lambda count, one, other: Tally(count, *sorted((one, other))) if one and other else Tally(count),
    st.integers(1, 90), moments, moments,
)  # fmt: skip
verdicts = st.builds(
    Verdict, st.sampled_from(Service), st.sampled_from(Door), st.sampled_from(Outcome),
    st.sampled_from([None, "SSLv3", "TLSv1", "TLSv1.2", "TLSv1.3"]),
    st.sampled_from([None, "ECDHE-ECDSA-AES256-SHA", "AES128-SHA", "TLS_AES_256_GCM_SHA384", "x"]),
    st.none() | st.sampled_from([*CAUSES, "{ip}"]) | st.text(max_size=9),
    st.sampled_from(Cause),
)  # fmt: skip
empty_or_tally = st.just(Tally()) | tallies
peers = st.builds(
    PeerHistory, st.sampled_from([f"192.0.2.{n}" for n in range(9)] + ["2001:db8::1", "unknown", "x.x.x.x", ""]),
    st.none() | st.sampled_from(["unknown", "a.shodan.io", OUTLOOK, "mx.example.net", "."]) | st.text(max_size=9),
    st.dictionaries(verdicts, tallies, max_size=6), empty_or_tally, empty_or_tally, empty_or_tally, empty_or_tally,
    st.lists(times, max_size=9), st.lists(st.text(max_size=30), max_size=4),
)  # fmt: skip
histories = st.builds(lambda found: History({peer.ip: peer for peer in found}), st.lists(peers, max_size=9))


@settings(max_examples=300, deadline=None)
@given(histories)
def test_every_failing_peer_gets_exactly_one_diagnosis_and_whole_sentences(history: History) -> None:
    report = diagnose(history)
    rows = [row.ip for row in report.peers]
    assert len(rows) == len(set(rows))
    assert {ip for ip, peer in history.peers.items() if peer.failing} <= set(rows)
    for row in report.peers:
        assert row.advice.endswith(".")
        assert row.outage <= (row.diagnosis not in {Diagnosis.SCANNER, Diagnosis.MONITOR, Diagnosis.RECOVERED})
    for finding in report.server:
        assert finding.detail.endswith(".")


@settings(max_examples=200, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_peers_and_verdicts_changes_nothing(history: History, random: Random) -> None:
    mixed = History()
    for ip in random.sample(sorted(history.peers), len(history.peers)):
        peer = history.peers[ip]
        mixed.peers[ip] = replace(peer, verdicts=dict(random.sample(list(peer.verdicts.items()), len(peer.verdicts))))
    assert diagnose(mixed) == diagnose(history)


@settings(max_examples=200, deadline=None)
@given(histories)
def test_devices_and_visitors_are_never_an_outage(history: History) -> None:
    for row in diagnose(history).peers:
        failing = [verdict for verdict in history.peers[row.ip].verdicts if verdict.outcome in FAILED]
        if failing and all(verdict.service in DEVICES for verdict in failing):
            assert not row.outage
            assert "allow-legacy" not in row.advice
