"""Levels: how far a peer may be let down, and which level a failed handshake asks for.

`legacy-rsa` keeps the strict protocols and ciphers and offers an RSA certificate; `legacy` goes as low as this
OpenSSL goes; `sslv3` is the gateway; `cleartext` hides STARTTLS. Each is deeper than the one before it.

Without a ClientHello the level follows from OpenSSL's reason number (its texts change between versions, its numbers
do not): see `NEEDS`. Where the number does not tell which door would help, the need is *undetermined* and nothing is
given automatically; where no door can help at all, the need has no levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.cause import Cause


class Level(StrEnum):
    """How far a peer is let down, narrowest first."""

    LEGACY_RSA = "legacy-rsa"
    LEGACY = "legacy"
    SSLV3 = "sslv3"
    CLEARTEXT = "cleartext"

    @property
    def depth(self) -> int:
        """Count the steps below the strict door: 1 for `legacy-rsa`, 4 for `cleartext`."""
        return _DEPTH[self]

    def reaches(self, other: Level) -> bool:
        """Tell whether a floor at this level lets a peer down as far as `other`."""
        return other.depth <= self.depth


_DEPTH = {level: depth for depth, level in enumerate(Level, start=1)}

UNSUPPORTED_PROTOCOL = 0x102  # SSL_R_UNSUPPORTED_PROTOCOL: at least TLS 1.0, below the server's range
VERSION_TOO_LOW = 0x18C  # SSL_R_VERSION_TOO_LOW: SSLv3, which Debian's OpenSSL is built without
UNKNOWN_PROTOCOL = 0x0FC  # SSL_R_UNKNOWN_PROTOCOL: a hello in the format of SSLv2
NO_SHARED_CIPHER = 0x0C1  # SSL_R_NO_SHARED_CIPHER
WRONG_VERSION_NUMBER = 0x10B  # SSL_R_WRONG_VERSION_NUMBER: the first bytes are no TLS record, often plain SMTP

_NUMBERS = {
    "unsupported protocol": UNSUPPORTED_PROTOCOL,
    "version too low": VERSION_TOO_LOW,
    "unknown protocol": UNKNOWN_PROTOCOL,
    "no shared cipher": NO_SHARED_CIPHER,
    "wrong version number": WRONG_VERSION_NUMBER,
}


@dataclass(frozen=True, slots=True)
class Need:
    """What one kind of failure asks for. `levels`: those that would let the peer in, narrowest first; empty: none.

    `determined` False: one of `levels` would, but only a ClientHello tells which. `why`: half a sentence that
    follows "the handshake failed:". `vain`: levels that answer such a failure elsewhere, but whose door takes nothing
    on this server that the strict one does not take (core/offer.py). `rsa_beside`: an RSA certificate beside the ECDSA
    one would let the peer in.
    """

    levels: tuple[Level, ...]
    determined: bool
    why: str
    vain: tuple[Level, ...] = ()
    rsa_beside: bool = False


NEEDS: dict[tuple[Cause, int | None], Need] = {
    (Cause.PEER_TOO_OLD, UNSUPPORTED_PROTOCOL): Need(
        (Level.LEGACY, Level.CLEARTEXT),
        True,
        "the peer's highest version is TLS 1.0 or 1.1, below what the strict door takes (reason 0x102)",
    ),
    (Cause.PEER_TOO_OLD, VERSION_TOO_LOW): Need(
        (Level.SSLV3, Level.CLEARTEXT),
        True,
        "the peer speaks SSLv3 only, which this OpenSSL does not have at any setting (reason 0x18C)",
    ),
    (Cause.PEER_TOO_OLD, UNKNOWN_PROTOCOL): Need(
        (Level.SSLV3, Level.CLEARTEXT),
        True,
        "the peer greets in the format of SSLv2, which only the sslv3 gateway reads (reason 0x0FC)",
    ),
    (Cause.NOT_TLS_OR_TOO_OLD, UNKNOWN_PROTOCOL): Need(
        (Level.SSLV3, Level.CLEARTEXT),
        True,
        "the peer greets in the format of SSLv2, or not in TLS at all; the line does not tell (reason 0x0FC)",
    ),
    (Cause.PEER_TOO_OLD, None): Need(
        (Level.LEGACY, Level.SSLV3, Level.CLEARTEXT),
        False,
        "the peer is too old, and the line has no reason that tells TLS 1.0 from SSLv3",
    ),
    (Cause.NO_SHARED_CIPHER, None): Need(
        (Level.LEGACY_RSA, Level.LEGACY, Level.SSLV3, Level.CLEARTEXT),
        False,
        "peer and server share no cipher (reason 0x0C1), which may be our certificate's type or the peer's age",
    ),
    (Cause.NO_SHARED_GROUP_OR_SIGALG, None): Need(
        (Level.LEGACY_RSA, Level.LEGACY, Level.CLEARTEXT),
        False,
        "peer and server share no group or signature algorithm, which may be our certificate's type",
    ),
    (Cause.NOT_TLS, WRONG_VERSION_NUMBER): Need(
        (Level.CLEARTEXT,),
        True,
        "the peer goes on in plain SMTP after STARTTLS, as some firewalls do to it (reason 0x10B)",
    ),
}

_NO_DOOR = {
    Cause.PEER_REJECTS_OUR_CERT: "the peer does not accept our certificate; look at its chain, names and dates",
    Cause.PEER_REJECTS_OUR_VERSION: "the peer finds this server too old; look at smtpd_tls_protocols",
    Cause.PEER_ALERT_OTHER: "the peer broke off with an alert that no door answers",
    Cause.NETWORK_CUT: "the connection was cut, which does not tell why, and anybody on the path can do it",
    Cause.TIMEOUT: "the peer fell silent, which does not tell why, and anybody on the path can do it",
    Cause.SERVER_MISCONFIGURED: "the fault is the server's own; run postfix check and read the lines below",
    Cause.DH_TOO_SMALL: "the server's own DH parameters are too small; remove smtpd_tls_dh1024_param_file",
    Cause.FALLBACK_SCSV: "the peer came back with less after an earlier failure; look at its first one",
    Cause.NOT_TLS: "the peer does not speak TLS",
    Cause.TLS_ON_PLAIN_PORT: "the peer speaks TLS on a port that begins in plain SMTP",
    Cause.BUGGY_OR_SCANNER_PEER: "the peer's handshake makes no sense, as scanners' often do not",
}


def need_of(cause: Cause, number: int | None) -> Need:
    """Say which levels would let in a peer that fails for this cause with this OpenSSL reason number."""
    need = NEEDS.get((cause, number)) or NEEDS.get((cause, None))
    return need or Need((), True, _NO_DOOR.get(cause, "the lines give no reason that a door could answer"))


def levels_for(cause: Cause) -> tuple[Level, ...]:
    """List the levels that can help against this cause at all, narrowest first; empty: no door helps."""
    levels = {level for (of, _), need in NEEDS.items() if of is cause for level in need.levels}
    return tuple(sorted(levels, key=lambda level: level.depth))


def reason_number(number: int | None, reason: str | None) -> int | None:
    """Give OpenSSL's reason number, from its text where the line has no number."""
    return number if number is not None else _NUMBERS.get((reason or "").strip().lower())
