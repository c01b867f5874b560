"""A hello put together again from what is known of a peer: the names that mailtlsd tells, or what it once negotiated.

What is not known is filled in with the usual: the order of extensions, and a key for the first group in TLS 1.3. What
has no name here is written in hexadecimal, and read back from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mailtls.core.ciphersuite import BY_NUMBER
from mailtls.core.clienthello import (
    ALPN,
    EXTENDED_MASTER_SECRET,
    KEY_SHARE,
    POINT_FORMATS,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNATURES,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    ClientHello,
)
from mailtls.core.helloshown import ShownHello
from mailtls.core.keyshare import POINTS
from mailtls.core.probequestion import hello_of
from mailtls.core.tlsname import group_name, signature_name
from mailtls.core.tlsversion import SSLV3, TLS10, TLS12, TLS13, number_of

_SUITES = {suite.name: suite.number for suite in BY_NUMBER.values()}
_ALL = range(0x10000)


def rebuilt(shown: ShownHello) -> ClientHello:
    """Put a hello together from its names."""
    newest = bool(shown.versions)
    highest = number_of(shown.highest_version) or TLS12
    groups = _numbers(shown.groups, group_name)
    keys = tuple(group for group in groups or () if group in POINTS)[:1]
    fields = {
        SERVER_NAME: shown.server_name is not None,
        SUPPORTED_GROUPS: groups is not None,
        POINT_FORMATS: shown.point_formats is not None,
        SESSION_TICKET: shown.session_ticket,
        EXTENDED_MASTER_SECRET: shown.extended_master_secret,
        ALPN: bool(shown.alpn),
        SIGNATURES: shown.signature_algorithms is not None,
        SUPPORTED_VERSIONS: newest,
        KEY_SHARE: newest and highest == TLS13,
    }
    return ClientHello(
        min(highest, TLS12),
        tuple(_SUITES[name] if name in _SUITES else _hexadecimal(name) for name in shown.ciphers),
        extensions=tuple(number for number, there in fields.items() if there),
        versions=_versions(shown.versions or ()) if newest else None,
        groups=groups,
        key_shares=keys if fields[KEY_SHARE] else None,
        signatures=_numbers(shown.signature_algorithms, signature_name),
        point_formats=shown.point_formats,
        server_name=shown.server_name,
        protocols=tuple(name.encode("utf-8") for name in shown.alpn),
        sslv2_format=shown.sslv2_format,
    )


def negotiated(pairs: Iterable[tuple[str | None, str | None]]) -> ClientHello | None:
    """Put a hello together from the (version, cipher) that a peer negotiated: its newest version, and its ciphers.

    None where nothing is known.
    """
    known = [(number, _SUITES[cipher]) for version, cipher in pairs
             if (number := number_of(version or "")) is not None and cipher in _SUITES]  # fmt: skip
    if not known:
        return None
    newest = max(version for version, _ in known)
    suites = dict.fromkeys(suite for _, suite in sorted(known, reverse=True) if BY_NUMBER[suite].serves(newest))
    if not suites or newest < SSLV3:
        return None
    return hello_of(max(newest, SSLV3), tuple(suites), with_key=newest >= TLS10)


def _numbers(names: tuple[str, ...] | None, name_of: Callable[[int], str]) -> tuple[int, ...] | None:
    if names is None:
        return None
    by_name = {name_of(number): number for number in _ALL}
    return tuple(by_name[name] for name in names if name in by_name)


def _versions(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(number if (number := number_of(name)) is not None else _hexadecimal(name) for name in names)


def _hexadecimal(name: str) -> int:
    try:
        return int(name, 16) & 0xFFFF
    except ValueError:
        return 0
