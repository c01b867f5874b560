"""main.cf: parameters with the places where they stand, and changes that touch one of them and nothing else.

How a line is read: util/dict.c:dict_load_fp and util/split_nameval.c (3.7): `name = value`, white space around both
ignored. Where a name stands twice the last one wins, and every program of Postfix says so in the log.

A value is put in place of the old one, bytes for bytes; a new parameter goes to the end of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailtls.core.configfile import WHITE, LogicalLine, Span, line_end, parse_lines, replaced, without_lines


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `name = value`; `start` and `end` are the value's place in the logical line's text."""

    name: str
    value: str
    line: LogicalLine
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MainCf:
    """The file. `text` is its bytes; lines without `=` are not parameters, and Postfix refuses them."""

    text: str
    parameters: tuple[Parameter, ...]

    def find(self, name: str) -> Parameter | None:
        """Give the entry that counts: the last of that name."""
        return next((each for each in reversed(self.parameters) if each.name == name), None)

    def with_value(self, name: str, value: str) -> str:
        """Give the text with this value: in place of what counts now, or as a new last line."""
        if any(each in value for each in "\r\n"):
            raise ValueError("a value is one line")
        found = self.find(name)
        if found is None:
            return self.text + self._as_last_line(f"{name} = {value}")
        return replaced(self.text, _value_spans(found, value))

    def without(self, name: str) -> str:
        """Give the text without every entry of that name."""
        text = self.text
        while (found := parse_main_cf(text).find(name)) is not None:
            text = without_lines(text, found.line)
        return text

    def _as_last_line(self, words: str) -> str:
        ending = line_end(self.text, len(self.text))
        return words + ending if not self.text or self.text.endswith("\n") else ending + words


def parse_main_cf(text: str) -> MainCf:
    """Read main.cf."""
    found = (_parameter(line) for line in parse_lines(text))
    return MainCf(text, tuple(each for each in found if each is not None))


def _parameter(line: LogicalLine) -> Parameter | None:
    named, equals, rest = line.text.partition("=")
    name = named.strip(WHITE)
    if not equals or not name or any(each in WHITE for each in name):
        return None
    value = rest.strip(WHITE)
    start = len(named) + 1 + (len(rest) - len(rest.lstrip(WHITE)) if value else 0)
    return Parameter(name, value, line, start, start + len(value))


def _value_spans(found: Parameter, value: str) -> list[Span]:
    """Replace the value on its first physical line, and take out the lines that continue it; comments between stay."""
    line = found.line
    if found.start == found.end:
        at = line.behind(found.start)
        return [Span(at, at, f" {value}")]
    first = line.place(found.start)
    last = line.behind(found.end)
    end = next(end for start, end in line.pieces if start <= first < end)
    kept = len(line.text[found.start :][: end - first].rstrip(WHITE))
    return [
        Span(first, first + kept, value),
        *(Span(start - 1, end, "") for start, end in line.pieces if first < start < last),
    ]
