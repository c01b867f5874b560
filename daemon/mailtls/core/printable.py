"""Make a stranger's text printable: what an operator's terminal gets to see of a log line.

Control characters (C0, DEL, C1: a terminal obeys them), line and paragraph separators, and the marks that turn the
writing direction (they make one address look like another) become `?`, as Postfix's own printable() does
(util/printable.c). Bytes that are no UTF-8 become `\\xNN`.
"""

from __future__ import annotations

import re

_DANGEROUS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
LONGEST = 400


def printable(text: bytes | str, longest: int = LONGEST) -> str:
    """Return the text without anything that a terminal would obey, at most `longest` characters."""
    if isinstance(text, bytes):
        text = text[: longest * 4].decode("utf-8", "backslashreplace")
    text = _DANGEROUS.sub("?", text.replace("\t", " "))
    return text if len(text) <= longest else text[: longest - 1] + "…"
