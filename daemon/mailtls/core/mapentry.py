"""Our tables in master.cf: put into a service's `-o`, and taken out again byte for byte.

Putting in is one insertion: an option of its own below the entry, or, where the entry has that option already, our
words in front of its value. What was inserted is remembered. Taking out looks for exactly that; where somebody edited
it since, only our words are taken out, and a note says so.

Tables of the operator stay behind ours and go on being asked: the first hit wins (facts 1.6), and the keeper has joined
the operator's answer into every entry of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mailtls.core.configfile import WHITE, Span, below, replaced
from mailtls.core.mastercf import Option, Service, parse_master_cf

SEPARATORS = WHITE + ","
"""What stands between the tables of a list (global/maps.c:maps_create, CHARS_COMMA_SP)."""
NOTHING = "and nothing had to be taken out there"


@dataclass(frozen=True, slots=True)
class Insertion:
    """What was put into one service: `words`, exactly; `whole` if they are an option of their own."""

    service: str
    parameter: str
    words: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service shall ask: `ours`, and behind them `own`, which it took from main.cf so far."""

    service: str
    parameter: str
    ours: tuple[str, ...]
    own: str = ""


def put_in(text: str, wanted: Wanted) -> tuple[str, Insertion | None]:
    """Give the text with our tables in front, and what was inserted; None where they stand there already.

    Raises ValueError where the service is not in the text.
    """
    service = parse_master_cf(text).find(wanted.service)
    if service is None:
        raise ValueError(f"there is no service {wanted.service}")
    option, ours = service.option(wanted.parameter), ",".join(wanted.ours)
    if option is None:
        value = ours + (f",{wanted.own}" if wanted.own else "")
        span = below(text, service.line, f"{_indent(text, service)}-o {_assignment(wanted.parameter, value)}")
    elif _begins_with(option.value, wanted.ours):
        return text, None
    else:
        at = _value_place(service, option)
        span = Span(at, at, f"{ours}," if option.value else ours)
    return replaced(text, [span]), Insertion(wanted.service, wanted.parameter, span.new, option is None)


def _assignment(parameter: str, value: str) -> str:
    return f"{{ {parameter} = {value} }}" if any(each in WHITE for each in value) else f"{parameter}={value}"


def _indent(text: str, service: Service) -> str:
    """Indent as the entry's last continuation line is, unless with white space that separates no words."""
    start, end = service.line.pieces[-1]
    indent = text[start : end - len(text[start:end].lstrip(WHITE))]
    return indent if indent and not indent.strip(" \t") else "  "


def _value_place(service: Service, option: Option) -> int:
    empty = option.value_start == option.value_end
    return service.line.behind(option.value_start) if empty else service.line.place(option.value_start)


def _begins_with(value: str, ours: tuple[str, ...]) -> bool:
    return tuple(tables_of(value)[: len(ours)]) == ours


def tables_of(value: str) -> tuple[str, ...]:
    """Cut a list of tables at commas and blanks, not inside braces (util/mystrtok.c:mystrtokq)."""
    return tuple(value[start:end] for start, end in _places(value))


def _places(value: str) -> list[tuple[int, int]]:
    places, depth, start = [], 0, -1
    for index, char in enumerate(value):
        separates = depth == 0 and char in SEPARATORS
        if separates and start >= 0:
            places.append((start, index))
        start = -1 if separates else (index if start < 0 else start)
        depth += {"{": 1, "}": -1 if depth else 0}.get(char, 0)
    return places + ([(start, len(value))] if start >= 0 else [])


# --- taking out --------------------------------------------------------------------------------------------------


def take_out(text: str, inserted: Insertion, ours: tuple[str, ...]) -> tuple[str, str | None]:
    """Give the text without what was inserted, and a note where it was not simply what we had put there."""
    where = f"service {inserted.service} of master.cf"
    service = parse_master_cf(text).find(inserted.service)
    if service is None:
        return text, f"{where} is gone, {NOTHING}"
    option = _option_with(service, inserted.parameter, ours)
    if option is None:
        return text, f"{where} does not name the tables of mailtls any more, {NOTHING}"
    exact = _without_insertion(text, service, option, inserted)
    if exact is not None:
        return exact, None
    left = _without_ours(option.value, ours)
    if left.strip(SEPARATORS) or not inserted.whole:
        changed = replaced(text, _value_spans(service, option, ours))
        did = f"only these words were taken out of -o {inserted.parameter}, and {left.strip(SEPARATORS)!r} is left"
    else:
        changed = replaced(text, _option_spans(text, service, option))
        did = "the option was taken out"
    return changed, f"{where} was edited since mailtls put its tables there; {did}"


def _option_with(service: Service, parameter: str, ours: tuple[str, ...]) -> Option | None:
    named = (each for each in reversed(service.options) if each.name == parameter)
    return next((each for each in named if set(ours) & set(tables_of(each.value))), None)


def _without_insertion(text: str, service: Service, option: Option, inserted: Insertion) -> str | None:
    """Take out exactly what was inserted, if it still stands there as it was and nothing was written onto it."""
    words = inserted.words
    if inserted.whole:
        found = service.line.place(option.start) - words.find("-o")
        if words[0] not in "\r\n" and text[found - 1] != "\n":
            return None
    else:
        found = _value_place(service, option)
    if found < 0 or not text.startswith(words, found):
        return None
    changed = replaced(text, [Span(found, found + len(words), "")])
    return changed if _is_undone(changed, service, option, inserted) else None


def _is_undone(changed: str, service: Service, option: Option, inserted: Insertion) -> bool:
    """Tell whether every other word of the entry is what it was."""
    now = parse_master_cf(changed).find(inserted.service)
    if now is None or now.fields != service.fields:
        return False
    kept = [word.text for word in service.arguments if not option.start <= word.start < option.end]
    if inserted.whole:
        return kept == [word.text for word in now.arguments]
    left = option.value[len(inserted.words) :]
    return now.overrides.get(inserted.parameter) == left and inserted.words.endswith(",") == bool(left)


def _without_ours(value: str, ours: tuple[str, ...]) -> str:
    spans = [Span(*each, "") for each in _our_places(value, ours)]
    return replaced(value, spans)


def _our_places(value: str, ours: tuple[str, ...]) -> list[tuple[int, int]]:
    """Find our tables in a value, each with the separators behind it, or, at the end, before it."""
    places = _places(value)
    kept = [end for start, end in places if value[start:end] not in ours]
    tail = kept[-1] if kept else 0
    found = [(start, then) for (start, end), (then, _) in pairwise(places) if start < tail and value[start:end] in ours]
    return found + ([(tail, len(value))] if places[-1][1] > tail else [])


def _value_spans(service: Service, option: Option, ours: tuple[str, ...]) -> list[Span]:
    line, base = service.line, option.value_start
    return [
        Span(line.place(base + index), line.place(base + index) + 1, "")
        for start, end in _our_places(option.value, ours)
        for index in range(start, end)
    ]


def _option_spans(text: str, service: Service, option: Option) -> list[Span]:
    """Take an option out: with its physical line where it stands alone there, else with the blanks before it."""
    line = service.line
    start, end = line.place(option.start), line.behind(option.end)
    piece = next((each for each in line.pieces if each[0] <= start and end <= each[1]), None)
    if piece is None:
        return [Span(line.place(index), line.place(index) + 1, "") for index in range(option.start, option.end)]
    if text[piece[0] : piece[1]].strip(WHITE) == text[start:end] and piece != line.pieces[0]:
        return [Span(piece[0] - 1, piece[1], "")]
    while text[start - 1] in " \t":
        start -= 1
    return [Span(start, end, "")]
