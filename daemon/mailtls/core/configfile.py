"""A configuration file of Postfix as it lies on the disk: logical lines with their places, and changes of single spans.

What is a logical line follows util/readlline.c:readllines (3.7): a line that begins with white space continues the one
before, also across comments and blank lines between the two; comments and blank lines say nothing wherever they are.
White space is what isspace(3) calls so in the C locale, and a line ends at a line feed only: a carriage return before
it is white space to Postfix.

Promises: nothing here normalises anything. Whoever reads a file with `errors="surrogateescape"` and writes it back
unchanged has the same bytes; a change touches its own span and no other byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WHITE = " \t\n\r\v\f"


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One entry of main.cf or master.cf, as Postfix joins it.

    `pieces` are the physical lines that say something, as (start, end) in the file, line feeds left out; `end` is
    behind the last one's line feed, so that what is inserted there comes directly below it.
    """

    pieces: tuple[tuple[int, int], ...]
    end: int
    text: str

    @property
    def start(self) -> int:
        """Where the entry begins in the file."""
        return self.pieces[0][0]

    def place(self, index: int) -> int:
        """Say where in the file the character `index` of `text` stands."""
        for start, end in self.pieces:
            if index < end - start:
                return start + index
            index -= end - start
        raise ValueError("the logical line is shorter than that")

    def behind(self, index: int) -> int:
        """Say where in the file the character before `index` ends: on its own physical line."""
        return self.place(index - 1) + 1 if index else self.start


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` to `end` of a text, to be replaced by `new`."""

    start: int
    end: int
    new: str


def parse_lines(text: str) -> tuple[LogicalLine, ...]:
    """Find the logical lines; those that begin with white space and continue nothing are left out, as by Postfix."""
    groups: list[list[tuple[int, int]]] = []
    for start, end in _physical_lines(text):
        if not says_something(text[start:end]):
            continue
        if text[start] in WHITE and groups:
            groups[-1].append((start, end))
        else:
            groups.append([(start, end)])
    lines = (_joined(text, pieces) for pieces in groups)
    return tuple(line for line in lines if line.text[0] not in WHITE)


def says_something(physical: str) -> bool:
    """Tell whether a physical line is neither blank nor a comment."""
    said = physical.lstrip(WHITE)
    return bool(said) and said[0] != "#"


def _physical_lines(text: str) -> Iterable[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1


def _joined(text: str, pieces: list[tuple[int, int]]) -> LogicalLine:
    last = pieces[-1][1]
    return LogicalLine(tuple(pieces), min(last + 1, len(text)), "".join(text[start:end] for start, end in pieces))


def replaced(text: str, spans: Iterable[Span]) -> str:
    """Replace spans that do not overlap; every other byte stays."""
    result, done = [], 0
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if span.start < done:
            raise ValueError("two changes touch the same bytes")
        result += [text[done : span.start], span.new]
        done = span.end
    return "".join((*result, text[done:]))


def below(text: str, line: LogicalLine, words: str) -> Span:
    """Make a physical line of its own directly below an entry, with the entry's own kind of line end.

    Where the file ends without one, it goes on doing so.
    """
    ending = line_end(text, line.end)
    if line.end and text[line.end - 1] == "\n":
        return Span(line.end, line.end, words + ending)
    return Span(line.end, line.end, ending + words)


def line_end(text: str, before: int) -> str:
    """Say how the physical line ends that ends at or before an offset; a file without any line end gets line feeds."""
    feed = text.rfind("\n", 0, before)
    return "\r\n" if feed > 0 and text[feed - 1] == "\r" else "\n"


def without_lines(text: str, line: LogicalLine) -> str:
    """Take an entry out with its physical lines; comments and blank lines between them stay.

    Where it was the end of a file without a line end, the file goes on ending without one.
    """
    return replaced(text, [_physical(text, start, end) for start, end in line.pieces])


def _physical(text: str, start: int, end: int) -> Span:
    if end < len(text):
        return Span(start, end + 1, "")
    return Span(max(start - len(line_end(text, start)), 0), end, "")
