"""The openssl command, asked which cipher suites a list means on this machine."""

from __future__ import annotations

import subprocess

from mailtls.core.ciphersuite import CipherSuite, read_listing
from mailtls.core.printable import printable
from mailtls.errors import ConfigError

_PATIENCE_S = 10.0
# Postfix's grades, as its tls_high_cipherlist and tls_medium_cipherlist are by default (postconf(5)).
GRADES = {"high": "aNULL:-aNULL:HIGH:@STRENGTH", "medium": "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH"}


def ciphers_of(text: str) -> tuple[CipherSuite, ...]:
    """List the suites of a grade of Postfix, or of a list of OpenSSL. Raises ConfigError."""
    shown = printable(text, 100)
    if text.startswith("-"):
        raise ConfigError(f"'{shown}' is no list of ciphers; see openssl-ciphers(1ssl)")
    # As Postfix does: nothing is left out by the security level (tls/tls_server.c).
    command = ["openssl", "ciphers", "-V", f"{GRADES.get(text.lower(), text)}:@SECLEVEL=0"]
    try:
        ran = subprocess.run(  # noqa: S603 - our own words, and the operator's list, which is no option
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except FileNotFoundError as error:
        raise ConfigError("the openssl command is needed to read a list of ciphers: apt install openssl") from error
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise ConfigError(f"`openssl ciphers` cannot be run: {printable(str(error), 200)}") from error
    found = read_listing(ran.stdout)
    if ran.returncode or not found:
        raise ConfigError(f"'{shown}' means no cipher to this OpenSSL; try: openssl ciphers -V '{shown}'")
    return found
