"""Where the keys of a TOML text stand, so that a refusal names the line.

tomllib gives values without their places. This reads the same text once more, only for places: it trusts that
tomllib has accepted it, and an unexpected turn costs a line number, never an error. A place is found for each table,
key, key of an inline table and element of a list; `line_of` falls back to what encloses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

Path = tuple[str | int, ...]

DEEPEST = 16  # keys and indexes; what lies deeper has the line of what encloses it

# Alternatives begin with different characters, and none repeats a group that can match the same text twice; the end
# quote is optional, so that a text left open is read once and not from each of its quotes again.
_TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)"
    r'|(?P<text>"""(?:[^"\\]|\\.|"(?!""))*(?:"{3,5})?|\'\'\'(?:[^\']|\'(?!\'\'))*(?:\'{3,5})?'
    r'|"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?)'
    r"|(?P<newline>\n)"
    r"|(?P<mark>[\[\]{}=,])"
    r"|(?P<bare>[^\s\[\]{}=,#\"']+)",
    re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines_of_keys(text: str) -> dict[Path, int]:
    """Map each key's path, such as `("peer", 0, "owner")`, to its line, counted from 1."""
    lines: dict[Path, int] = {}
    repeated: dict[Path, int] = {}  # arrays of tables, with the index of their last element
    table: Path = ()
    for statement in _statements(text):
        if statement[0].text == "[" and statement[0].kind == "mark":
            table = _header(statement, repeated, lines)
        else:
            _Value(statement, lines).key(table)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Give the line of a key, or of the nearest thing that encloses it; None where nothing does."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _tokens(text: str) -> Iterator[_Token]:
    line, counted = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        if match.lastgroup and match.lastgroup != "comment":
            yield _Token(match.lastgroup, match[0], line)


def _statements(text: str) -> Iterator[list[_Token]]:
    """Cut the text into headers and assignments: one ends at a line's end at which no bracket stands open."""
    statement: list[_Token] = []
    depth = 0
    for token in _tokens(text):
        if token.kind == "newline":
            if statement and depth <= 0:
                yield statement
                statement, depth = [], 0
            continue
        if token.kind == "mark":
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.text, 0)
        statement.append(token)
    if statement:
        yield statement


def _names(token: _Token) -> list[str]:
    """Split `a.b`; a quoted key is one name whatever it holds."""
    if token.kind == "text":
        return [token.text[1:-1]]
    return [name for name in token.text.split(".") if name]


def _header(statement: list[_Token], repeated: dict[Path, int], lines: dict[Path, int]) -> Path:
    """Open `[table]`, or the next element of `[[table]]`, and give its path."""
    names = [name for token in statement if token.kind != "mark" for name in _names(token)][:DEEPEST]
    line = statement[0].line
    path: Path = ()
    for number, name in enumerate(names, start=1):
        path = (*path, name)
        if number == len(names) and len(statement) > 1 and statement[1].text == "[":
            repeated[path] = repeated.get(path, -1) + 1
        lines.setdefault(path, line)
        if path in repeated:
            path = (*path, repeated[path])
            lines.setdefault(path, line)
    return path


class _Value:
    """Walks one assignment, noting places as it goes."""

    def __init__(self, tokens: list[_Token], lines: dict[Path, int]) -> None:
        self._tokens = tokens
        self._next = 0
        self._lines = lines

    def key(self, table: Path) -> None:
        """Read `a.b = value` within `table`."""
        path = table
        while (token := self._take()) and token.text != "=":
            for name in _names(token)[: DEEPEST - len(path)]:
                path = (*path, name)
                self._lines.setdefault(path, token.line)
        self._value(path)

    def _value(self, path: Path) -> None:
        token = self._take()
        if token is None or token.kind != "mark" or len(path) >= DEEPEST:
            return
        if token.text == "[":
            self._list(path)
        elif token.text == "{":
            self._table(path)

    def _list(self, path: Path) -> None:
        index = 0
        while (token := self._peek()) and token.text != "]":
            if token.text == ",":
                self._take()
                continue
            self._lines.setdefault((*path, index), token.line)
            self._value((*path, index))
            index += 1
        self._take()

    def _table(self, path: Path) -> None:
        while (token := self._peek()) and token.text != "}":
            if token.text == ",":
                self._take()
                continue
            self.key(path)
        self._take()

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> _Token | None:
        token = self._peek()
        self._next += 1
        return token
