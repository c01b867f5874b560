"""What a door offers beyond the strict one, and so which levels are worth a waiver on this server.

`level` says what a failure asks for; here it is held against what `setup` found (`postfixview`). A level whose door
takes nothing that answers the cause, and that the strict door does not take by itself, is *vain*: stock Debian's
strict door takes TLS 1.0, so that no peer gets in by the `legacy` door because it is old. Where `setup` has not
looked, nothing is vain. `sslv3` and `cleartext` are never compared: Postfix does not do what they do.

A door that is not made is taken for what `setup` would make at most. That a strict door which takes more never makes
more levels worth while is a property that the tests hold.

BUGS: what the operator changed since `setup` looked is not known here; `mailtlsctl setup` looks again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from mailtls.core.cause import Cause
from mailtls.core.doorset import DOOR_LEVELS
from mailtls.core.level import Level, Need, need_of
from mailtls.core.postfixview import Offering, PostfixSettings
from mailtls.core.protocollist import DEFAULT_FLOOR, VERSIONS
from mailtls.core.rule import Network
from mailtls.core.suite import KeyType, key_type_of

DOORS = (Level.LEGACY_RSA, Level.LEGACY)
"""Levels whose door is a smtpd beside the strict one, so that the two can be compared."""

# What every OpenSSL of today has of old suites for RSA; all that a legacy door which is not made must be known to take.
_OLD_SUITES = (
    "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES256-SHA", "DHE-RSA-AES128-SHA", "AES256-SHA",
    "AES128-SHA",
)  # fmt: skip
_WITHOUT_CERTIFICATE = ("ADH-", "AECDH-")
_TLS13 = "TLSv1.3"


def need_here(cause: Cause, number: int | None, view: PostfixSettings | None) -> Need:
    """Say which levels would let in a peer that fails so, on the server that the view tells of."""
    need = need_of(cause, number)
    helps = _HELPS.get(cause)
    if view is None or view.strict is None or helps is None:
        return need
    strict = view.strict
    vain = tuple(level for level in need.levels if level in DOORS and not helps(offered(level, view), strict))
    if not vain:
        return need
    levels = tuple(level for level in need.levels if level not in vain)
    if any(level in DOORS for level in levels):
        return replace(need, levels=levels, vain=vain)
    return replace(need, levels=levels, vain=vain, why=_why_not(cause, number, strict))


def need_of_peer(cause: Cause, number: int | None, view: PostfixSettings | None, ip: str) -> Need:
    """Say the same of one address: one in mynetworks gets no door, which would take from it what it has there."""
    return kept_from_own(need_here(cause, number, view), view, ip)


def kept_from_own(need: Need, view: PostfixSettings | None, ip: str) -> Need:
    """Take the doors out of what an address needs, if it is in mynetworks."""
    own = _own_network(view.own_networks, ip) if view is not None else None
    doors = tuple(level for level in need.levels if level in DOOR_LEVELS)
    if own is None or not doors:
        return need
    why = f"{need.why}, but its address is in mynetworks ({own}), and a door would take relaying from it"
    rest = tuple(level for level in need.levels if level not in DOOR_LEVELS)
    return replace(need, levels=rest, vain=(*need.vain, *doors), why=why)


def _own_network(networks: tuple[str, ...], ip: str) -> str | None:
    """Give the network of mynetworks that holds this address."""
    address = ipaddress.ip_address(ip)
    return next((str(network) for network in _parsed(networks) if address in network), None)


@lru_cache(maxsize=8)
def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    """Read the networks; what is none is passed over, and is the keeper's to refuse."""
    found: list[Network] = []
    for text in networks:
        with suppress(ValueError):
            found.append(ipaddress.ip_network(text, strict=False))
    return tuple(found)


def offered(level: Level, view: PostfixSettings) -> Offering:
    """Give what the door of this level takes, or would take if `setup` made it; `level`: one of DOORS."""
    door = view.door(level)
    if door is not None and door.offers.versions:
        return door.offers
    strict = view.strict or Offering()
    certificates = tuple(dict.fromkeys((*strict.certificates, KeyType.RSA)))
    if level is Level.LEGACY_RSA and KeyType.RSA in strict.certificates:
        return strict
    versions = tuple(v for v in VERSIONS if v in strict.versions or _age(v) >= _age(DEFAULT_FLOOR))
    ciphers = tuple(dict.fromkeys((*strict.ciphers, *_OLD_SUITES))) if strict.ciphers else ()
    if level is Level.LEGACY_RSA:
        return Offering(versions=strict.versions, certificates=certificates, ciphers=ciphers)
    return Offering(versions=versions, certificates=certificates, ciphers=ciphers)


def beyond(door: Offering, strict: Offering) -> Offering:
    """Give what a door takes and the strict one does not: versions, kinds of certificates, suites up to TLS 1.2."""
    mine, theirs = _usable(door), _usable(strict)
    return Offering(
        versions=tuple(version for version in door.versions if version not in strict.versions),
        certificates=tuple(kind for kind in door.certificates if kind not in strict.certificates),
        ciphers=tuple(cipher for cipher in door.ciphers if cipher in mine and cipher not in theirs),
    )


def in_vain(level: Level, view: PostfixSettings) -> str | None:
    """Say why a waiver to this level would give nobody anything, whatever it fails for; None where it may."""
    if view.strict is None or level not in DOORS:
        return None
    door = offered(level, view)
    # legacy-rsa has the strict protocols and suites by its definition: only the certificate can differ
    by_name = level is Level.LEGACY_RSA and KeyType.RSA in view.strict.certificates
    known = bool(door.ciphers and view.strict.ciphers)
    if not by_name and (not known or beyond(door, view.strict) != Offering()):
        return None
    takes = f"{_spelled(view.strict)} and later, with {_certificates(view.strict)}"
    return f"the strict door takes {takes}, and the {level} door would take nothing more"


def would_be_taken(version: str, cipher: str, strict: Offering) -> bool:
    """Tell whether the strict door takes this version and suite; a suite of TLS 1.3 goes with every certificate."""
    if version not in strict.versions:
        return False
    return version == _TLS13 or cipher in _usable(strict)


@lru_cache(maxsize=64)
def _usable(offering: Offering) -> frozenset[str]:
    """Give the suites up to TLS 1.2 for which it has a certificate, or that ask for none."""
    return frozenset(
        cipher
        for cipher in offering.ciphers
        if key_type_of(cipher) in offering.certificates or cipher.startswith(_WITHOUT_CERTIFICATE)
    )


def _age(version: str) -> int:
    """Give the place of a version among all, the oldest first; one that is not known is the newest."""
    return VERSIONS.index(version) if version in VERSIONS else len(VERSIONS)


def _oldest(offering: Offering) -> int:
    return min(map(_age, offering.versions), default=len(VERSIONS))


def _takes_older(door: Offering, strict: Offering) -> bool:
    return _oldest(door) < _oldest(strict)


def _has_other_suites(door: Offering, strict: Offering) -> bool:
    """Tell whether the door shares suites with somebody with whom the strict one shares none.

    The highest version that both sides have is settled before the suite, and no door has higher ones: older versions
    help nobody here.
    """
    if not door.ciphers:
        return True  # not known
    return not _usable(door) <= _usable(strict)


def _has_other_certificates(door: Offering, strict: Offering) -> bool:
    return not set(door.certificates) <= set(strict.certificates)


_HELPS: dict[Cause, Callable[[Offering, Offering], bool]] = {
    Cause.PEER_TOO_OLD: _takes_older,
    Cause.NO_SHARED_CIPHER: _has_other_suites,
    Cause.NO_SHARED_GROUP_OR_SIGALG: _has_other_certificates,
}


def _why_not(cause: Cause, number: int | None, strict: Offering) -> str:
    """Say why no door answers this failure; half a sentence, as Need.why."""
    reason = f" (reason 0x{number:03X})" if number is not None else ""
    match cause:
        case Cause.PEER_TOO_OLD:
            takes = f"the strict door takes {_spelled(strict)} by itself"
            return f"{takes}, so that a legacy door takes no older peer, and this one asks for something else{reason}"
        case Cause.NO_SHARED_CIPHER:
            has = f"the strict door has {_certificates(strict)} and every suite that another door has"
            return f"{has}, and the peer has none of them{reason}"
        case _:
            has = f"the strict door has {_certificates(strict)}, and no door another kind"
            return f"peer and server share no group or signature algorithm; {has}{reason}"


def _spelled(strict: Offering) -> str:
    oldest = min(strict.versions, key=_age, default="")
    return {"TLSv1": "TLS 1.0"}.get(oldest, oldest.replace("v", " "))


def _certificates(strict: Offering) -> str:
    kinds = " and ".join(sorted(strict.certificates, reverse=True))
    if not kinds:
        return "no certificate"
    return f"{kinds} certificates" if len(strict.certificates) > 1 else f"an {kinds} certificate"
