"""`mailtlsctl probe` against real servers: the matrix is what each of them takes, tried one handshake at a time."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctl.program import mailtlsctl
from mailtls.core.serverprofile import GATEWAY
from mailtls.core.tlsversion import SSLV3, TLS10, TLS11, TLS12
from mailtls.core.tlsversion import name_of as version_name
from mailtls.edge.nss import SUITES, capability

from .certificates import Certificate, KeyType, make_certificate
from .configuration import Settings
from .dovecot import PrivateDovecot, version_of_dovecot, why_no_dovecot
from .instance import PrivatePostfix, why_not
from .oldserver import old_server
from .test_gateway import house
from .trying import taken

needs_postfix = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
needs_dovecot = pytest.mark.skipif(why_no_dovecot() is not None, reason=why_no_dovecot() or "")

NEWEST = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


def probe(port: int, service: str = "smtp", *more: str, status: int = 0) -> dict[str, Any]:
    """Probe a port of this machine; the status must be as said."""
    seen = mailtlsctl("probe", f"127.0.0.1:{port}", "--service", service, "--delay", "0", "--json", *more)
    assert seen.returncode == status, seen.stdout[-3000:] + seen.stderr
    answer: dict[str, Any] = json.loads(seen.stdout)
    assert answer["complete"], answer["stopped"]
    return answer


def matrix(answer: dict[str, Any]) -> dict[str, set[str]]:
    return {row["version"]: set(row["ciphers"]) for row in answer["versions"] if row["offered"]}


def orders(answer: dict[str, Any]) -> set[str]:
    return {row["order"] for row in answer["versions"] if row["offered"]}


def digest(certificate: Certificate) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())).hexdigest()


def shown(answer: dict[str, Any]) -> dict[str, str]:
    return {row["kind"]: row["sha256"] for row in answer["certificates"]}


def curves(answer: dict[str, Any]) -> list[set[str]]:
    """Groups by version; newer versions of Postfix add others for TLS 1.3 alone (tls_ffdhe_auto_groups, ML-KEM)."""
    return [{name for name in row["groups"] if not name.startswith("ffdhe") and "MLKEM" not in name}
            for row in answer["groups"]]  # fmt: skip


def findings(answer: dict[str, Any]) -> list[str]:
    return [row["finding"] for row in answer["findings"]]


# --- Postfix ---------------------------------------------------------------------------------------------------------

SERVER_ORDER = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "DHE-RSA-AES128-SHA", "AES128-SHA")
ORDERED = {
    "smtp": (
        "tls_preempt_cipherlist=yes", f"tls_medium_cipherlist={':'.join(SERVER_ORDER)}",
        "tls_eecdh_auto_curves=prime256v1,secp384r1", "smtpd_tls_exclude_ciphers=aNULL", "tls_ssl_options=NO_TICKET",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def postfix() -> Iterator[PrivatePostfix]:
    with PrivatePostfix(Settings(key_types=(KeyType.ECDSA, KeyType.RSA), protocols=">=TLSv1")) as made:
        yield made


@needs_postfix
@pytest.mark.parametrize("service", ["smtp", "smtps"])
def test_the_matrix_of_a_postfix_is_what_it_takes(postfix: PrivatePostfix, service: str) -> None:
    port = postfix.ports[service]
    anonymous = {"smtp": 0, "smtps": 1}[service]
    answer = probe(port, service, status=anonymous)
    assert matrix(answer) == taken(port, service) | {"TLSv1.3": NEWEST}
    assert orders(answer) == {"client"}
    assert shown(answer) == {kind.upper(): digest(postfix.certificates[kind]) for kind in KeyType}
    assert {tuple(row["names"]) for row in answer["certificates"]} == {("mx.example.test",)}
    assert curves(answer) == [{"P-256", "P-384", "P-521", "X25519", "X448"}] * 2
    assert answer["tickets"] == dict.fromkeys(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), True)
    assert answer["starttls_injection"] == (None if service == "smtps" else "safe")
    assert findings(answer) == (["anonymous-cipher"] if service == "smtps" else [])


@needs_postfix
def test_a_postfix_with_an_order_of_its_own_is_seen_to_have_it() -> None:
    with PrivatePostfix(Settings(key_types=(KeyType.ECDSA, KeyType.RSA), options=ORDERED)) as made:
        answer = probe(made.ports["smtp"])
    rows = {row["version"]: row for row in answer["versions"]}
    assert tuple(rows["TLSv1.2"]["ciphers"]) == SERVER_ORDER
    assert rows["TLSv1.2"]["order"] == "server"
    assert [rows[old]["offered"] for old in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")] == [False] * 4
    assert curves(answer) == [{"P-256", "P-384"}] * 2
    assert answer["dh_prime_bits"] == 2048
    assert answer["tickets"]["TLSv1.2"] is False


@needs_postfix
@pytest.mark.parametrize("kind", KeyType)
def test_a_postfix_with_one_certificate_shows_that_one(kind: KeyType) -> None:
    options = {"smtp": ("smtpd_tls_exclude_ciphers=aNULL",)}
    with PrivatePostfix(Settings(key_types=(kind,), options=options)) as made:
        answer = probe(made.ports["smtp"])
        assert shown(answer) == {kind.upper(): digest(made.certificates[kind])}
        assert matrix(answer)["TLSv1.2"] == taken(made.ports["smtp"], "smtp")["TLSv1.2"]
        assert curves(answer)[0] == {"P-256", "P-384", "P-521", "X25519", "X448"}


@needs_postfix
def test_a_postfix_with_tls_1_3_only_shows_its_certificate_all_the_same() -> None:
    with PrivatePostfix(Settings(key_types=(KeyType.RSA,), protocols=">=TLSv1.3")) as made:
        answer = probe(made.ports["smtp"])
        assert matrix(answer) == {"TLSv1.3": NEWEST}
        assert shown(answer) == {"RSA": digest(made.certificates[KeyType.RSA])}


@needs_postfix
def test_postscreen_answers_as_well() -> None:
    extra = {"postscreen_greet_wait": "1s", "postscreen_access_list": "static:permit"}
    with PrivatePostfix(Settings(extra=extra)) as made:
        answer = probe(made.ports["postscreen"], "smtp", "--timeout", "30")
        assert matrix(answer)["TLSv1.3"] == NEWEST


@needs_postfix
def test_a_postfix_whose_tls_is_off_says_so_itself() -> None:
    with PrivatePostfix(Settings(protocols="!SSLv2, TLSv9")) as made:
        answer = probe(made.ports["smtp"], status=1)
    assert findings(answer) == ["no-starttls"]
    assert "454 4.7.0 TLS not available due to local problem" in answer["findings"][0]["seen"]


@needs_postfix
def test_a_probe_is_taken_for_a_scanner_and_for_nothing_else() -> None:
    with PrivatePostfix(Settings()) as made:
        opened = probe(made.ports["smtp"])["connections"]
        made.wait_for_sessions({"127.0.0.1": opened})
        report = json.loads(mailtlsctl("report", "--format", "json", made.log).stdout)
    assert [(peer["peer_ip"], peer["diagnosis"]) for peer in report["peers"]] == [("127.0.0.1", "scanner")]
    assert report["lines"]["unknown"] == 0
    assert report["server"] == []


@needs_postfix
def test_what_is_printed_fits_80_columns_and_says_what_is_weak(postfix: PrivatePostfix) -> None:
    seen = mailtlsctl(
        "probe", f"127.0.0.1:{postfix.ports['smtps']}", "--service", "smtps", "--delay", "0", COLUMNS="80"
    )
    lines = seen.stdout.splitlines()
    assert (seen.returncode, seen.stderr) == (1, "")
    assert max(map(len, lines)) <= 80
    assert "  TLSv1.3  offered, 3 suites, in the client's order" in lines
    assert "  ECDHE-ECDSA-CHACHA20-POLY1305       -       -       x       -" in lines
    assert any(line.startswith("  anonymous-cipher: ADH-") for line in lines)


# --- Dovecot ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dovecot() -> Iterator[PrivateDovecot]:
    with PrivateDovecot("ssl_min_protocol = TLSv1\nssl_cipher_list = ALL:!aNULL:!eNULL:@SECLEVEL=0\n") as made:
        yield made


@needs_dovecot
@pytest.mark.parametrize("service", ["imap", "imaps", "pop3", "pop3s"])
def test_the_matrix_of_a_dovecot_is_what_it_takes(dovecot: PrivateDovecot, service: str) -> None:
    answer = probe(dovecot.ports[service], service)
    assert matrix(answer) == truth_of(dovecot) | {"TLSv1.3": NEWEST}
    assert shown(answer) == {kind.upper(): digest(dovecot.certificates[kind]) for kind in KeyType}
    assert answer["starttls_injection"] == ("safe" if service in ("imap", "pop3") else None)
    assert findings(answer) == []


_truth: dict[int, dict[str, set[str]]] = {}


def truth_of(dovecot: PrivateDovecot) -> dict[str, set[str]]:
    """All four services have the same settings: try them once."""
    port = dovecot.ports["imaps"]
    if port not in _truth:
        _truth[port] = taken(port, "imaps")
    return _truth[port]


@needs_dovecot
def test_a_dovecot_that_prefers_its_own_order_is_seen_to() -> None:
    own = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256")
    older = version_of_dovecot().startswith("2.3.")
    prefer = "ssl_prefer_server_ciphers = yes" if older else "ssl_server_prefer_ciphers = server"
    with PrivateDovecot(f"{prefer}\nssl_cipher_list = {':'.join(own)}\n") as made:
        rows = {row["version"]: row for row in probe(made.ports["imaps"], "imaps")["versions"]}
    assert (tuple(rows["TLSv1.2"]["ciphers"]), rows["TLSv1.2"]["order"]) == (own, "server")


# --- SSLv3, which this system's OpenSSL cannot speak -------------------------------------------------------------------


@needs_postfix
@pytest.mark.skipif(capability() is not None, reason=capability() or "")
def test_the_matrix_of_the_gateway_in_nss_has_sslv3_and_all_its_suites() -> None:
    with house() as made:
        answer = probe(made.door.port, status=1)
    versions = (SSLV3, TLS10, TLS11, TLS12)
    assert matrix(answer) == {
        version_name(version): {suite.name for suite in GATEWAY.ciphers if suite.serves(version)} for version in versions
    }
    assert {name for names in matrix(answer).values() for name in names} == set(SUITES)
    assert findings(answer) == ["sslv3"]
    assert [row["kind"] for row in answer["certificates"]] == ["RSA"]


@pytest.fixture(scope="module")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("rsa"), KeyType.RSA)


def test_a_server_of_another_make_with_sslv3_rc4_and_3des_is_seen_as_it_is(rsa: Certificate) -> None:
    with old_server(rsa, ["rc4", "3des", "aes128"]) as server:
        answer = probe(server.port, status=1)
    taken_there = {"RC4-SHA", "RC4-MD5", "DES-CBC3-SHA", "AES128-SHA"}
    assert matrix(answer) == {"SSLv3": taken_there, "TLSv1": taken_there}
    assert findings(answer) == ["sslv3"]
    assert shown(answer) == {"RSA": digest(rsa)}


def test_the_probe_of_a_script_is_the_same_twice(rsa: Certificate, tmp_path: Path) -> None:
    with old_server(rsa, ["3des"]) as server:
        first, second = (probe(server.port, status=1) for _ in range(2))
    assert first == second


def test_the_probe_agrees_with_openssl_s_client(rsa: Certificate) -> None:
    """What openssl(1) says of the same server, where it can speak to it."""
    with old_server(rsa, ["aes128"]) as server:
        answer = probe(server.port, status=1)
        command = ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{server.port}", "-tls1", "-cipher",
                   "ALL:@SECLEVEL=0"]  # fmt: skip
        said = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=30).stdout
    assert "AES128-SHA" in matrix(answer)["TLSv1"]
    assert "Cipher is AES128-SHA" in said
