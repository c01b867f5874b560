"""`mailtlsctl watch`: everything as it happens, until Ctrl-C.

On a terminal the latest happenings fill the screen under their counts; in a pipe each is a line, with `--json` an
object a line. Ctrl-C is the way to end it: quietly, with exit status 0.

SECURITY: strangers can make thousands of happenings a second: the screen is drawn `FRAMES` times a second at most,
from the latest ones only.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter, deque
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mailtls.config import Places
from mailtls.core.controlprotocol import Happening
from mailtls.core.printable import printable
from mailtls.ctl import output
from mailtls.ctl.inquiry import places_of
from mailtls.ctl.screen import ADDRESS, BAD, GOOD, QUIET, colour_wanted, plural
from mailtls.edge.controlsocket import ControlSocket

FRAMES = 8  # a second
LONGEST = 400  # characters of one line in a pipe
_STYLES = {"decision": "yellow", "waiver": GOOD, "server": BAD, "source": BAD, "session": ""}


def watch(*, as_json: bool, config: str | None) -> int:
    """Print what happens until interrupted. Raises ConfigError, UnreachableError, RefusedError, ProtocolError."""
    places = places_of(config)
    try:
        if as_json or not _on_a_screen():
            asyncio.run(_listen(places, _json_line if as_json else _plain_line))
        else:
            _live(places)
    except KeyboardInterrupt:
        return 0
    return 0


async def _listen(places: Places, tell: Callable[[Happening], None]) -> None:
    async for happening in ControlSocket(places.control).watch():
        tell(happening)


def _json_line(happening: Happening) -> None:
    output.write_json(happening.model_dump_json())


def _plain_line(happening: Happening) -> None:
    output.write([printable(spell(happening), longest=LONGEST), "\n"])


def spell(happening: Happening) -> str:
    """Put one happening into one line: when, what kind, whom, what."""
    whom = " ".join(word for word in (happening.ip, happening.name) if word)
    return f"{happening.at.astimezone():%H:%M:%S}  {happening.kind:8}  {whom + '  ' if whom else ''}{_what(happening)}"


def _what(happening: Happening) -> str:
    more = [str(word) for word in (happening.cause, happening.level) if word and word not in happening.what]
    return f"{happening.what} ({', '.join(more)})" if more else happening.what


class Page:
    """The latest happenings, as many as the screen holds, under the counts of all."""

    def __init__(self) -> None:
        self._latest: deque[Happening] = deque(maxlen=200)
        self._counts: Counter[str] = Counter()

    def tell(self, happening: Happening) -> None:
        """Take in what happened."""
        self._latest.append(happening)
        self._counts[happening.kind] += 1

    def draw(self) -> Group:
        """Give what is to be seen now."""
        room = max(shutil.get_terminal_size().lines - 3, 3)
        rows = [_row(happening) for happening in tuple(self._latest)[-room:]]
        return Group(Text(self._head(), style=QUIET), *rows)

    def _head(self) -> str:
        counts = ", ".join(plural(count, kind) for kind, count in tuple(self._counts.items()))
        return f"{counts or 'nothing yet'}; Ctrl-C ends"


def _row(happening: Happening) -> Text:
    row = Text(no_wrap=True, overflow="ellipsis")
    row.append(f"{happening.at.astimezone():%H:%M:%S}  ", QUIET)
    row.append(f"{happening.kind:8}  ", _STYLES.get(happening.kind, ""))
    if happening.ip:
        row.append(f"{printable(happening.ip)}  ", ADDRESS)
    if happening.name:
        row.append(f"{printable(happening.name, longest=60)}  ")
    row.append(printable(_what(happening)))
    return row


def _live(places: Places) -> None:
    page = Page()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(no_color=not colour_wanted(), markup=False, emoji=False, highlight=False)
    with Live(console=console, get_renderable=page.draw, refresh_per_second=FRAMES, vertical_overflow="crop"):
        asyncio.run(_listen(places, page.tell))


def _on_a_screen() -> bool:
    dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown", "")
    return not dumb and sys.stdout is not None and sys.stdout.isatty()
