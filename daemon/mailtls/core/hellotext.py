"""A hello as text, for the store: JSON with the names of its fields, without those that say nothing.

Nothing that is secret or unique is in it: no random number, no session, no key.

SECURITY: whoever can write the database's file can write this. Only known fields with numbers in their ranges are
read; of anything else `read_hello_text` makes nothing. A hello longer than `LONGEST` is not written at all.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from mailtls.core.clienthello import ClientHello
from mailtls.core.printable import printable

LONGEST = 8192  # characters; what real clients send has a few hundred

_MOST = 0xFFFF
_TEXT = "server_name"
_FLAGS = frozenset({"sslv2_format", "truncated", "uneven"})
_NUMBERS = frozenset({"version", "flaw"})
_DEFAULTS = {each.name: None if each.default is MISSING else each.default for each in fields(ClientHello)}
_MAY_BE_ABSENT = frozenset(name for name, default in _DEFAULTS.items() if default is None) - {"version"}


def write_hello_text(hello: ClientHello) -> str | None:
    """Write it down; None where it is too long for anything that a mail server sends."""
    record: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = getattr(hello, name)
        if value != default:
            record[name] = _plain(name, value)
    text = json.dumps(record, separators=(",", ":"))
    return text if len(text) <= LONGEST else None


def read_hello_text(text: str) -> ClientHello | None:
    """Read what `write_hello_text` wrote; None where it is anything else."""
    try:
        if len(text) > LONGEST:
            return None
        record = json.loads(text)
        return ClientHello(**{name: _value(name, value) for name, value in record.items()})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _plain(name: str, value: Any) -> Any:
    if name == "protocols":
        return [each.hex() for each in value]
    if name == _TEXT:
        return printable(value, 255)
    return sorted(value) if isinstance(value, frozenset) else value


def _value(name: str, value: Any) -> Any:
    if name not in _DEFAULTS:
        raise KeyError(name)
    if value is None and name in _MAY_BE_ABSENT:
        return None
    if name == _TEXT:
        return _of(str, value)
    if name in _FLAGS:
        return _of(bool, value)
    if name in _NUMBERS:
        return _number(value)
    if name == "protocols":
        return tuple(bytes.fromhex(each) for each in _of(list, value))
    most = 0xFFFFFF if name == "sslv2_kinds" else _MOST
    numbers = tuple(_number(each, most) for each in _of(list, value))
    return frozenset(numbers) if name == "broken" else numbers


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} is expected")
    return value


def _number(value: Any, most: int = _MOST) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a number of the protocol is expected")
    return value
