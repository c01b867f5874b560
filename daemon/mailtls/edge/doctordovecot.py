"""Dovecot as the doctor reads it: doveconf(1), and one handshake with the server that runs.

`doveconf -n` prints what is set; only `-nx` reads the files behind `<`, and so finds what a start would die of. Its
output holds keys and is thrown away.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

from mailtls.core.doctordovecot import CIPHERS, CURVES, DovecotFacts, parse_doveconf
from mailtls.edge.openssl import ask
from mailtls.edge.postconf import PATH
from mailtls.errors import PostfixError

PLACE = "/etc/dovecot/dovecot.conf"
PATIENCE_S = 15.0
HANDSHAKE_S = 5.0
MOST_WORDS = 12
IMPLICIT = {"imap": ("imaps", 993), "pop3": ("pop3s", 995)}
_GROUPS = frozenset({"x25519", "x448", "p-256", "p-384", "p-521", "ffdhe2048", "ffdhe3072", "ffdhe4096"})


def read_dovecot(place: Path) -> DovecotFacts | str | None:
    """Read the configuration; None where there is none, or a clause why it cannot be read. Raises PostfixError."""
    if not place.is_file():
        return None
    if shutil.which("doveconf", path=PATH) is None:
        return "there is no doveconf on this machine"
    status, printed, words = _doveconf(place, "-nP")
    if any("ermission denied" in word for word in words):
        return "no permission"
    version = _version(_run("dovecot", "--version")[1])
    if status:
        return DovecotFacts(str(place), version, (), fatal=words)
    settings = parse_doveconf(printed)
    status, _, said = _doveconf(place, "-nx")
    lists = {each.value for each in settings if each.name == CIPHERS and each.value}
    curves = {each.value for each in settings if each.name == CURVES and each.value}
    return DovecotFacts(
        str(place), version, settings, said if status else (), words,
        frozenset(each for each in lists if each.startswith("-") or ask("ciphers", each) is None),
        frozenset(each for each in curves if not _curves_known(each)),
    )  # fmt: skip


def _doveconf(place: Path, how: str) -> tuple[int, str, tuple[str, ...]]:
    status, printed, words = _run("doveconf", "-c", str(place), how)
    return status, printed, tuple(word for word in words.splitlines() if word.strip())[:MOST_WORDS]


def _run(*command: str) -> tuple[int, str, str]:
    try:
        ran = subprocess.run(  # noqa: S603 - our own words and the operator's file
            command, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, text=True, errors="replace",
            env={"PATH": PATH}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PostfixError(f"{command[0]} did not end within {PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise PostfixError(f"{command[0]} cannot be run: {error.strerror}") from error
    return ran.returncode, ran.stdout, ran.stderr


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"(\d{1,3})\.(\d{1,3})", text.strip())
    return (int(found.group(1)), int(found.group(2))) if found else (2, 3)


def _curves_known(value: str) -> bool:
    listed = ask("ecparam", "-list_curves") or ""
    known = {line.partition(":")[0].strip().lower() for line in listed.splitlines()} | _GROUPS
    return all(name.lower() in known or name.lower() in ("auto",) for name in value.split(":"))


def is_running(facts: DovecotFacts) -> bool:
    """Tell whether the Dovecot of this configuration runs (base_dir/master.pid)."""
    with suppress(OSError, ValueError):
        pid = int((Path(facts.value("base_dir", "/run/dovecot")) / "master.pid").read_text().strip()[:12])
        return Path(f"/proc/{pid}").exists() and pid != os.getpid()
    return False


def failing_ports(facts: DovecotFacts) -> tuple[tuple[int, str], ...]:
    """Shake hands at the ports that begin with TLS; give those where that fails, with the reason."""
    found = []
    for protocol in facts.value("protocols", "imap").split():
        if protocol in IMPLICIT and (port := _port(facts, *IMPLICIT[protocol])):
            why = _handshake(port)
            found += [(port, why)] if why else []
    return tuple(found)


def _port(facts: DovecotFacts, listener: str, usual: int) -> int:
    """Say at which port a listener begins with TLS; 0: nowhere, or a proxy has to speak first there."""
    inside = {each.name: each.value for each in facts.settings if each.block.endswith(f"inet_listener {listener}")}
    if inside.get("haproxy") == "yes" or inside.get("ssl") == "no":
        return 0
    port = inside.get("port", "")
    return int(port) if port.isdigit() else usual


def _handshake(port: int) -> str | None:
    """Shake hands on the loopback; None where that works, or nobody listens there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), HANDSHAKE_S) as client:
            context.wrap_socket(client).close()
    except ConnectionRefusedError:
        return None
    except OSError as error:
        return str(getattr(error, "reason", None) or error.strerror or error).lower().replace("_", " ")
    return None
