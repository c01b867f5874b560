"""Standard output and standard error of `mailtlsctl`.

Promises: what is printed never fails for want of a character (a locale without it gets `?`); a reader that went away
(`| head`) surfaces as ReaderGoneError, which `main` ends silently; a disk that is full surfaces as StoreError, one
sentence. Nothing here needs Rich: `report --format json` must not pay for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable

from mailtls.core.printable import printable
from mailtls.errors import StoreError

_BATCH = 1 << 16  # characters handed to standard output at once
# As core/printable.py has them, without C0, which JSON itself escapes within strings.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


class ReaderGoneError(Exception):
    """Nobody reads standard output any more. No OSError: Click would end the program with a status of its own."""


def encoding() -> str:
    """Name the character set of standard output, as the locale says."""
    return getattr(sys.stdout, "encoding", None) or "ascii"


def write(pieces: Iterable[str]) -> None:
    """Write the pieces to standard output, some at a time, so that a long report is never whole in memory."""
    if sys.stdout is None:  # closed by the caller (`>&-`): nobody wants the text
        return
    batch: list[str] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= _BATCH:
            _put("".join(batch))
            batch, size = [], 0
    _put("".join(batch))


def write_json(text: str) -> None:
    """Write one JSON text and a line end; what a terminal would obey in its strings is escaped, nothing is lost."""
    write([_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text), "\n"])


def _put(text: str) -> None:
    charset = encoding()
    try:
        sys.stdout.write(text.encode(charset, "replace").decode(charset))
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise StoreError(f"standard output cannot be written: {error.strerror}; the report is incomplete") from error


def leave() -> None:
    """Get rid of what standard output did not take: Python would try again at exit, and complain in its own words."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def complain(sentence: str) -> None:
    """Say one sentence on standard error, with the program's name in front."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no standard error: nobody to tell
        sys.stderr.write(f"mailtlsctl: {printable(sentence, longest=2000)}\n")
