"""A TOML file that an operator wrote, read into a model or refused with one sentence.

The sentence names the file and the line, what was seen, and what to write instead:

    policies/site.toml, line 12: "actoin" is no key of [causes.peer_too_old]; did you mean "action"?

pydantic knows what is wrong and `tomltext` knows where. Of several faults the first in the file is told: an operator
mends them one at a time, and later ones often follow from the first.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from mailtls.core.tomltext import Path, line_of, lines_of_keys
from mailtls.errors import ConfigError

LONGEST_VALUE = 60  # characters of a wrong value that are repeated to the operator

_Model = TypeVar("_Model", bound=BaseModel)

_EXPECTED = {
    "int_type": "a whole number without quotes",
    "int_from_float": "a whole number",
    "bool_type": "true or false without quotes",
    "string_type": 'text in quotes, such as "mail team"',
    "tuple_type": 'a list in brackets, such as ["192.0.2.0/24"]',
    "model_type": "a table, such as { sessions = 3 }",
    "model_attributes_type": "a table, such as { sessions = 3 }",
    "dict_type": "tables of their own, such as [causes.peer_too_old]",
    "date_type": "a date without quotes, such as 2027-06-30",
}


class Fault(NamedTuple):
    """One thing wrong in a file: where (path of keys), and what, as the rest of a sentence."""

    path: Path
    what: str


def parse_operator_file(model: type[_Model], text: str, source: str) -> _Model:
    """Read a TOML text into a model; a fault is a ConfigError of one sentence that begins with `source`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_not_toml(str(error), source)) from None
    except RecursionError:
        raise ConfigError(f"{source}: brackets are nested too deeply; write lists and tables side by side.") from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [_fault(model, dict(detail)) for detail in error.errors(include_url=False)]
        raise ConfigError(refusal(faults, text, source)) from None


def refusal(faults: Iterable[Fault], text: str, source: str) -> str:
    """Make the sentence about the first fault in the file; there must be at least one."""
    lines = lines_of_keys(text)
    placed = [(line_of(lines, fault.path), fault) for fault in faults]
    line, fault = min(placed, key=lambda pair: pair[0] or 0)
    place = f"{source}, line {line}" if line else source
    return f"{place}: {fault.what}" if fault.what.endswith("?") else f"{place}: {fault.what}."


def shown(value: object) -> str:
    """Repeat a value of the file, in its own spelling, printable and not too long."""
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    if text is None:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _not_toml(message: str, source: str) -> str:
    """Turn tomllib's `Expected '=' after a key (at line 3, column 5)` into our sentence."""
    match = re.fullmatch(
        r"(?P<what>[^\n]*) \(at (?:line (?P<line>[0-9]+), column (?P<column>[0-9]+)|end of document)\)", message
    )
    if match is None:
        return f"{source}: this is not TOML: {shown(message)}."
    what = match["what"][:1].lower() + match["what"][1:]
    if match["line"] is None:
        return f"{source}: this is not TOML: {what} at the end of the file; is a quote or bracket left open there?"
    return (
        f"{source}, line {match['line']}: this is not TOML: {what} (column {match['column']}); "
        'write key = value, with text in quotes, such as action = "advise".'
    )


def _fault(model: type[BaseModel], detail: dict[str, Any]) -> Fault:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    kind, seen = detail["type"], detail["input"]
    name = _key(path)
    if "[key]" in detail["loc"]:
        return Fault(path, f'"{path[-1]}" is no {_singular(path)}{_instead(str(path[-1]), _choices(detail))}')
    if kind == "extra_forbidden":
        keys = [field.alias or key for key, field in _model_at(model, path[:-1]).model_fields.items()]
        return Fault(path, f'"{path[-1]}" is no key of {_table(path[:-1])}{_instead(str(path[-1]), keys)}')
    if kind == "missing":
        return Fault(path, f"{_table(path[:-1])} has no {name}; add it, as docs/policy.md shows")
    if kind in ("enum", "literal_error"):
        return Fault(path, f"{name} is {shown(seen)}{_instead(str(seen), _choices(detail))}")
    if kind == "value_error":
        return Fault(path, f"{name}: {detail['ctx']['error']}")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = detail["ctx"].get("ge", detail["ctx"].get("le"))
        side = "less than the least" if kind.startswith("g") else "more than the most"
        return Fault(path, f"{name} is {shown(seen)}, {side} that is possible; write {bound}")
    expected = _EXPECTED.get(kind, detail["msg"][:1].lower() + detail["msg"][1:])
    return Fault(path, f"{name} is {shown(seen)}; write {expected}")


def _choices(detail: dict[str, Any]) -> list[str]:
    """Read the members out of pydantic's `'ignore', 'advise' or 'waive'`."""
    return re.findall(r"'([^']*)'", detail["ctx"]["expected"])


def _instead(seen: str, choices: list[str]) -> str:
    close = get_close_matches(seen.lower(), choices, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; write one of {', '.join(choices)}"


def _key(path: Path) -> str:
    """Name a key for a sentence: `limits.widest.ipv4`, `peer_too_old.lifetime`; in a list of tables just `owner`."""
    if path[0] == "causes" and len(path) > 1:
        path = path[1:]
    names: list[str] = []
    for place, part in enumerate(path):
        if isinstance(part, str):
            names.append(part)
        elif place < len(path) - 1:
            names = []
    return ".".join(names)


def _singular(path: Path) -> str:
    return {"causes": "cause"}.get(str(path[0]), "key") if path else "key"


def _table(path: Path) -> str:
    if not path:
        return "the file"
    if isinstance(path[-1], int):
        return f"[[{path[-2]}]] number {path[-1] + 1}"
    return f"[{'.'.join(str(part) for part in path)}]"


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """Find the model that reads the table at `path`; keys of mappings and indexes of lists stay in the model."""
    for part in path:
        for name, field in model.model_fields.items():
            if part == (field.alias or name):
                model = _inner(field.annotation) or model
    return model


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(argument) for argument in get_args(annotation))
    return next((inner for inner in found if inner is not None), None)
