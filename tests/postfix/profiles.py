"""Services with different settings of TLS in one private Postfix, and what `core.handshake` is told of each.

One instance has room for four; `PROFILES` is asked for in lots of four.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mailtls.core.ciphersuite import CipherSuite, read_listing
from mailtls.core.serverprofile import (
    FFDHE_GROUPS,
    POSTFIX_GROUPS,
    SECP256R1,
    SECP384R1,
    X25519,
    ServerKey,
    ServerProfile,
    SigningKey,
)
from mailtls.core.tlsversion import TLS10, TLS11, TLS12, TLS13

from .configuration import Settings

WAYS = ("smtp", "smtps", "submission", "legacy")

MEDIUM = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH"
HIGH = "aNULL:-aNULL:HIGH:@STRENGTH"
EVERY = frozenset({TLS10, TLS11, TLS12, TLS13})
NEW = frozenset({TLS12, TLS13})

RSA = ServerKey(SigningKey.RSA, signed_with=0x0401)
ECDSA = ServerKey(SigningKey.ECDSA, signed_with=0x0403)
KEYS: Mapping[str, ServerKey] = {
    "rsa": RSA,
    "ecdsa": ECDSA,
    "rsa1024": ServerKey(SigningKey.RSA, bits=1024, signed_with=0x0401),
    "p384": ServerKey(SigningKey.ECDSA, group=SECP384R1, signed_with=0x0403),
    "ed25519": ServerKey(SigningKey.ED25519, signed_with=0x0807),
}
NEW_KEY = {
    "rsa1024": ("rsa:1024",),
    "p384": ("ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"),
    "ed25519": ("ed25519",),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One service: `options` of master.cf beside the keys, and what it should come to."""

    name: str
    keys: tuple[str, ...]
    protocols: str = ">=TLSv1"
    versions: frozenset[int] = EVERY
    cipherlist: str = MEDIUM
    exclude: tuple[str, ...] = ()
    grade: str = "medium"
    groups: tuple[int, ...] = POSTFIX_GROUPS
    curves: str = ""
    preempt: bool = False

    @property
    def server(self) -> ServerProfile:
        """Say what it offers in numbers."""
        listed = cipher_list(":".join((self.cipherlist, *(f"!{word}" for word in self.exclude))))
        keys = tuple(KEYS[name] for name in self.keys)
        return ServerProfile(
            self.versions, listed, keys, (*self.groups, *more_groups()), self.preempt, openssl=openssl_version()
        )

    @property
    def options(self) -> tuple[str, ...]:
        """Write it for master.cf."""
        chain = ",".join(f"{{directory}}/{name}.pem" for name in self.keys)
        found = [
            f"smtpd_tls_chain_files={chain}",
            f"smtpd_tls_protocols={self.protocols}",
            f"smtpd_tls_mandatory_protocols={self.protocols}",
            f"smtpd_tls_ciphers={self.grade}",
            f"smtpd_tls_mandatory_ciphers={self.grade}",
            f"smtpd_tls_exclude_ciphers={','.join(self.exclude)}",
            f"tls_preempt_cipherlist={'yes' if self.preempt else 'no'}",
            f"tls_{self.grade}_cipherlist={self.cipherlist}",
        ]
        return (*found, f"tls_eecdh_auto_curves={self.curves}") if self.curves else tuple(found)


PROFILES = (
    Profile("rsa", ("rsa",)),
    Profile("ecdsa", ("ecdsa",)),
    Profile("both", ("rsa", "ecdsa")),
    Profile("strict", ("ecdsa",), ">=TLSv1.2", NEW, HIGH, ("aNULL", "kRSA", "SHA1"), "high"),
    Profile("hardened", ("rsa", "ecdsa"), ">=TLSv1.2", NEW, HIGH, ("aNULL", "kRSA", "DHE"), "high", preempt=True),
    Profile("preempt", ("ecdsa", "rsa"), preempt=True),
    Profile("few groups", ("rsa", "ecdsa"), curves="prime256v1", groups=(SECP256R1,)),
    Profile("p384", ("p384",), ">=TLSv1", curves="X25519,secp384r1", groups=(X25519, SECP384R1)),
    Profile("ed25519", ("ed25519", "rsa1024")),
    Profile("ed25519 alone", ("ed25519",), exclude=("aNULL",)),
    Profile("no TLS 1.3", ("rsa",), "!SSLv2,!SSLv3,!TLSv1.3", frozenset({TLS10, TLS11, TLS12}), exclude=("aNULL",)),
    Profile("hole", ("ecdsa", "rsa"), "TLSv1,TLSv1.2", frozenset({TLS10, TLS12}), exclude=("ECDHE",)),
)
"""The first four are enough for a test; all are for the benchmark."""


@cache
def cipher_list(text: str) -> tuple[CipherSuite, ...]:
    """Ask the openssl command which suites a list means, in their order."""
    command = ["openssl", "ciphers", "-V", f"{text}:@SECLEVEL=0"]
    return read_listing(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@cache
def more_groups() -> tuple[int, ...]:
    """Ask whether this Postfix adds groups of finite fields to those of its curves (3.8 and later)."""
    asked = subprocess.run(["postconf", "-dh", "tls_ffdhe_auto_groups"], capture_output=True, text=True, check=False)
    return FFDHE_GROUPS if asked.stdout.split() == ["ffdhe2048", "ffdhe3072"] else ()


@cache
def openssl_version() -> tuple[int, int]:
    """Ask which OpenSSL this machine has; Postfix uses the same."""
    words = subprocess.run(["openssl", "version"], check=True, capture_output=True, text=True).stdout.split()
    major, minor = words[1].split(".")[:2]
    return int(major), int(minor)


def settings_for(profiles: tuple[Profile, ...]) -> tuple[Settings, dict[str, Profile]]:
    """Give each of up to four profiles a way in."""
    chosen = dict(zip(WAYS, profiles, strict=False))
    options = {way: profile.options for way, profile in chosen.items()}
    return Settings(port_logging=True, protocols="", options=options), chosen
