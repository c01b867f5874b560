"""The order of a log: oldest line first, or newest first as web interfaces show it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mailtls.core.logline import LogLine, split
from mailtls.core.stamp import Calendar


def newest_first(lines: Sequence[bytes], calendar: Calendar) -> bool:
    """Tell whether these lines, a whole small log, run backwards.

    They do if their stamps only ever go down; or, where all stamps are equal, if each client's `disconnect` stands
    before its `connect`.
    """
    heads = [head for head in map(split, lines) if head is not None]
    moments = [moment for moment in (calendar.read(head.stamp) for head in heads if head.stamp) if moment is not None]
    if len(moments) < 3 or any(later > earlier for earlier, later in pairwise(moments)):
        return False
    return moments[0] > moments[-1] or _ends_before_it_begins(heads)


def _ends_before_it_begins(heads: Sequence[LogLine]) -> bool:
    ended: set[bytes] = set()
    backwards = False
    for head in heads:
        word, _, rest = head.message.partition(b" from ")
        client = (head.source, rest.split(b" ", 1)[0])
        if word == b"disconnect":
            ended.add(b" ".join(client))
        elif word == b"connect":
            if b" ".join(client) not in ended:
                return False
            backwards = True
    return backwards
