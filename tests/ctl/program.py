"""The installed `mailtlsctl`, run as an operator runs it; shared by the tests of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("mailtlsctl")

HEAD = "2026-11-21T00:42:35+01:00 mx postfix/smtpd[17]: "
TOO_OLD = (
    "connect from mx.example.com[192.0.2.7]",
    "SSL_accept error from mx.example.com[192.0.2.7]: -1",
    "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:ssl/statem/statem_srvr.c:1657:",
    "lost connection after STARTTLS from mx.example.com[192.0.2.7]",
    "disconnect from mx.example.com[192.0.2.7] ehlo=1 starttls=0/1 commands=1/2",
)
MODERN = (
    "connect from mail.example.org[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]",
    "Anonymous TLS connection established from mail.example.org[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]: TLSv1.3 "
    "with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
    "4ABC12345: client=mail.example.org[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]",
    "disconnect from mail.example.org[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff] ehlo=2 starttls=1 mail=1 rcpt=1 "
    "data=1 quit=1 commands=7",
)
CUT = (
    "connect from unknown[198.51.100.9]",
    "SSL_accept error from unknown[198.51.100.9]: lost connection",
    "lost connection after STARTTLS from unknown[198.51.100.9]",
    "disconnect from unknown[198.51.100.9] ehlo=1 starttls=0/1 commands=1/2",
)
NO_CERTIFICATE = ("warning: No server certs available. TLS won't be enabled",)


def log_of(*sessions: tuple[str, ...]) -> str:
    """The text of a log with these sessions, one after the other."""
    return "".join(f"{HEAD}{message}\n" for session in sessions for message in session)


def environment(**changes: str) -> dict[str, str]:
    """The environment of the tests, without what changes output, and with the changes."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "LC_ALL", "TERM")}
    return {**kept, **changes}


def mailtlsctl(*arguments: str | Path, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end; standard output and error as text."""
    return subprocess.run(
        [PROGRAM, *arguments], input=stdin, env=environment(**changes), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
