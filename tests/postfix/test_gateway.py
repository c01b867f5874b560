"""The gateway between real clients and a real Postfix: SSLv3, RC4 and 3DES come in, and Postfix sees who it is."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import TLSVersion

import pytest

from mailtls.edge.nss import capability
from mailtls.service.applygateway import CERTIFICATE, KEY, GatewayMeans

from .configuration import ADDRESS, Settings
from .conversation import Conversation, Handshake, HandshakeFailed, Server
from .handshakes import SSLV3, openssl, tlslite
from .instance import PrivatePostfix, reserved_ports, wait_until, why_not

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
    pytest.mark.skipif(capability() is not None, reason=capability() or ""),
]

BACKEND = """\
gateway    unix  n           -  n  -     -  smtpd
  -o syslog_name=postfix/mailtls-backend
  -o smtpd_upstream_proxy_protocol=haproxy
  -o smtpd_tls_security_level=none
  -o smtpd_sasl_auth_enable=no
"""
TLS10 = (3, 1)
PEER = "127.0.9.1"


@dataclass(frozen=True)
class House:
    """A Postfix with the gateway before it; `log`: what the gateway says."""

    postfix: PrivatePostfix
    door: Server
    log: Path
    process: subprocess.Popen[bytes]

    def says(self, pattern: str) -> bool:
        return wait_until(lambda: re.search(pattern, self.log.read_text()) is not None)

    def call(self, source: str = PEER) -> Conversation:
        return Conversation(source, self.door)


@contextmanager
def house(section: str = "") -> Iterator[House]:
    with PrivatePostfix(Settings(services=BACKEND)) as postfix, ExitStack() as reservation:
        place = postfix.directory
        key, certificate = (place / f"gateway.{kind}.der" for kind in ("key", "certificate"))
        rsa = next(each for kind, each in postfix.certificates.items() if kind == "rsa")
        for command in (
            ("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", rsa.key, "-outform", "DER", "-out", key),
            ("openssl", "x509", "-in", rsa.certificate, "-outform", "DER", "-out", certificate),
        ):
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        (port,) = reserved_ports(1, reservation)
        reservation.close()
        configuration, log = place / "mailtls.toml", place / "gateway.log"
        configuration.write_text(
            f'[gateway]\nlisten = ["{ADDRESS}:{port}"]\nbackend = "{place}/queue/public/gateway"\n{section}'
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "mailtls.gateway", "--config", configuration, "--key", key, "--certificate",
                 certificate], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            assert wait_until(lambda: process.poll() is not None or answers(port)), "the gateway does not listen"
            assert process.poll() is None, log.read_text()
            yield House(postfix, Server(ADDRESS, port), log, process)
        finally:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection((ADDRESS, port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def common() -> Iterator[House]:
    with house() as made:
        yield made


OLD: dict[str, tuple[Handshake, str]] = {
    "127.0.9.11": (tlslite(SSLV3, SSLV3, ("aes128",)), "SSLv3 with cipher AES128-SHA (128/128 bits)"),
    "127.0.9.12": (tlslite(SSLV3, SSLV3, ("3des",)), "SSLv3 with cipher DES-CBC3-SHA (168/168 bits)"),
    "127.0.9.13": (tlslite(SSLV3, SSLV3, ("rc4",)), "SSLv3 with cipher RC4-SHA (128/128 bits)"),
    "127.0.9.14": (tlslite(TLS10, TLS10, ("rc4",)), "TLSv1 with cipher RC4-SHA (128/128 bits)"),
    "127.0.9.15": (tlslite(TLS10, TLS10, ("3des",)), "TLSv1 with cipher DES-CBC3-SHA (168/168 bits)"),
    "127.0.9.16": (openssl(TLSVersion.TLSv1_2, "AES256-SHA"), "TLSv1.2 with cipher AES256-SHA (256/256 bits)"),
}


@pytest.mark.parametrize("source", OLD)
def test_an_old_client_delivers_and_postfix_sees_who_it_is(common: House, source: str) -> None:
    handshake, agreed = OLD[source]
    with common.call(source) as client:
        client.secure(handshake)
        client.deliver()
        client.quit()
    assert common.says(re.escape(f"Anonymous TLS connection established from [{source}]:") + r"\d+: " + re.escape(agreed))
    assert common.says(rf"DISCONNECT \[{re.escape(source)}\]:\d+")
    common.postfix.wait_for(rf"mailtls-backend/smtpd.*: \w+: client=unknown\[{re.escape(source)}\]")


def test_postfix_offers_neither_starttls_nor_auth_inside(common: House) -> None:
    with common.call() as client:
        client.greet()
        assert "STARTTLS" in client.keywords
        assert not client.keywords & {"PIPELINING", "AUTH", "CHUNKING"}
        client.secure(tlslite(SSLV3, SSLV3, ("aes128",)))
        assert "STARTTLS" not in client.keywords
        assert {"PIPELINING", "SIZE"} <= client.keywords


@pytest.mark.parametrize(
    ("handshake", "reason"),
    [
        (openssl(TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"), "0A0000C1:SSL routines::no shared cipher"),
        (openssl(TLSVersion.TLSv1_3), "0A000102:SSL routines::unsupported protocol"),
    ],
)
def test_whoever_needs_no_gateway_fails_in_openssls_words(common: House, handshake: Handshake, reason: str) -> None:
    with common.call("127.0.9.20") as client, pytest.raises(HandshakeFailed):
        client.secure(handshake)
    assert common.says(re.escape(reason))
    assert common.says(r"TLS handshake failed for service=smtpd peer=\[127\.0\.9\.20\]:\d+")


def test_mailtlsctl_reads_what_the_gateway_says(common: House, tmp_path: Path) -> None:
    with common.call("127.0.9.30") as client:
        client.secure(tlslite(SSLV3, SSLV3, ("rc4",)))
    with common.call("127.0.9.30") as client, pytest.raises(HandshakeFailed):
        client.secure(openssl(TLSVersion.TLSv1_3))
    assert common.says(r"(DISCONNECT \[127\.0\.9\.30\](.|\n)*){2}")
    log = tmp_path / "mail.log"
    header = "Nov 21 00:00:00 mx mailtls-sslv3/tlsproxy[7]: "
    log.write_text("".join(f"{header}{line}\n" for line in common.log.read_text().splitlines()))
    asked = [sys.executable, "-m", "mailtls.ctl", "report", "--format", "json", log]
    report = json.loads(subprocess.run(asked, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout)
    found = {
        (each["service"], each["door"], each["outcome"], each["tls_version"], each["cause"])
        for each in report["verdicts"]
        if each["peer_ip"] == "127.0.9.30"
    }
    assert found == {
        ("smtpd", "sslv3", "tls_ok", "SSLv3", "none"),
        ("smtpd", "sslv3", "tls_failed", None, "peer_too_old"),
    }
    assert report["lines"]["unknown"] == 0


def test_commands_behind_starttls_end_the_session(common: House) -> None:
    with common.call() as client:
        client.greet()
        client.send(b"STARTTLS\r\nMAIL FROM:<evil@peer.test>\r\n")
        assert client.wait_for_close().startswith(b"421 4.7.0")


def test_a_client_that_starts_no_tls_delivers_in_clear(common: House) -> None:
    with common.call("127.0.9.21") as client:
        client.greet()
        client.deliver()
        assert client.say("STARTTLS").startswith("502")
    common.postfix.wait_for(r"mailtls-backend/smtpd.*client=unknown\[127\.0\.9\.21\]")


def test_nobody_authenticates(common: House) -> None:
    with common.call() as client:
        client.secure(tlslite(SSLV3, SSLV3, ("aes128",)))
        assert client.say("AUTH PLAIN AGEAYg==")[:3] in ("502", "503")


def test_a_large_message_comes_through_whole(common: House) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    count = 5_000_000 // len(line)
    with common.call("127.0.9.22") as client:
        client.secure(openssl(TLSVersion.TLSv1_2, "AES128-SHA"))
        for command in ("MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA"):
            assert client.say(command)[:1] in "23"
        client.send(b"Subject: large\r\n\r\n" + line * count)
        assert client.say(".").startswith("250")
    common.postfix.wait_for(r"qmgr.*size=5\d{6}")


def test_garbage_in_place_of_a_handshake_fails_and_nobody_else_notices(common: House) -> None:
    with common.call("127.0.9.23") as client, common.call("127.0.9.24") as other:
        client.approach()
        client.send(b"MAIL FROM:<a@peer.test>\r\n" + bytes(range(256)) * 8)
        client.wait_for_close()
        other.secure(tlslite(SSLV3, SSLV3, ("rc4",)))
        other.deliver()
    assert common.says(r"TLS handshake failed for service=smtpd peer=\[127\.0\.9\.23\]")


def test_a_client_that_cuts_the_connection_leaves_nothing_behind(common: House) -> None:
    for _ in range(20):
        with common.call("127.0.9.25") as client:
            client.secure(tlslite(SSLV3, SSLV3, ("rc4",)))
            client.reset()
    descriptors = Path(f"/proc/{common.process.pid}/fd")
    with common.call("127.0.9.26") as client:
        client.greet()
    assert wait_until(lambda: len(list(descriptors.iterdir())) < 16)


def test_where_postfix_is_down_the_client_is_told_to_come_back() -> None:
    with house() as made:
        with made.call() as waiting:
            waiting.secure(tlslite(SSLV3, SSLV3, ("aes128",)))
            (made.postfix.directory / "queue/public/gateway").unlink()
            with made.call("127.0.9.2") as client:
                assert client.hear().startswith("421 4.3.2")
            assert waiting.say("NOOP").startswith("250"), "who is in goes on"
        assert made.says("queue/public/gateway: no such file or directory")


SECTION = """\
demand_tls = true
sessions = 3
per_address = 2
[[gateway.peers]]
network = "127.0.9.3"
lowest = "TLSv1"
ciphers = ["RC4-SHA"]
"""


def test_terms_and_limits_are_kept() -> None:
    with house(SECTION) as made:
        with made.call() as client:
            client.greet()
            assert client.say("MAIL FROM:<a@peer.test>").startswith("530 5.7.0")
        with made.call("127.0.9.3") as client, pytest.raises(HandshakeFailed):
            client.secure(tlslite(SSLV3, SSLV3, ("rc4",)))
        with made.call("127.0.9.3") as client, pytest.raises(HandshakeFailed):
            client.secure(tlslite(TLS10, TLS10, ("3des",)))
        with made.call("127.0.9.3") as client:
            client.secure(tlslite(TLS10, TLS10, ("rc4",)))
        with ExitStack() as open_ones:
            for source in ("127.0.9.4", "127.0.9.4"):
                open_ones.enter_context(made.call(source)).greet()
            assert made.call("127.0.9.4").hear().startswith("421 4.7.0")
            open_ones.enter_context(made.call("127.0.9.5")).greet()
            assert made.call("127.0.9.6").hear().startswith("421 4.7.0")


def test_a_message_waits_where_postfix_is_slow_and_memory_stays_bounded() -> None:
    with house() as made, made.call() as client:
        client.secure(openssl(TLSVersion.TLSv1_2, "AES128-SHA"))
        for command in ("MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA"):
            assert client.say(command)[:1] in "23"
        smtpd = serving(made, PEER)
        os.kill(smtpd, signal.SIGSTOP)
        try:
            client.hurry(1.0)
            sent, piece = 0, (b"x" * 70 + b"\r\n") * 200
            with pytest.raises(TimeoutError):
                while sent < 64_000_000:
                    client.send(piece)
                    sent += len(piece)
            assert sent < 32_000_000
        finally:
            os.kill(smtpd, signal.SIGCONT)
        status = Path(f"/proc/{made.process.pid}/status").read_text()
        assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 120_000  # type: ignore[index]


def serving(made: House, ip: str) -> int:
    """Find the smtpd that serves this client, by its last line."""
    found = [line for line in made.postfix.lines() if f"connect from unknown[{ip}]" in line and "disconnect" not in line]
    return int(re.search(r"smtpd\[(\d+)\]", found[-1])[1])  # type: ignore[index]


@pytest.mark.parametrize("port", ["70000", "smtp"])
def test_a_port_that_is_none_is_said_in_one_sentence(tmp_path: Path, port: str) -> None:
    GatewayMeans().make_key(tmp_path, ("mx.example.test",))
    configuration = tmp_path / "mailtls.toml"
    configuration.write_text(f'[gateway]\nlisten = ["127.0.0.1:{port}"]\n')
    run = subprocess.run(
        [sys.executable, "-m", "mailtls.gateway", "--config", configuration, "--key", tmp_path / KEY, "--certificate",
         tmp_path / CERTIFICATE],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stdout.startswith(f'fatal: [gateway] listen = "127.0.0.1:{port}": {port} is no port;')
    assert run.stderr == ""


def test_a_key_that_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mailtls.gateway", "--key", tmp_path / "none", "--certificate", tmp_path / "none"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stdout == f"fatal: {tmp_path}/none: no such file or directory; mailtlsctl setup makes it\n"
    assert run.stderr == ""


def test_a_key_that_serves_nobody_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Every suite of this door is with RSA key exchange."""
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=mx")
    for command in (
        (*new, "-keyout", "key.pem", "-out", "certificate.pem"),
        ("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key"),
        ("openssl", "x509", "-in", "certificate.pem", "-outform", "DER", "-out", "certificate"),
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    configuration = tmp_path / "mailtls.toml"
    configuration.write_text('[gateway]\nlisten = ["127.0.0.1:0"]\n')
    run = subprocess.run(
        [sys.executable, "-m", "mailtls.gateway", "--config", configuration, "--key", tmp_path / "key", "--certificate",
         tmp_path / "certificate"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stdout.startswith("fatal: the key of the sslv3 door is no RSA key, and all its suites need one; mailtlsctl")
    assert run.stderr == ""
