"""`mailtlsctl hello` on what tcpdump recorded of real clients at a real Postfix."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.ctl.program import mailtlsctl

from mailtls.core.postfixview import Offering
from mailtls.edge.capturefile import CaptureFile

from .clients import TLS10_ONLY, TLS12_RSA_ONLY, TLS13_MODERN, secured, sslv3_only
from .conversation import Handshake, Server
from .handshakes import openssl
from .instance import PrivatePostfix, wait_until
from .profiles import PROFILES, cipher_list, settings_for

TCPDUMP = shutil.which("tcpdump") or shutil.which("tcpdump", path="/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(TCPDUMP is None, reason="Debian's package tcpdump is not installed")

STRICT = next(profile for profile in PROFILES if profile.name == "strict")
CAST: dict[str, tuple[Handshake, str | None]] = {
    "127.3.0.1": (TLS13_MODERN, "strict"),
    "127.3.0.2": (TLS12_RSA_ONLY, "rsa-beside"),
    "127.3.0.3": (TLS10_ONLY, "legacy"),
    "127.3.0.4": (sslv3_only(), "sslv3"),
    "127.3.0.5": (openssl(ssl.TLSVersion.TLSv1_2, "ECDHE+aECDSA+AESGCM"), "strict"),
}
"""The clients, and the narrowest door of each at a strict service with an ECDSA certificate."""


@contextmanager
def recording(file: Path, link: str, port: int, hellos: int) -> Iterator[None]:
    """Record a port while the block runs, and until so many hellos are there; `link`: lo, or any (Linux cooked)."""
    assert TCPDUMP is not None
    # Without waiting, the kernel's ring has room for packets of the longest length only: few, unless that is short.
    quick = ["-U", "--immediate-mode", "-s", "4096", "-B", "16384"]
    command = [TCPDUMP, "-i", link, *quick, "-Z", "root", "-w", str(file), f"tcp port {port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr is not None
        heard = tcpdump.stderr.readline()
        while heard and "listening on" not in heard:
            heard = tcpdump.stderr.readline()
        assert heard, "tcpdump ended before it listened"
        yield
        wait_until(lambda: sum(1 for _ in CaptureFile(str(file), [port]).hellos()) == hellos)
        tcpdump.terminate()


def config_of(place: Path) -> Path:
    """Write what setup would have found of the strict service."""
    names = tuple(suite.name for suite in cipher_list(":".join((STRICT.cipherlist, *(f"!{w}" for w in STRICT.exclude)))))
    offering = Offering(versions=("TLSv1.2", "TLSv1.3"), certificates=("ECDSA",), ciphers=names)  # type: ignore[arg-type]
    words = json.loads(offering.model_dump_json())
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in words.items())
    file = place / "mailtls.toml"
    file.write_text(f'root = "{place}"\n[postfix.strict]\n{lines}')
    return file


@pytest.mark.parametrize("link", ["lo", "any"])
@pytest.mark.parametrize("way", ["smtp", "smtps"])
def test_every_clients_narrowest_door_is_told_from_what_tcpdump_recorded(tmp_path: Path, link: str, way: str) -> None:
    """What is said of the strict door is what came about there; STARTTLS and TLS at once, Ethernet and cooked."""
    file = tmp_path / "mail.pcap"
    settings, _ = settings_for((STRICT, STRICT))
    with PrivatePostfix(settings) as postfix:
        server = Server(postfix.address, postfix.ports[way], tls_at_once=way == "smtps")
        with recording(file, link, server.port, len(CAST)):
            failed = {address: secured(address, server, shake) for address, (shake, _) in CAST.items()}
    ran = mailtlsctl("hello", "--json", "--config", config_of(tmp_path), "--port", str(server.port), file)
    assert ran.returncode == 0, ran.stderr
    rows = {row["peer_ip"]: row for row in json.loads(ran.stdout)["hellos"]}
    assert {ip: row["narrowest"] for ip, row in rows.items()} == {ip: way for ip, (_, way) in CAST.items()}
    assert {ip: row["doors"][0]["accepts"] for ip, row in rows.items()} == {ip: why is None for ip, why in failed.items()}
    assert {row["starttls"] for row in rows.values()} == {way == "smtp"}
