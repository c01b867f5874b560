"""A hello as people and scripts are shown it: names instead of numbers, and what each door would make of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import AwareDatetime

from mailtls.core.ciphersuite import SIGNALS, is_grease
from mailtls.core.ciphersuite import name_of as suite_name
from mailtls.core.clienthello import ClientHello
from mailtls.core.doorchoice import Choice
from mailtls.core.fingerprint import fingerprint
from mailtls.core.handshake import Negotiated, Prediction
from mailtls.core.keeperprotocol import Message
from mailtls.core.level import Level
from mailtls.core.tlsname import group_name, signature_name
from mailtls.core.tlsversion import name_of as version_name


class DoorRow(Message):
    """What one door would make of the hello. `reason`: OpenSSL's words where it would refuse, with its number."""

    door: str
    accepts: bool
    tls_version: str | None = None
    cipher: str | None = None
    reason: str | None = None
    reason_number: int | None = None


class ShownHello(Message):
    """What a client offers, and which doors would take it.

    `truncated`: its end is not known. Names are OpenSSL's and Postfix's; what has none is hexadecimal. None instead
    of a list: the peer does not say. `narrowest`: the first door that takes it; `level`: of the waiver that would let
    the peer in; `changes`: what the peer would have to change where no door takes it.
    """

    ja4: str
    truncated: bool
    sslv2_format: bool
    highest_version: str
    versions: tuple[str, ...] | None
    ciphers: tuple[str, ...]
    groups: tuple[str, ...] | None
    signature_algorithms: tuple[str, ...] | None
    point_formats: tuple[int, ...] | None
    server_name: str | None
    alpn: tuple[str, ...]
    extended_master_secret: bool
    session_ticket: bool
    doors: tuple[DoorRow, ...]
    narrowest: str | None
    level: Level | None
    changes: tuple[str, ...]


class PeerHello(ShownHello):
    """What a peer offered when the observer saw it last.

    `alert`: the number of the alert with which it answered (RFC 8446 section 6), None where none was seen.
    `doors_known`: setup has looked at Postfix; else the doors are those of Debian's as it comes.
    """

    at: AwareDatetime
    alert: int | None
    doors_known: bool


def shown(hello: ClientHello, choice: Choice) -> dict[str, Any]:
    """Give the fields of `ShownHello`."""
    return {
        "ja4": fingerprint(hello),
        "truncated": hello.truncated,
        "sslv2_format": hello.sslv2_format,
        "highest_version": version_name(hello.highest),
        "versions": None if hello.versions is None else tuple(map(version_name, _sensible(hello.versions))),
        "ciphers": tuple(suite_name(number) for number in _sensible(hello.ciphers) if number not in SIGNALS),
        "groups": None if hello.groups is None else tuple(map(group_name, _sensible(hello.groups))),
        "signature_algorithms": None
        if hello.signatures is None
        else tuple(map(signature_name, _sensible(hello.signatures))),
        "point_formats": hello.point_formats,
        "server_name": hello.server_name,
        "alpn": tuple(name.decode("utf-8", "backslashreplace") for name in hello.protocols),
        "extended_master_secret": hello.extended_master_secret,
        "session_ticket": hello.session_ticket,
        "doors": tuple(_door(way, answer) for way, answer in choice.tried.items()),
        "narrowest": choice.narrowest,
        "level": choice.level,
        "changes": choice.changes,
    }


def _door(way: str, answer: Prediction) -> DoorRow:
    if isinstance(answer, Negotiated):
        version, cipher = version_name(answer.version), answer.cipher.name
        return DoorRow(door=way, accepts=True, tls_version=version, cipher=cipher)
    return DoorRow(door=way, accepts=False, reason=str(answer), reason_number=answer.reason)


def _sensible(numbers: Collection[int]) -> list[int]:
    return [number for number in numbers if not is_grease(number)]
