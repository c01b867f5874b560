"""What a server takes, learned the long way: one whole handshake by OpenSSL for each version and each suite.

It knows nothing of how the probe asks, and so can judge it; what OpenSSL cannot speak it cannot tell.
"""

from __future__ import annotations

import socket
import ssl
import warnings

from .configuration import ADDRESS

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
}
COMMANDS = {"smtp": (b"EHLO client.test\r\n", b"STARTTLS\r\n"), "imap": (b"a STARTTLS\r\n",), "pop3": (b"STLS\r\n",)}
EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


def context(version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = made.maximum_version = version
    made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return made


def suites() -> list[str]:
    """Every suite up to TLS 1.2 that this OpenSSL has and that needs no secret shared before."""
    made = context(ssl.TLSVersion.TLSv1_2, EVERYTHING)
    return [each["name"] for each in made.get_ciphers()
            if each["protocol"] != "TLSv1.3" and not {"PSK", "SRP"} & set(each["name"].split("-"))]  # fmt: skip


def takes(port: int, service: str, version: str, cipher: str) -> bool:
    """Shake hands with this version and this suite; tell whether that succeeds."""
    with socket.create_connection((ADDRESS, port), 20) as wire:
        if service in COMMANDS:
            wire.recv(4096)
        for command in COMMANDS.get(service, ()):
            wire.sendall(command)
            wire.recv(4096)
        try:
            with context(VERSIONS[version], cipher).wrap_socket(wire) as secured:
                return secured.version() == version
        except OSError:
            return False


def taken(port: int, service: str) -> dict[str, set[str]]:
    """Try everything; give the suites by version, versions that take none left out."""
    found = {version: {name for name in suites() if takes(port, service, version, name)} for version in VERSIONS}
    return {version: names for version, names in found.items() if names}
