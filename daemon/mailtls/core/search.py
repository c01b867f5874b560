"""How patterns are searched for in a block: with Python's own means, or with faster ones that the edge brings along.

Patterns are regular expressions that Python's `re` and PCRE2 read alike: possessive quantifiers, lookbehinds of one
width, no flags; a group stands in the template as one `%b`. Promise: every Search gives the same answers.

SECURITY: what is searched is strangers' text; a pattern consumes what it has looked at, so that no line is read again
and again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Finder = Callable[[bytes], list[int]]


class Gatherer(Protocol):
    """A pattern with its template."""

    def __call__(self, block: bytes, start: int = 0) -> tuple[int, bytes]:
        """Search from `start` on; what stands before is seen by lookbehinds only."""


@dataclass(frozen=True, slots=True)
class Search:
    """Three ways to ask a block.

    `gatherer(pattern, template)(block)`: how often the pattern is there, and the template filled in for each time, all
    behind each other. `finder(pattern)(block)`: the places where it begins. `lines(block)`: how many newlines.
    """

    gatherer: Callable[[bytes, bytes], Gatherer]
    finder: Callable[[bytes], Finder]
    lines: Callable[[bytes], int]


def one_of(words: list[bytes]) -> bytes:
    """Write the pattern of these words as a tree of their letters, so that hundreds are compared as fast as few."""
    tree: dict[int, list[bytes]] = {}
    for word in sorted(set(words)):
        if word:
            tree.setdefault(word[0], []).append(word[1:])
    branches = [re.escape(bytes((letter,))) + one_of(rest) for letter, rest in tree.items()]
    if b"" in words:
        branches.append(b"")
    if not branches:
        return b"(?!)"
    return branches[0] if len(branches) == 1 else b"(?:%b)" % b"|".join(branches)


def _gatherer(pattern: bytes, template: bytes) -> Gatherer:
    find = re.compile(pattern).findall

    def gather(block: bytes, start: int = 0) -> tuple[int, bytes]:
        found = find(block, start)
        return len(found), b"".join([template % groups for groups in found]) if template else b""

    return gather


def _finder(pattern: bytes) -> Finder:
    if re.escape(pattern) == pattern.replace(b" ", b"\\ "):
        return lambda block: _places(pattern, block)
    find = re.compile(pattern).finditer
    return lambda block: [match.start() for match in find(block)]


def _places(text: bytes, block: bytes) -> list[int]:
    """`bytes.find` is several times faster than `re` where a literal is rare."""
    found: list[int] = []
    at = block.find(text)
    while at >= 0:
        found.append(at)
        at = block.find(text, at + len(text))
    return found


def _lines(block: bytes) -> int:
    return block.count(b"\n")


PLAIN = Search(_gatherer, _finder, _lines)
