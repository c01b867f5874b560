"""When Postfix was reloaded or started, by its own log (master/master.c, master_sig.c)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from mailtls.core.doctorlog import Change
from mailtls.core.logline import split
from mailtls.edge.logstream import LogFile
from mailtls.errors import InputError

MOST = 1000
_SIGNS = {b": reload -- version ": "Postfix was reloaded", b": daemon started -- version ": "Postfix was started"}


def reloads_in(logs: Iterable[str]) -> tuple[Change, ...]:
    """Give the reloads and starts that the logs tell of, the latest; nothing of a pipe, which was read already."""
    found: deque[Change] = deque(maxlen=MOST)
    for path in logs:
        if path != "-":
            try:
                found.extend(_in_file(LogFile(path)))
            except InputError:
                continue  # that it cannot be read was said when it was read the first time
    return tuple(found)


def _in_file(file: LogFile) -> list[Change]:
    calendar, changes = file.calendar(), []
    for line in file.lines():
        if b" -- version " not in line:
            continue
        what = next((words for sign, words in _SIGNS.items() if sign in line), None)
        head = split(line) if what is not None else None
        at = calendar.read(head.stamp) if head is not None and head.stamp else None
        if what is not None and at is not None:
            changes.append(Change(at, what))
    return changes
