"""Standard output and standard error of `mailtlsctl`.

Promises: what is printed never fails for want of a character (a locale without it gets `?`); a reader that went away
(`| head`) surfaces as BrokenPipeError, which `main` ends silently; a disk that is full surfaces as StoreError, one
sentence. Nothing here needs Rich: `report --format json` must not pay for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from mailtls.core.printable import printable
from mailtls.errors import StoreError

_BATCH = 1 << 16  # characters handed to standard output at once


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


def _put(text: str) -> None:
    charset = encoding()
    try:
        sys.stdout.write(text.encode(charset, "replace").decode(charset))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
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
