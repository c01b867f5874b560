"""A private Dovecot, IMAP and POP3 with nobody in it: its own directory, high ports on loopback, no user, no mail.

For Dovecot 2.3 and 2.4, which renamed the settings of TLS.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .certificates import Certificate, KeyType, make_certificate
from .configuration import ADDRESS
from .instance import reserved_ports, wait_until

SERVICES = ("imap", "imaps", "pop3", "pop3s")

OLD = """\
protocols = imap pop3
passdb {{
  driver = passwd-file
  args = /dev/null
}}
ssl_cert = <{rsa.certificate}
ssl_key = <{rsa.key}
ssl_alt_cert = <{ecdsa.certificate}
ssl_alt_key = <{ecdsa.key}
"""
NEW = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap pop3
passdb passwd-file {{
  passwd_file_path = /dev/null
}}
ssl_server_cert_file = {rsa.certificate}
ssl_server_key_file = {rsa.key}
ssl_server_alt_cert_file = {ecdsa.certificate}
ssl_server_alt_key_file = {ecdsa.key}
"""
CONFIGURATION = """\
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/dovecot.log
listen = {address}
auth_mechanisms = plain
ssl = required
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
{extra}
"""


def why_no_dovecot() -> str | None:
    """Say in one clause why a private Dovecot cannot be run here; None if it can."""
    program = shutil.which("dovecot")
    if program is None or not Path("/usr/lib/dovecot/imap-login").exists() or not Path("/usr/lib/dovecot/pop3").exists():
        return "Debian's packages dovecot-imapd and dovecot-pop3d are not installed"
    if os.geteuid() != 0:
        return "a private Dovecot needs root"
    return None if version_of_dovecot().startswith(("2.3.", "2.4.")) else "only Dovecot 2.3 and 2.4 are known here"


def version_of_dovecot() -> str:
    """Give its version."""
    return subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=False).stdout


class PrivateDovecot:
    """A Dovecot that lives as long as its `with` block; `ports` by service, `certificates` by kind."""

    def __init__(self, extra: str = "") -> None:
        self._extra = extra
        self.ports: dict[str, int] = {}
        self.certificates: dict[KeyType, Certificate] = {}

    def __enter__(self) -> PrivateDovecot:
        """Start it, and return when it greets."""
        self.directory = Path(tempfile.mkdtemp(prefix="mailtls-dovecot-"))
        self.directory.chmod(0o755)
        self.certificates = {kind: make_certificate(self.directory, kind) for kind in KeyType}
        file = self.directory / "dovecot.conf"
        with ExitStack() as reservation:
            self.ports = dict(zip(SERVICES, reserved_ports(len(SERVICES), reservation), strict=True))
        beginning = OLD if version_of_dovecot().startswith("2.3.") else NEW
        file.write_text(
            (beginning + CONFIGURATION).format(
                directory=self.directory, address=ADDRESS, extra=self._extra.format(directory=self.directory),
                rsa=self.certificates[KeyType.RSA], ecdsa=self.certificates[KeyType.ECDSA], **self.ports,
            )
        )  # fmt: skip
        self._master = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "dovecot", "-F", "-c", file], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if not wait_until(lambda: all(greets(self.ports[name]) for name in ("imap", "pop3"))):
            self.__exit__()
            raise TimeoutError("Dovecot does not greet")
        return self

    def __exit__(self, *_: object) -> None:
        self._master.terminate()
        self._master.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def greets(port: int) -> bool:
    """Tell whether somebody greets there with good news."""
    try:
        with socket.create_connection((ADDRESS, port), 5) as client:
            return client.recv(200).upper().startswith((b"* OK", b"+OK"))
    except OSError:
        return False
