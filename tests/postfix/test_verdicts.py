"""What mailtls reads from the log that a real Postfix wrote about real clients.

The whole cast meets one Postfix at the same time, so that sessions interleave and processes are used again; then
`mailtlsctl report --format json` must say of each address what that client did. Played at smtpd_tls_loglevel 0, 1
and 2: the verdicts may differ only in what Postfix does not log (version and cipher at 0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from .certificates import KeyType
from .clients import (
    TLS10_ONLY,
    TLS12_RSA_ONLY,
    TLS13_MODERN,
    Act,
    cuts,
    delivers_without_tls,
    falls_back,
    insists,
    monitor,
    rc4_and_3des_only,
    recovers,
    refuses_cleartext,
    rejects_certificate,
    rejects_certificate_afterwards,
    scanner,
    speaks_http,
    sslv3_only,
    stalls,
)
from .configuration import Settings
from .conversation import Server
from .instance import PrivatePostfix
from .verdicts import Report

Kind = tuple[str, str, str | None]
"""Outcome, cause and reason of a session, as CAUSES.md has the words."""

FINE: Kind = ("tls_ok", "none", None)
NO_CIPHER: Kind = ("tls_failed", "no_shared_cipher", "no shared cipher")
TOO_OLD: Kind = ("tls_failed", "peer_too_old", "unsupported protocol")
SSLV3: Kind = ("tls_failed", "peer_too_old", "version too low")
CLEARTEXT: Kind = ("no_starttls", "none", None)
UNKNOWN_CA: Kind = ("tls_failed", "peer_rejects_our_cert", "tlsv1 alert unknown ca")
BAD_CERTIFICATE: Kind = ("tls_failed", "peer_rejects_our_cert", "alert bad certificate")
CUT: Kind = ("tls_failed", "network_cut", "lost connection")
RESET: Kind = ("tls_failed", "network_cut", "Connection reset by peer")
TIMEOUT: Kind = ("tls_failed", "timeout", "Connection timed out")
HTTP: Kind = ("tls_failed", "not_tls", "http request")
SCANNED: tuple[Kind, ...] = (
    ("tls_failed", "peer_too_old", "unknown protocol"),
    SSLV3,
    TOO_OLD,
    NO_CIPHER,
    ("tls_failed", "buggy_or_scanner_peer", "bad key share"),
    HTTP,
    ("tls_failed", "not_tls", "wrong version number"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One client of the play: what it does, through which way in, and the sessions that must be read of it."""

    act: Callable[[PrivatePostfix], Act]
    sessions: tuple[Kind, ...]
    way_in: str = "smtp"
    address: str = ""


def always(act: Act) -> Callable[[PrivatePostfix], Act]:
    """Make an act that does not depend on the server."""
    return lambda _postfix: act


PARTS = {
    "modern": Part(always(insists(TLS13_MODERN)), (FINE,)),
    "rsa_only": Part(always(insists(TLS12_RSA_ONLY, times=3)), (NO_CIPHER,) * 3),
    "tls10_only": Part(always(insists(TLS10_ONLY, times=2)), (TOO_OLD,) * 2),
    "sslv3_only": Part(lambda _: insists(sslv3_only()), (SSLV3,)),
    "rc4_and_3des": Part(lambda _: insists(rc4_and_3des_only()), (NO_CIPHER,)),
    "falls_back": Part(always(falls_back(TLS10_ONLY)), (TOO_OLD, CLEARTEXT)),
    "recovers": Part(always(recovers(TLS10_ONLY, TLS13_MODERN)), (TOO_OLD, FINE)),
    "refuses_cleartext": Part(always(refuses_cleartext(TLS13_MODERN)), (CLEARTEXT,), address="127.2.9.9"),
    "never_asks": Part(always(delivers_without_tls), (CLEARTEXT,)),
    "rejects_issuer": Part(lambda p: rejects_certificate(p.certificates[KeyType.RSA].certificate), (UNKNOWN_CA,)),
    "rejects_name": Part(
        lambda p: rejects_certificate(p.certificates[KeyType.ECDSA].certificate, "mail.other.test"), (BAD_CERTIFICATE,)
    ),
    "rejects_afterwards": Part(always(rejects_certificate_afterwards), (BAD_CERTIFICATE,)),
    "scanner": Part(always(scanner), SCANNED),
    "monitor": Part(always(monitor(visits=4)), (FINE,) * 4),
    "cut": Part(always(cuts(with_reset=False)), (CUT,)),
    "reset": Part(always(cuts(with_reset=True)), (RESET,)),
    "stalls": Part(always(stalls), (TIMEOUT,)),
    "http": Part(always(speaks_http), (HTTP,)),
    "smtps_modern": Part(always(insists(TLS13_MODERN)), (FINE,), "smtps"),
    "smtps_rsa_only": Part(always(insists(TLS12_RSA_ONLY)), (NO_CIPHER,), "smtps"),
    "smtps_cut": Part(always(cuts(with_reset=False)), (CUT,), "smtps"),
    "submission_tls10": Part(always(insists(TLS10_ONLY)), (TOO_OLD,), "submission"),
    "submission_modern": Part(always(insists(TLS13_MODERN)), (FINE,), "submission"),
    "legacy_rsa_only": Part(always(insists(TLS12_RSA_ONLY)), (FINE,), "legacy"),
    "legacy_sslv3": Part(lambda _: insists(sslv3_only()), (SSLV3,), "legacy"),
    "postscreen_tls10": Part(always(insists(TLS10_ONLY)), (TOO_OLD,), "postscreen"),
    "postscreen_http": Part(always(speaks_http), (HTTP,), "postscreen"),
    "postscreen_monitor": Part(always(monitor(visits=1)), (FINE,), "postscreen"),
}

SERVICES = {"smtp": "smtpd", "legacy": "smtpd"}
"""What the report calls a way in, where it is not its own name."""


def address_of(name: str) -> str:
    """Give every part an address of its own."""
    return PARTS[name].address or f"127.2.0.{1 + list(PARTS).index(name)}"


@pytest.fixture(scope="module", params=[0, 1, 2], ids=lambda loglevel: f"loglevel{loglevel}")
def played(request: pytest.FixtureRequest) -> Iterator[tuple[int, Report]]:
    """Let the whole cast meet one Postfix at once; give the loglevel, and the report on its log."""
    loglevel = request.param
    hidden = tuple(part.address for part in PARTS.values() if part.address)
    settings = Settings(loglevel=loglevel, starttls_timeout_s=2, hide_starttls=hidden, port_logging=loglevel == 1)

    with PrivatePostfix(settings) as postfix:

        def play(name: str) -> int:
            part = PARTS[name]
            server = Server(postfix.address, postfix.ports[part.way_in], tls_at_once=part.way_in == "smtps")
            return part.act(postfix)(address_of(name), server).connections

        with ThreadPoolExecutor(8) as stage:
            connections = dict(zip(map(address_of, PARTS), stage.map(play, PARTS), strict=True))
        postfix.wait_for_sessions(connections)
        yield loglevel, Report(postfix.log)


def kinds(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Count the sessions by outcome and cause; a completed handshake after which the peer left counts as fine."""
    counted: Counter[tuple[str, str]] = Counter()
    for row in rows:
        fine = row["outcome"] == "tls_ok" and row["cause"] == "dropped_after_tls"
        counted[row["outcome"], "none" if fine else row["cause"]] += row["count"]
    return counted


def proven(name: str, loglevel: int) -> tuple[Kind, ...]:
    """Say which sessions of a client the log can prove: at level 0 tlsproxy is silent about success."""
    part = PARTS[name]
    silent = loglevel == 0 and part.way_in == "postscreen" and part.sessions == (FINE,)
    return () if silent else part.sessions


@pytest.mark.parametrize("name", PARTS)
def test_outcome_cause_and_count_are_those_of_the_client(played: tuple[int, Report], name: str) -> None:
    loglevel, report = played
    wanted = Counter((outcome, cause) for outcome, cause, _ in proven(name, loglevel))
    assert kinds(report.verdicts(address_of(name))) == wanted


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.sessions[0][0] == "tls_failed"])
def test_the_reason_is_the_one_that_was_logged(played: tuple[int, Report], name: str) -> None:
    _, report = played
    failed = [row for row in report.verdicts(address_of(name)) if row["outcome"] == "tls_failed"]
    wanted = [reason for outcome, _, reason in PARTS[name].sessions if outcome == "tls_failed"]
    for reason in wanted:
        # OpenSSL 3.2 and later say "ssl/tls alert" where earlier ones say "sslv3 alert".
        assert reason is not None
        assert [row for row in failed if row["reason"].endswith(reason)], reason
    assert sum(row["count"] for row in failed) == len(wanted)


@pytest.mark.parametrize("name", PARTS)
def test_service_and_door_are_those_of_the_way_in(played: tuple[int, Report], name: str) -> None:
    loglevel, report = played
    way_in = PARTS[name].way_in
    door = "legacy" if way_in == "legacy" else "strict"
    seen = {(row["service"], row["door"]) for row in report.verdicts(address_of(name))}
    assert seen == {(SERVICES.get(way_in, way_in), door) for _ in proven(name, loglevel)}


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.sessions == (FINE,)])
def test_version_and_cipher_are_told_where_postfix_logs_them(played: tuple[int, Report], name: str) -> None:
    loglevel, report = played
    version = "TLSv1.2" if name == "legacy_rsa_only" else "TLSv1.3"
    for row in report.verdicts(address_of(name)):
        assert row["tls_version"] == (version if loglevel else None)
        assert (row["cipher"] is not None) is (loglevel > 0)


def test_nobody_else_is_blamed_and_every_line_is_understood(played: tuple[int, Report]) -> None:
    _, report = played
    assert {row["peer_ip"] for row in report.whole["verdicts"]} <= {address_of(name) for name in PARTS}
    assert report.whole["lines"]["unknown"] == 0


DIAGNOSES = {
    "rsa_only": "rsa_only_or_weak_ciphers",
    "tls10_only": "too_old",
    "sslv3_only": "sslv3_or_older",
    "rc4_and_3des": "rsa_only_or_weak_ciphers",
    "falls_back": "falls_back_to_cleartext",
    "recovers": "recovered",
    "refuses_cleartext": "refuses_cleartext",
    "rejects_issuer": "rejects_our_certificate",
    "rejects_name": "rejects_our_certificate",
    "rejects_afterwards": "rejects_our_certificate",
    "scanner": "scanner",
    "monitor": "monitor",
    "cut": "network",
    "reset": "network",
    "stalls": "timeout",
    "http": "not_tls",
}


@pytest.mark.parametrize("name", DIAGNOSES)
def test_every_client_is_diagnosed_for_what_it_is(played: tuple[int, Report], name: str) -> None:
    _, report = played
    peer = report.peer(address_of(name))
    assert peer is not None
    assert peer["diagnosis"] == DIAGNOSES[name]


def test_clients_without_trouble_have_no_diagnosis(played: tuple[int, Report]) -> None:
    _, report = played
    for name in ("modern", "never_asks", "legacy_rsa_only", "submission_modern"):
        assert report.peer(address_of(name)) is None, name


BROKEN = {
    "protocol list": {"smtpd_tls_protocols": "!SSLv2, TLSv9"},
    "missing chain file": {"smtpd_tls_chain_files": "/nonexistent/mx.pem"},
    "missing certificate": {"smtpd_tls_chain_files": "", "smtpd_tls_cert_file": "/nonexistent/mx.pem"},
    "bad CA file": {"smtpd_tls_CAfile": "/nonexistent/ca.pem"},
    "no certificate": {"smtpd_tls_chain_files": ""},
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_fault_of_the_server_is_charged_to_no_client(fault: str) -> None:
    with PrivatePostfix(Settings(extra=BROKEN[fault])) as postfix:
        server = Server(postfix.address, postfix.ports["smtp"])
        connections = falls_back(TLS13_MODERN)("127.2.0.1", server).connections
        postfix.wait_for_sessions({"127.2.0.1": connections})
        report = Report(postfix.log)
    assert {row["outcome"] for row in report.verdicts(None)} == {"server_tls_broken"}
    assert report.whole["server"]
    assert not [row for row in report.verdicts("127.2.0.1") if row["outcome"] == "tls_failed"]
