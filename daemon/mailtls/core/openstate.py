"""The open sessions of an assembler as text, so that a restart goes on in the middle of them.

A position in a log and what was counted up to it are stored together; so must be what was read but not yet counted:
the lines of sessions that have not ended. JSON, with bytes as Latin-1 text behind a `b`, and versioned: another
version's text is not guessed at.

SECURITY: only values of known fields are read; anything else makes `thaw` give None, never an object of another type.
"""

from __future__ import annotations

import json
from typing import Any

from mailtls.core.assembler import Assembler
from mailtls.core.openssl import LibraryError
from mailtls.core.process import Process
from mailtls.core.sessionstate import OpenSession
from mailtls.core.stamp import Calendar

VERSION = 2
LARGEST = 16 * 1024 * 1024
"""Characters; above this (a flood of half-open sessions) nothing is kept, and those sessions yield nothing later."""

_PROCESS = ("prelude", "broken", "library", "spoken", "says_failed")


def freeze(assembler: Assembler) -> str | None:
    """Write down what is open; None where that would be too much."""
    rows = [_process_row(source, process) for source, process in assembler.processes().items() if _matters(process)]
    stacked, init_failed = assembler.logins_open()
    text = json.dumps(
        [VERSION, rows, [[_plain(key), _plain(value)] for key, value in stacked.items()], _plain(init_failed)],
        separators=(",", ":"),
    )
    return text if len(text) <= LARGEST else None


def thaw(text: str, calendar: Calendar) -> Assembler | None:
    """Give an assembler that goes on where `freeze` was asked; None where the text is not this version's."""
    assembler = Assembler(calendar, mid_log=True)
    try:
        version, rows, stacked, init_failed = json.loads(text)
        if version != VERSION:
            return None
        for row in rows:
            source, tag, values, session, statement, endpoints = row
            process = assembler.open_process(_bytes(source), _bytes(tag))
            for name, value in zip(_PROCESS, values, strict=True):
                setattr(process, name, _value(value))
            process.session = _session(session)
            process.statement = _session(statement)
            process.endpoints = {_bytes(who): _some(_session(each)) for who, each in endpoints}
        pair = _value(init_failed)
        assembler.reopen_logins(
            {_bytes(key): _bytes(value) for key, value in stacked}, pair if isinstance(pair, tuple) else None
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return assembler


def _matters(process: Process) -> bool:
    return bool(
        process.session or process.statement or process.endpoints or process.broken is not None or process.library
    )


def _process_row(source: bytes, process: Process) -> list[Any]:
    return [
        _plain(source),
        _plain(process.tag),
        [_plain(getattr(process, name)) for name in _PROCESS],
        _session_row(process.session),
        _session_row(process.statement),
        [[_plain(who), _session_row(session)] for who, session in process.endpoints.items()],
    ]


def _session_row(session: OpenSession | None) -> list[Any] | None:
    return None if session is None else [_plain(getattr(session, name)) for name in OpenSession.__slots__]


def _session(row: list[Any] | None) -> OpenSession | None:
    if row is None:
        return None
    session = OpenSession(b"", b"")
    for name, value in zip(OpenSession.__slots__, row, strict=True):
        setattr(session, name, _value(value))
    return session


def _some(session: OpenSession | None) -> OpenSession:
    if session is None:
        raise ValueError("an endpoint has a session")
    return session


def _plain(value: Any) -> Any:
    """Bytes and texts become marked texts, library errors and pairs lists; the rest is JSON as it is."""
    if isinstance(value, bytes):
        return "b" + value.decode("latin-1")
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, LibraryError):
        return ["L", value.number, value.text, value.code, value.library]
    if isinstance(value, tuple):
        return ["T", *(_plain(item) for item in value)]
    if isinstance(value, list):
        return ["l", *(_plain(item) for item in value)]
    return value


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value[1:].encode("latin-1") if value[0] == "b" else value[1:]
    if isinstance(value, list):
        mark, *items = value
        if mark == "L":
            number, text, code, library = items
            return LibraryError(number, str(text), int(code), str(library))
        return tuple(map(_value, items)) if mark == "T" else list(map(_value, items))
    return value


def _bytes(value: Any) -> bytes:
    plain = _value(value)
    if not isinstance(plain, bytes):
        raise TypeError("bytes are expected")
    return plain
