"""What a person reads: text and tables by Rich, rendered to strings that fit the screen.

Promises: no line is wider than the screen (80 columns where there is no terminal, or what COLUMNS says); an address is
never cut or broken, other long text is folded, never shortened; colour only on a terminal, and not there either if
NO_COLOR is set or the terminal is dumb; in a locale without UTF-8 only ASCII is drawn.

SECURITY: every text goes through `core.printable` here, and Rich's markup, emoji codes and highlighting are off, so
that no name or log line of a stranger is obeyed by the terminal or by Rich.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from mailtls.core.history import Tally
from mailtls.core.printable import printable
from mailtls.ctl import output

NARROWEST, WIDEST, USUAL = 60, 120, 80
LONGEST_LINE = 4096

HEADING, BAD, GOOD, ADDRESS, QUIET = "bold", "bold red", "green", "bold cyan", "dim"


_CODES: dict[str, tuple[str, str]] = {"": ("", "")}


class _Buffer(io.StringIO):
    """Where Rich writes to; it asks its file for the character set."""

    encoding = "utf-8"


class Screen:
    """Renders for one width, character set and colour choice; the defaults are those of standard output."""

    def __init__(self, *, width: int | None = None, colour: bool | None = None, charset: str | None = None) -> None:
        self.colour = colour_wanted() if colour is None else colour
        self._buffer = _Buffer()
        self._buffer.encoding = charset or output.encoding()
        self._console = Console(
            file=self._buffer, width=width or screen_width(), force_terminal=self.colour, no_color=not self.colour,
            color_system="standard" if self.colour else None, markup=False, emoji=False, highlight=False,
            legacy_windows=False,
        )  # fmt: skip
        self._width = self._console.width  # Rich looks at the terminal and the environment each time

    @property
    def width(self) -> int:
        """Columns of a line."""
        return self._width

    def render(self, *parts: RenderableType, indent: int = 0) -> str:
        """Render the parts, one under the other; lines end in a newline and have no blanks before it."""
        for part in parts:
            self._console.print(Padding(part, (0, 0, 0, indent)) if indent else part, overflow="fold")
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def prose(self, words: str, style: str = "", *, lead: str = "", lead_style: str = "", indent: int = 0) -> str:
        """Render one paragraph without Rich, whose price shows where a large log has thousands of failing peers.

        `lead`, one word, stands before the others in a style of its own; all lines are indented alike.
        """
        lead, margin = printable(lead, longest=LONGEST_LINE), " " * indent
        folded = list(fold(f"{lead}{printable(words, longest=LONGEST_LINE)}", self.width - indent))
        if self.colour:
            led = len(lead) if folded[0].startswith(lead) else 0
            first = _painted(lead[:led], lead_style) + _painted(folded[0][led:], style)
            folded = [first, *(_painted(line, style) for line in folded[1:])]
        return "".join(f"{margin}{line}\n" for line in folded)


def fold(words: str, width: int) -> Iterator[str]:
    """Break a text between words into lines of at most so many columns; a word that is wider is broken itself."""
    while (room := _room(words, width)) < len(words):
        end = words.rfind(" ", 1, room + 1)
        end = end if end > 0 and words[:end].strip() else room
        yield words[:end].rstrip()
        words = words[end:].lstrip()
    yield words.rstrip()


def _room(words: str, width: int) -> int:
    """Count the characters that fit; East Asian ones take two columns."""
    if words.isascii() or len(words) * 2 <= width:
        return min(len(words), width)
    used = 0
    for place, character in enumerate(words):
        used += cell_len(character)
        if used > width:
            return max(place, 1)
    return len(words)


def _painted(words: str, style: str) -> str:
    if not words or not style:
        return words
    if style not in _CODES:
        before, _, after = Style.parse(style).render("|", color_system=ColorSystem.STANDARD).partition("|")
        _CODES[style] = before, after
    before, after = _CODES[style]
    return f"{before}{words}{after}"


def colour_wanted() -> bool:
    """Tell whether standard output is a terminal that may be coloured (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def screen_width() -> int:
    """Columns to fill: COLUMNS, else the terminal's, else 80; within reason."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((USUAL, 24)).columns))


def text(words: str, style: str = "") -> Text:
    """Make one printable text of words that may be a stranger's."""
    return Text(printable(words, longest=LONGEST_LINE), style=style)


def sentence(*pieces: str | tuple[str, str]) -> Text:
    """Join pieces, plain or (words, style), into one printable text."""
    line = Text()
    for piece in pieces:
        line.append_text(text(piece) if isinstance(piece, str) else text(*piece))
    return line


def heading(words: str, style: str = HEADING) -> Text:
    """Make the head of a section, with an empty line above it."""
    return Text("\n").append_text(text(words, style))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 1) -> Table:
    """Lay out rows under headings; the first `numbers` columns are right-aligned figures, kept whole."""
    layout = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET, show_edge=False)
    for place, name in enumerate(columns):
        layout.add_column(
            name, justify="right" if place < numbers else "left", no_wrap=place < numbers, overflow="fold"
        )
    for row in rows:
        layout.add_row(*(text(cell) for cell in row))
    return layout


def listing(rows: Iterable[Sequence[str]]) -> Table:
    """Lay out rows without headings; the first column is a right-aligned figure."""
    layout = Table.grid(padding=(0, 2, 0, 0))
    layout.add_column(justify="right", no_wrap=True, min_width=7)
    for row in rows:
        layout.add_row(*(text(cell) for cell in row))
    for column in layout.columns[1:]:
        column.overflow = "fold"
    return layout


def moment(at: datetime | None) -> str:
    """Spell a time to the minute, as the log's own zone has it; a dash where the log has no stamps."""
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else "-"


def span(first: datetime | None, last: datetime | None) -> str:
    """Spell first and last time; the day once where it is the same."""
    if first is None or last is None:
        return "no time stamps in the log"
    if moment(first) == moment(last):
        return moment(first)
    return f"{moment(first)} to {last:%H:%M}" if first.date() == last.date() else f"{moment(first)} to {moment(last)}"


def since_until(tally: Tally) -> str:
    """Spell when sessions were seen, to stand behind other words; nothing where the log has no stamps."""
    return f"; {span(tally.first, tally.last)}" if tally.first is not None else ""


def figure(number: int) -> str:
    """Spell a count with thousands set apart."""
    return f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Spell a count with its noun."""
    return f"{figure(number)} {one if number == 1 else many or one + 's'}"
