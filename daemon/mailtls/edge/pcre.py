"""PCRE2, the library that `grep -P` uses, with patterns compiled to machine code: many times faster than `re`.

Every Debian has `libpcre2-8.so.0` (package libpcre2-8-0: libselinux, and so coreutils, depends on it). One call of
`pcre2_substitute` takes a whole block and gives back only what was asked for, so that Python has no work for
each match. Where the library is missing, older than 10.38 (PCRE2_SUBSTITUTE_REPLACEMENT_ONLY), or may not make machine
code (MemoryDenyWriteExecute=yes), `patterns` returns None and Python's own search is used.

Sources: pcre2.h 10.42 for the numbers; pcre2api(3), section "Creating a new string with substitutions".

SECURITY: patterns are ours, what they read is strangers': PCRE2 gets the length of a block and the size of its
output; whatever it refuses (an error, a match limit) is searched with `re` instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from typing import Any

from mailtls.core.search import PLAIN, Finder, Gatherer

_LIBRARY = "libpcre2-8.so.0"
_VERSION, _OLDEST = 11, (10, 38)  # PCRE2_CONFIG_VERSION
_JIT_COMPLETE = 1
_NO_MEMORY = -48
_NO_MATCH = -1
# PCRE2_SUBSTITUTE_GLOBAL, _UNSET_EMPTY, _OVERFLOW_LENGTH, _REPLACEMENT_ONLY
_GATHER = 0x100 | 0x400 | 0x1000 | 0x20000
_ROOM = 1 << 18


class Patterns:
    """Compiles patterns with one loaded library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._code_of = _declared(library.pcre2_compile_8, c_void_p, c_char_p, c_size_t, c_uint32, POINTER(c_int),
                                  POINTER(c_size_t), c_void_p)  # fmt: skip
        self._make_fast = _declared(library.pcre2_jit_compile_8, c_int, c_void_p, c_uint32)
        self._match_data = _declared(library.pcre2_match_data_create_from_pattern_8, c_void_p, c_void_p, c_void_p)
        self._substitute = _declared(
            library.pcre2_substitute_8, c_int, c_void_p, c_char_p, c_size_t, c_size_t, c_uint32, c_void_p, c_void_p,
            c_char_p, c_size_t, c_void_p, POINTER(c_size_t),
        )  # fmt: skip
        self._match = _declared(
            library.pcre2_match_8, c_int, c_void_p, c_char_p, c_size_t, c_size_t, c_uint32, c_void_p, c_void_p
        )
        self._places = _declared(library.pcre2_get_ovector_pointer_8, POINTER(c_size_t), c_void_p)

    def work(self) -> bool:
        """Tell whether machine code can be made here."""
        return self._compile(b"x") is not None

    def gatherer(self, pattern: bytes, template: bytes) -> Gatherer:
        """As `Search.gatherer`."""
        compiled = self._compile(pattern)
        if compiled is None:
            return PLAIN.gatherer(pattern, template)
        code, data = compiled
        replacement = _numbered(template)
        substitute, asked, room, length = self._substitute, len(replacement), _ROOM, c_size_t()
        output = ctypes.create_string_buffer(room)

        def gather(block: bytes, start: int = 0) -> tuple[int, bytes]:
            nonlocal output, room
            while True:
                length.value = room
                found = substitute(
                    code, block, len(block), start, _GATHER, data, None, replacement, asked, output, byref(length)
                )
                if found >= 0:
                    return found, ctypes.string_at(output, length.value)
                if found != _NO_MEMORY:
                    return PLAIN.gatherer(pattern, template)(block, start)
                room = max(length.value, room * 2)
                output = ctypes.create_string_buffer(room)

        return gather

    def finder(self, pattern: bytes) -> Finder:
        """As `Search.finder`."""
        compiled = self._compile(pattern)
        if compiled is None:
            return PLAIN.finder(pattern)
        code, data = compiled
        match, places = self._match, self._places(data)

        def find(block: bytes) -> list[int]:
            found: list[int] = []
            size = len(block)
            result = match(code, block, size, 0, 0, data, None)
            while result > 0:
                found.append(places[0])
                result = match(code, block, size, places[1], 0, data, None)
            return found if result == _NO_MATCH else PLAIN.finder(pattern)(block)

        return find

    def _compile(self, pattern: bytes) -> tuple[c_void_p, c_void_p] | None:
        """The machine code of a pattern and a place for its matches; both live as long as this process."""
        error, place = c_int(), c_size_t()
        code = self._code_of(pattern, len(pattern), 0, byref(error), byref(place), None)
        if code is None or self._make_fast(code, _JIT_COMPLETE) != 0:
            return None
        data = self._match_data(code, None)
        return (c_void_p(code), c_void_p(data)) if data is not None else None


def patterns() -> Patterns | None:
    """Load the library; None where it is not there, too old, or cannot make machine code."""
    try:
        library = ctypes.CDLL(_LIBRARY)
        version = ctypes.create_string_buffer(64)
        if library.pcre2_config_8(_VERSION, version) < 0:
            return None
        major, _, minor = version.value.split(b" ")[0].partition(b".")
        found = Patterns(library) if (int(major), int(minor)) >= _OLDEST else None
    except (OSError, AttributeError, ValueError):
        return None
    return found if found is not None and found.work() else None


def _declared(function: Any, result: object, *arguments: object) -> Callable[..., Any]:
    function.restype = result
    function.argtypes = arguments
    return function  # type: ignore[no-any-return]


def _numbered(template: bytes) -> bytes:
    """The template in PCRE2's words: `%b` after `%b` is `${1}` after `${2}`."""
    pieces = template.replace(b"$", b"$$").split(b"%b")
    return b"".join([pieces[0], *(b"${%d}%b" % pair for pair in enumerate(pieces[1:], 1))])
