"""A door's entry in the text of master.cf: put below the entry it is derived from, and taken out byte for byte.

What was inserted is remembered. Where somebody edited it since, the whole entry goes all the same, with what was
written into it, and a note says so: half a door, without its second lock, would be a way in for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailtls.core.configfile import Span, below, line_end, replaced, without_lines
from mailtls.core.mastercf import Service, parse_master_cf
from mailtls.core.postfixlog import BEHIND_GATEWAY
from mailtls.core.secondlock import WAIVED

MARK = "# mailtls: "
"""How the comment above every door begins."""


@dataclass(frozen=True, slots=True)
class PlacedDoor:
    """What was inserted for one door: its key in master.cf, and the words, exactly."""

    key: str
    words: str


def put_in_door(text: str, beside: str, key: str, entry: str) -> tuple[str, PlacedDoor]:
    """Give the text with a door below the entry `beside`, and what was inserted. Raises ValueError with a sentence."""
    master = parse_master_cf(text)
    origin = master.find(beside)
    if origin is None:
        raise ValueError(f"there is no service {beside}")
    if (other := master.find(key)) is not None:
        raise ValueError(
            f"master.cf has a service {other.key} already; choose another port for the door, in [doors] of mailtls.toml"
        )
    ending = line_end(text, origin.line.end)
    comment = f"{MARK}a door for waived peers, derived from {beside}; `mailtlsctl setup` keeps it like that"
    span = below(text, origin.line, ending.join((comment, *entry.split("\n"))))
    return replaced(text, [span]), PlacedDoor(key, span.new)


def take_out_door(text: str, placed: PlacedDoor) -> tuple[str, str | None]:
    """Give the text without a door, and a note where it was not what we had put there."""
    exact = _without_exactly(text, placed)
    if exact is not None:
        return exact, None
    service = parse_master_cf(text).find(placed.key)
    if service is None:
        return text, f"service {placed.key} of master.cf is gone, and nothing had to be taken out there"
    if not is_door(service):
        return text, f"service {placed.key} of master.cf is no door of mailtls any more, and was left as it is"
    return _without_entry(text, service), (
        f"service {placed.key} of master.cf was edited since mailtls put it there; the whole entry was taken out"
    )


def _without_exactly(text: str, placed: PlacedDoor) -> str | None:
    """Take the words out if they stand there once, as they were, and no other entry changes by that."""
    at = text.find(placed.words)
    if at < 0 or text.find(placed.words, at + 1) >= 0:
        return None
    left = replaced(text, [Span(at, at + len(placed.words), "")])
    then = [(s.fields, s.argv) for s in parse_master_cf(left).services]
    now = [(s.fields, s.argv) for s in parse_master_cf(text).services if s.key != placed.key]
    return left if then == now else None


def _without_entry(text: str, service: Service) -> str:
    """Take an entry out by its physical lines, and our comment above it."""
    start = service.line.start
    head = text[:start]
    above = head.rstrip("\r\n").rfind("\n") + 1
    left = without_lines(text, service.line)
    return left[:above] + left[start:] if head[above:].startswith(MARK) else left


def sweep_doors(text: str) -> tuple[str, tuple[str, ...]]:
    """Take out every door, for what is not remembered; give the text and notes."""
    notes = []
    while (found := next((each for each in parse_master_cf(text).services if is_door(each)), None)) is not None:
        text = _without_entry(text, found)
        notes.append(f"service {found.key} of master.cf was a door of mailtls, and was taken out")
    return text, tuple(notes)


def is_door(service: Service) -> bool:
    """Tell whether an entry is a door, whoever wrote it: it logs like one, or lets in like one."""
    named = service.overrides.get("syslog_name", "").rpartition("/")[2]
    beginning = {"inet": "mailtls-legacy", "unix": BEHIND_GATEWAY}.get(service.kind)
    return beginning is not None and named.startswith(beginning) and WAIVED in service.overrides
