"""What services offer, from a real configuration: port 25, postscreen, doors, -o options, and what cannot be read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mailtls.core.serverprofile import SECP256R1, SigningKey
from mailtls.core.tlsversion import TLS10, TLS11, TLS12, TLS13
from mailtls.edge.serviceprofile import OfferingService, offering_services
from mailtls.errors import ConfigError, PostfixError

pytestmark = pytest.mark.skipif(shutil.which("postconf") is None, reason="Debian's package postfix is not installed")

MX = "127.0.0.1:25 inet n - n - - smtpd"
DOOR = """\
127.0.0.1:10225 inet n - n - - smtpd
  -o syslog_name=postfix/mailtls-legacy
  -o smtpd_tls_protocols=>=TLSv1
  -o smtpd_restriction_classes=mailtls_waived
  -o mailtls_waived=permit
"""
SUBMISSION = "127.0.0.1:465 inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for kind, key in (("rsa", ("rsa:1024",)), ("ecdsa", ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"))):
        command = ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-subj", "/CN=mx", "-keyout", f"{kind}.key",
                   "-out", f"{kind}.crt"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, stdin=subprocess.DEVNULL)
        (tmp_path / f"{kind}.pem").write_text("".join((tmp_path / f"{kind}.{n}").read_text() for n in ("key", "crt")))
    return tmp_path


def services(place: Path, master: str, *lines: str, named: tuple[str, ...] = ()) -> tuple[OfferingService, ...]:
    main = ["compatibility_level = 3.6", "inet_protocols = ipv4", "smtpd_tls_security_level = may",
            f"smtpd_tls_chain_files = {place}/rsa.pem, {place}/ecdsa.pem", "smtpd_tls_protocols = >=TLSv1.2"]  # fmt: skip
    (place / "main.cf").write_text("\n".join((*main, *lines, "")))
    (place / "master.cf").write_text(master)
    os.utime(place / "main.cf", (1, 1))  # what is younger than two seconds is waited for
    return offering_services(place, named)


def test_port_25_and_its_doors_are_asked_each_with_its_own_options(place: Path) -> None:
    mx, door = services(place, f"{MX}\n{DOOR}{SUBMISSION}")
    assert (mx.entrance.name, mx.entrance.host, mx.entrance.port) == ("127.0.0.1:25", "127.0.0.1", 25)
    assert mx.profile.versions == {TLS12, TLS13}
    assert door.profile.versions == {TLS10, TLS11, TLS12, TLS13}
    assert mx.profile.keys[0].bits == 1024
    assert [key.kind for key in mx.profile.keys] == [SigningKey.RSA, SigningKey.ECDSA]


def test_behind_postscreen_the_smtpd_counts_that_serves_the_clients(place: Path) -> None:
    master = "127.0.0.1:25 inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n  -o smtpd_tls_protocols=TLSv1.3\n"
    (mx,) = services(place, master)
    assert (mx.entrance.port, mx.profile.versions) == (25, {TLS13})


def test_a_service_that_is_named_is_asked_alone_and_begins_with_tls_where_it_does(place: Path) -> None:
    (found,) = services(place, f"{MX}\n{SUBMISSION}", named=("127.0.0.1:465",))
    assert found.entrance.tls_at_once


def test_exclusions_groups_and_preference_are_read(place: Path) -> None:
    lines = ("smtpd_tls_exclude_ciphers = aNULL, kRSA", "tls_eecdh_auto_curves = prime256v1",
             "tls_preempt_cipherlist = yes", f"smtpd_tls_chain_files = {place}/ecdsa.pem")  # fmt: skip
    (mx,) = services(place, f"{MX}\n", *lines)
    assert SECP256R1 in mx.profile.groups
    assert 0x001D not in mx.profile.groups
    assert mx.profile.preempt
    assert not [suite.name for suite in mx.profile.ciphers if suite.name in ("AES128-SHA", "ADH-AES128-SHA")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("smtpd_tls_chain_files = /nowhere/at/all.pem", "/nowhere/at/all.pem: no such file or directory"),
        ("smtpd_tls_security_level = none", "TLS is off there"),
        ("smtpd_tls_protocols = >= TLSv1.2", "TLS is off there"),
        ("smtpd_upstream_proxy_protocol = haproxy", "stands behind a proxy"),
        ("smtpd_tls_exclude_ciphers = ALL, TLSv1.3", "means no cipher"),
    ],
)
def test_what_cannot_be_asked_is_said(place: Path, line: str, words: str) -> None:
    if line.startswith("smtpd_tls_protocols"):
        line = "smtpd_tls_protocols = nonsense"
    with pytest.raises((ConfigError, PostfixError), match=words):
        services(place, f"{MX}\n", line)


def test_no_port_25_and_no_directory_are_said(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no service of master\.cf listens on port 25"):
        services(place, SUBMISSION)
    with pytest.raises(ConfigError, match="is Postfix installed"):
        offering_services(tmp_path / "none")
