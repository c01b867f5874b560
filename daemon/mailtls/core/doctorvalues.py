"""Values that Postfix accepts and its programs die of: a word where a number, a time, or yes and no are wanted.

What a parameter takes is told by its built-in value, without any list of names. Only parameters of smtpd are looked at:
they are the ones that `postfix check` does not try (facts 2.7).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from mailtls.core.doctorfinding import EDIT_MAIN, EDIT_MASTER, EVIDENCE_LINES, DoctorFinding
from mailtls.core.mastercf import Service
from mailtls.core.printable import printable

OURS = re.compile(r"(?:smtpd|tls|postscreen)_[A-Za-z0-9_]{1,80}")
_SHAPES = (
    (re.compile(r"yes|no"), re.compile(r"yes|no", re.IGNORECASE), "yes or no"),
    (re.compile(r"\d+[smhdw]"), re.compile(r"\d+[smhdw]?", re.IGNORECASE), "a time such as 300s"),
    (re.compile(r"\d+"), re.compile(r"-?\d+"), "a number"),
)
# These take words beside yes and no (since security releases of 3.5 to 3.8, and 3.9).
_MORE_WORDS = frozenset({"smtpd_forbid_bare_newline"})
_WARNING = re.compile(r"warning: (?P<file>[^:]+): unused parameter: (?P<name>[^=\s]+)=")
_TWICE = re.compile(r"warning: (?P<file>[^:]+), line (?P<line>\d+): overriding earlier entry: (?P<name>[^=\s]+)=")
_FOR_TLS = re.compile(r"(?:smtpd?|tls|lmtp|postscreen)_")
NAMED = 6


def value_findings(
    written: Mapping[str, str], builtin: Mapping[str, str], place: str, *, option: bool = False
) -> Iterator[DoctorFinding]:
    """Compare values, `$name` followed, with what the built-in ones are like. `option`: they are `-o` of a service."""
    for name, value in written.items():
        if not OURS.fullmatch(name) or name in _MORE_WORDS or name not in builtin:
            continue
        wanted = next((each for each in _SHAPES if each[0].fullmatch(builtin[name])), None)
        if wanted is not None and not wanted[1].fullmatch(value.strip()) and "$" not in value:
            said = f"{name} = {printable(value, 100)}: Postfix wants {wanted[2]}."
            setting = f"-o {name}={builtin[name]}" if option else f"{name} = {builtin[name]}"
            yield DoctorFinding("value_invalid", (place,), said, setting, EDIT_MASTER if option else EDIT_MAIN)


def warning_findings(warnings: Iterable[str]) -> Iterator[DoctorFinding]:
    """Read what postconf warns of, a finding a file: parameters that it does not know, and those that stand twice."""
    unknown: dict[str, dict[str, str]] = {}
    twice: dict[str, dict[str, str]] = {}
    for warning in warnings:
        shown = printable(warning, 300)
        if (found := _WARNING.search(warning)) and _FOR_TLS.match(found["name"]):
            unknown.setdefault(found["file"], {})[printable(found["name"], 100)] = shown
        elif found := _TWICE.search(warning):
            name = f"{printable(found['name'], 100)} stands twice; line {found['line']} counts"
            twice.setdefault(found["file"], {})[name] = shown
    for file, told in unknown.items():
        command = EDIT_MASTER if file.endswith("master.cf") else EDIT_MAIN
        said = f"Postfix knows no parameter {_first(told, ', ')}."
        yield DoctorFinding("parameter_unknown", (file,), said, "", command, tuple(told.values())[:EVIDENCE_LINES])
    for file, told in twice.items():
        evidence = tuple(told.values())[:EVIDENCE_LINES]
        yield DoctorFinding("parameter_twice", (file,), f"{_first(told, '; ')}.", "", EDIT_MAIN, evidence)


def _first(words: Collection[str], between: str) -> str:
    more = f" and {len(words) - NAMED:,} more" if len(words) > NAMED else ""
    return between.join(list(words)[:NAMED]) + more


def entry_findings(services: Iterable[Service], programs: Mapping[str, bool], place: str) -> Iterator[DoctorFinding]:
    """Examine entries of master.cf, whose path is `place`; `programs`: whether each can be run."""
    seen: dict[str, Service] = {}
    for service in services:
        where = (f"{place} {printable(service.key, 100)}",)
        if service.key in seen:
            said = f"There are two entries {printable(service.key, 100)}; the last one counts."
            yield DoctorFinding("service_twice", where, said, "", EDIT_MASTER)
        seen[service.key] = service
        if programs.get(service.command) is False:
            said = f"It is to run {printable(service.command, 100)}, which is no program of this Postfix."
            yield DoctorFinding("program_missing", where, said, "", EDIT_MASTER)
        yield from _broken_options(service, where)


def _broken_options(service: Service, where: tuple[str, ...]) -> Iterator[DoctorFinding]:
    words = [word.text for word in service.arguments]
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if word == "-o" and "=" not in following:
            rest = " ".join(words[place + 1 : place + 4])
            name = following.strip("{} ")
            value = words[place + 3] if words[place + 2 : place + 3] == ["="] and place + 3 < len(words) else "VALUE"
            said = f"`-o {printable(rest, 120)}` has no value behind its name."
            yield DoctorFinding("option_broken", where, said, f"-o {name}={value}", EDIT_MASTER)
