"""What a client sees at a port of the server, and what differs between two looks at it.

Before a change every port is looked at, and the present and the staged configuration are tried beside it. Where the
staged one behaves differently from the present one, that is what was asked for; any other difference after the reload
was not, and is a reason to go back.

A fault is what stops a client that did nothing wrong: no greeting, a 4xx where none belongs, STARTTLS that is announced
and fails. A 5xx is a decision that somebody took.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at one port. `fault` is what went wrong, in one clause; what could not be seen then is empty.

    `keywords` are the lines of the EHLO reply, `inside` those of the EHLO within TLS; `secured` is protocol and cipher;
    `certificate` the SHA-256 of the server's certificate, as hex digits.
    """

    banner: str = ""
    keywords: tuple[str, ...] = ()
    secured: str = ""
    certificate: str = ""
    inside: tuple[str, ...] = ()
    fault: str = ""


_PLAIN = {
    "banner": "the greeting",
    "secured": "the TLS connection",
    "certificate": "the certificate",
}
_LISTS = {"keywords": "EHLO", "inside": "EHLO within TLS"}
COMPARED = (*_PLAIN, *_LISTS)


def changes(before: Sighting, after: Sighting, fields: tuple[str, ...] = COMPARED) -> tuple[str, ...]:
    """Say in clauses what a client sees differently; nothing where it sees the same.

    What follows from another difference is not said as well: without TLS there is no certificate.
    """
    said = [_fault_change(before, after)] if before.fault != after.fault else []
    for name in (each for each in fields if each not in _following(before, after)):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            said.append(_list_change(name, old, new) if name in _LISTS else _plain_change(name, old, new))
    return tuple(said)


def _following(before: Sighting, after: Sighting) -> tuple[str, ...]:
    if before.banner[:3] != after.banner[:3]:
        return tuple(name for name in COMPARED if name != "banner")
    return ("certificate", "inside") if bool(before.secured) != bool(after.secured) else ()


def _fault_change(before: Sighting, after: Sighting) -> str:
    return after.fault or f"this is over: {before.fault}"


def _plain_change(name: str, old: str, new: str) -> str:
    shown = 16 if name == "certificate" else 100
    return f"{_PLAIN[name]} was {old[:shown] or 'none'} and is {new[:shown] or 'none'}"


def _list_change(name: str, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    gone = [each for each in old if each not in new]
    come = [each for each in new if each not in old]
    said = ([f"no longer announces {', '.join(gone)}"] if gone else []) + (
        [f"now announces {', '.join(come)}"] if come else []
    )
    return f"{_LISTS[name]} {' and '.join(said) or 'announces the same in another order'}"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How one service behaves under the present configuration and under the staged one; None: nobody could try."""

    present: Sighting | None
    staged: Sighting | None


def unasked(before: Sighting | None, after: Sighting, rehearsal: Rehearsal) -> tuple[str, ...]:
    """Say what a port shows after the change that it did not show before and that was not asked for."""
    if after.fault:
        return () if before is not None and before.fault == after.fault else (after.fault,)
    if before is None or before.fault:
        return ()
    present, staged = rehearsal.present, rehearsal.staged
    if present is None or staged is None or present.fault:
        return ()
    same = tuple(name for name in COMPARED if getattr(present, name) == getattr(staged, name))
    return changes(before, after, same)


def gathered(said: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Put together what is said of several services alike: pairs of a service and a clause become clauses."""
    services: dict[str, list[str]] = {}
    for service, clause in said:
        services.setdefault(clause, []).append(service)
    return tuple(
        f"service{'s' if len(keys) > 1 else ''} {', '.join(keys)}: {clause}" for clause, keys in services.items()
    )
