"""Real senders: Postfix's smtp(8), Exim and Java's own TLS, restricted to what an old server can do.

Exim need not be installed (the package does not tolerate Postfix beside it): its program and the library that it needs
are enough, found by name as `exim4` (scripts/test unpacks them). It looks for the user that Debian's package makes, so it
is started where /etc/passwd and /etc/group have one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from .configuration import Settings
from .conversation import Conversation, Server
from .instance import PrivatePostfix

NOBODYS_UID = 61998
PATIENCE_S = 60

SMTP = """\
smtp unix - - n - - smtp
  -o smtp_bind_address={source}
  -o smtp_tls_security_level=encrypt
  -o smtp_tls_mandatory_protocols={protocols}
  -o smtp_tls_mandatory_ciphers=medium
  -o tls_medium_cipherlist={ciphers}:@SECLEVEL=0
  -o smtp_tls_loglevel=1
  -o smtp_tls_chain_files=
"""


@contextmanager
def postfix_sender(
    port: int, source: str, protocols: str, ciphers: str, host: str = "127.0.0.1", again_s: int = 300
) -> Iterator[PrivatePostfix]:
    """Run a Postfix that hands everything to that port of a host, from an address, with these protocols and ciphers.

    `again_s`: after how many seconds it tries again.
    """
    services = SMTP.format(source=source, protocols=protocols, ciphers=ciphers)
    onward = {"myhostname": "sender.peer.test", "local_transport": f"smtp:[{host}]:{port}",
              "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native", "disable_dns_lookups": "yes",
              "smtp_address_preference": "ipv4",
              **dict.fromkeys(("queue_run_delay", "minimal_backoff_time", "maximal_backoff_time"), f"{again_s}s")}  # fmt: skip
    with PrivatePostfix(Settings(services=services, extra=onward)) as postfix:
        yield postfix


def hand_in(postfix: PrivatePostfix, octets: int) -> None:
    """Give the sending Postfix one message of about so many bytes."""
    with Conversation("127.0.0.1", Server(postfix.address, postfix.ports["smtp"])) as client:
        client.greet()
        for command in ("MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA"):
            assert client.say(command)[:1] in "23"
        client.send(b"Subject: from a server\r\n\r\n" + (b"x" * 70 + b"\r\n") * (octets // 72))
        assert client.say(".").startswith("250")


@cache
def why_no_exim() -> str | None:
    """Say in one clause why Exim cannot send here; None if it can."""
    program = shutil.which("exim4")
    if program is None:
        return "no exim4 (Debian package exim4-daemon-light, unpacked; it needs libidn12 and libgnutls-dane0)"
    if os.geteuid() != 0:
        return "Exim is started where it has a user of its own, which needs root"
    asked = subprocess.run(_in_a_place_with_its_user([program, "-C", "/dev/null", "-bV"]), capture_output=True, text=True, check=False)
    return None if asked.returncode == 0 else f"exim4 does not start: {asked.stderr.strip()[:200]}"


def _in_a_place_with_its_user(command: list[str]) -> list[str]:
    user, group = f"Debian-exim:x:{NOBODYS_UID}:{NOBODYS_UID}::/nonexistent:/bin/false", f"Debian-exim:x:{NOBODYS_UID}:"
    script = (
        'set -e; d=$(mktemp -d); trap "" EXIT; mount -t tmpfs none "$d"; '
        f'for f in passwd group; do cat "/etc/$f" >"$d/$f"; done; echo "{user}" >>"$d/passwd"; echo "{group}" >>"$d/group"; '
        'for f in passwd group; do mount --bind "$d/$f" "/etc/$f"; done; umount -l "$d"; rmdir "$d"; exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]


CONFIGURATION = """\
primary_hostname = exim.peer.test
exim_path = {program}
spool_directory = {place}/spool
log_file_path = {place}/spool/%slog
keep_environment =
deliver_drop_privilege
tls_advertise_hosts =
host_lookup =
begin routers
onward:
  driver = manualroute
  route_list = * {host} byname
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  port = {port}
  interface = {source}
  hosts_require_tls = *
  hosts_try_dane =
  tls_verify_certificates =
  tls_try_verify_hosts =
  tls_require_ciphers = {priorities}
begin retry
* * F,1h,5m
"""


def send_with_exim(
    place: Path, port: int, source: str, priorities: str, octets: int, host: str = "127.0.0.1"
) -> str:
    """Let Exim send one message to that port of a host, with GnuTLS's priorities; give its main log.

    `place`: a new directory where others may enter.
    """
    (place / "spool").mkdir(parents=True)
    os.chown(place / "spool", NOBODYS_UID, NOBODYS_UID)
    configuration = place / "exim.conf"
    program = shutil.which("exim4") or ""
    configuration.write_text(
        CONFIGURATION.format(place=place, program=program, port=port, source=source, priorities=priorities, host=host)
    )
    configuration.chmod(0o644)
    message = "Subject: from Exim\n\n" + ("x" * 70 + "\n") * (octets // 71)
    exim = [program, "-C", str(configuration), "-odf", "-oem", "-f", "a@peer.test", "b@example.test"]
    ran = subprocess.run(
        _in_a_place_with_its_user(exim), input=message, text=True, capture_output=True, timeout=PATIENCE_S, check=False
    )
    log = place / "spool" / "mainlog"
    return log.read_text() if log.exists() else ran.stderr


def why_no_java() -> str | None:
    """Say in one clause why Java cannot send here; None if it can."""
    return None if shutil.which("javac") and shutil.which("java") else "no javac (Debian package default-jdk-headless)"


def send_with_java(
    place: Path, port: int, clients: Sequence[tuple[str, str, str, int]], host: str = "127.0.0.1"
) -> dict[str, str]:
    """Let Java's own TLS, with all that it has ever known enabled again, send one message for each client.

    A client is address, protocols, suites and octets. Gives by address what came of it, as LegacyClient.java prints it.
    """
    properties = place / "security.properties"
    properties.write_text("jdk.tls.disabledAlgorithms=\njdk.tls.legacyAlgorithms=\njdk.certpath.disabledAlgorithms=\n")
    source = Path(__file__).with_name("LegacyClient.java")
    if not (place / "LegacyClient.class").exists():
        subprocess.run(["javac", "-d", place, source], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    words = [str(word) for client in clients for word in client]
    ran = subprocess.run(
        ["java", f"-Djava.security.properties={properties}", "-cp", str(place), "LegacyClient", host, str(port), *words],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    answers = dict(line.split(" ", 1) for line in ran.stdout.splitlines())
    assert set(answers) == {client[0] for client in clients}, ran.stderr
    return answers
