"""master.cf: services and their `-o` options, with the places where they stand.

How an entry is read: master/master_ent.c:get_master_ent (3.7), eight fields between blanks, then arguments, where
`{ ... }` holds blanks together (global/mystrtokq, util/extpar.c). How `-o` is read: getopt(3) in
master/single_server.c, `-o name=value` and `-oname=value`, since 3.0 also `-o { name = value }`; of two for the same
parameter the last wins, and so does the last of two entries for the same service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailtls.core.configfile import WHITE, LogicalLine, parse_lines

BLANKS = " \t\r\n"
"""What separates fields and arguments (util/sys_defs.h, CHARS_SPACE)."""
FIELDS = 8


@dataclass(frozen=True, slots=True)
class Word:
    """One field or argument as it is written, and its place in the logical line's text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Option:
    """One `-o name=value` of a service.

    `start` to `end` is the whole option, `value_start` to `value_end` its value without blanks around; all in the
    logical line's text.
    """

    name: str
    value: str
    start: int
    end: int
    value_start: int
    value_end: int


@dataclass(frozen=True, slots=True)
class Service:
    """One entry."""

    line: LogicalLine
    fields: tuple[str, ...]
    arguments: tuple[Word, ...]
    options: tuple[Option, ...]

    @property
    def name(self) -> str:
        """Where it listens: a port, `host:port`, or a name in the queue directory."""
        return self.fields[0]

    @property
    def kind(self) -> str:
        """Name its type: inet, unix, unix-dgram, fifo or pass."""
        return self.fields[1]

    @property
    def key(self) -> str:
        """Name it as `postconf -P` does."""
        return f"{self.name}/{self.kind}"

    @property
    def chroot(self) -> str:
        """Give its chroot field: y, n, or - for the default of the compatibility level."""
        return self.fields[4]

    @property
    def command(self) -> str:
        """Name the program."""
        return self.fields[7]

    @property
    def argv(self) -> tuple[str, ...]:
        """Give the arguments as the master passes them on: `{ a b }` without its braces (util/extpar.c)."""
        return tuple(
            word.text[1:-1].strip(WHITE) if word.text.startswith("{") and word.text.endswith("}") else word.text
            for word in self.arguments
        )

    def option(self, parameter: str) -> Option | None:
        """Give the option that counts for a parameter: the last."""
        return next((each for each in reversed(self.options) if each.name == parameter), None)

    @property
    def overrides(self) -> dict[str, str]:
        """Give every parameter that the entry sets, with the value that counts."""
        return {each.name: each.value for each in self.options}


@dataclass(frozen=True, slots=True)
class MasterCf:
    """The file; lines that are no entries are left out, and Postfix refuses them."""

    text: str
    services: tuple[Service, ...]

    def find(self, key: str) -> Service | None:
        """Give the entry that counts for `name/type`: the last."""
        return next((each for each in reversed(self.services) if each.key == key), None)

    @property
    def effective(self) -> tuple[Service, ...]:
        """Give the entries that count, in the order of the file."""
        return tuple(each for each in self.services if self.find(each.key) is each)


def parse_master_cf(text: str) -> MasterCf:
    """Read master.cf."""
    found = (_service(line) for line in parse_lines(text))
    return MasterCf(text, tuple(each for each in found if each is not None))


def _service(line: LogicalLine) -> Service | None:
    words = tuple(_words(line.text))
    if len(words) < FIELDS:
        return None
    arguments = words[FIELDS:]
    return Service(line, tuple(word.text for word in words[:FIELDS]), arguments, tuple(_options(arguments)))


def _words(text: str) -> Iterator[Word]:
    """Cut at blanks; from the ninth word on, not inside braces."""
    at, number = 0, 0
    while True:
        while at < len(text) and text[at] in BLANKS:
            at += 1
        if at == len(text):
            return
        end = _word_end(text, at, braces=number >= FIELDS)
        yield Word(text[at:end], at, end)
        at, number = end, number + 1


def _word_end(text: str, at: int, *, braces: bool) -> int:
    depth = 0
    for index in range(at, len(text)):
        char = text[index]
        if braces and char == "{":
            depth += 1
        elif depth and char == "}":
            depth -= 1
        elif not depth and char in BLANKS:
            return index
    return len(text)


def _options(arguments: tuple[Word, ...]) -> Iterator[Option]:
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word.text == "-o" and at < len(arguments):
            option = _option(arguments[at], word.start, 0)
            at += 1
        elif word.text.startswith("-o"):
            option = _option(word, word.start, 2)
        else:
            continue
        if option is not None:
            yield option


def _option(word: Word, start: int, skipped: int) -> Option | None:
    """Read `name=value` or `{ name = value }` (util/split_nameval.c)."""
    inside, offset = word.text[skipped:], word.start + skipped
    if inside.startswith("{") and inside.endswith("}"):
        inside, offset = inside[1:-1], offset + 1
    named, equals, rest = inside.partition("=")
    name, value = named.strip(WHITE), rest.strip(WHITE)
    if not equals or not name:
        return None
    value_start = offset + len(named) + 1 + (len(rest) - len(rest.lstrip(WHITE)) if value else 0)
    return Option(name, value, start, word.end, value_start, value_start + len(value))
