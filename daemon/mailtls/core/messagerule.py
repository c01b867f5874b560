"""What the policy file says of messages: `[require]`, `[downgrade]` and `[[phase_out]]`.

The pieces of the file, each default beside its field, and what cannot be meant although each key is well-formed. The
verdict (core/verdict.py) knows them as values for one day: `of_day` of a phasing out gives its stage on that day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from mailtls.core import delegation
from mailtls.core.operatorfile import Fault, shown
from mailtls.core.printable import printable
from mailtls.core.rule import Table
from mailtls.core.tlsversion import SSLV3, TLS12, number_of
from mailtls.core.tomltext import Path
from mailtls.core.verdict import Answer, Guard, Phase, Requirement, phase_text, required_text

LONGEST_TEXT = 200
"""Characters of a text for the client; with its URL it has no more than an answer may have (core/delegation.py)."""

Floor = Literal["any", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
Version = Literal["TLSv1.1", "TLSv1.2", "TLSv1.3"]


def _parse_day(value: object) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError(f"{shown(value)} is no date; write year, month and day without quotes, such as 2027-06-30")  # noqa: TRY004 - pydantic turns a ValueError into a refusal
    return value


def _parse_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is no text; write it in quotes, such as "Please update your mail server"')  # noqa: TRY004
    if not value.isascii() or printable(value, LONGEST_TEXT) != value:
        raise ValueError(f"{shown(value)} does not fit into an SMTP reply; write up to {LONGEST_TEXT} signs of ASCII")
    return value


Day = Annotated[date, PlainValidator(_parse_day)]
Text = Annotated[str, PlainValidator(_parse_text)]


class Required(Table):
    """A floor that must be met; below it mail is deferred."""

    floor: Floor = "TLSv1.2"
    """`any`: encrypted at all."""
    text: Text = ""
    """What the client is told; empty: as [require] says, or what was asked for."""
    url: Text = ""


class Require(Table):
    """Of whom which protection is required. Keys as in docs/policy.md: addresses, networks, names, `.domains`."""

    text: Text = ""
    url: Text = ""
    domains: dict[str, Required] = Field(default_factory=dict)
    """By the sender's domain."""
    peers: dict[str, Required] = Field(default_factory=dict)
    """By the address or the confirmed name of who connects."""

    def of_domains(self) -> dict[str, Requirement]:
        """Give the requirements by the sender's domain."""
        return {key: self._value(need) for key, need in self.domains.items()}

    def of_peers(self) -> dict[str, Requirement]:
        """Give the requirements by peer."""
        return {key: self._value(need) for key, need in self.peers.items()}

    def _value(self, need: Required) -> Requirement:
        lowest = SSLV3 if need.floor == "any" else number_of(need.floor)
        return Requirement(lowest or TLS12, need.text or self.text, need.url or self.url)


def text_faults(require: Require) -> Iterator[Fault]:
    """Yield the texts of [require] that would be cut off behind their URL's beginning."""
    said: list[tuple[Path, Required, Requirement]] = []
    for name, needs, values in (
        ("domains", require.domains, require.of_domains()),
        ("peers", require.peers, require.of_peers()),
    ):
        said += [(("require", name, key), need, values[key]) for key, need in needs.items()]
    for at, need, value in said:
        if wrong := _too_long(required_text(value)):
            own = "url" if need.url else "text" if need.text else None
            yield Fault((*at, own) if own is not None else ("require", "url"), wrong)


def _too_long(text: str) -> str | None:
    if len(text) <= delegation.LONGEST_TEXT:
        return None
    most, over = delegation.LONGEST_TEXT, len(text) - delegation.LONGEST_TEXT
    return (
        f"text and url make a reply of {len(text)} signs together, and at most {most} fit into one; "
        f"write {over} fewer, in text or in url"
    )


class Downgrade(Table):
    """What is done with a peer that can do TLS 1.2 and comes with less."""

    action: Literal[Answer.NOTE, Answer.STAMP, Answer.DEFER, Answer.REJECT] = Answer.NOTE
    sessions: Annotated[int, Field(strict=True, ge=1, le=1000)] = 20
    """So many sessions with TLS 1.2 or later at the strict door, and none with less between, are proof that it can."""

    def guard(self) -> Guard:
        """Give it as a value of the verdict."""
        return Guard(self.action, self.sessions)


class Stage(Table):
    """From this day on so many of a hundred attempts are deferred."""

    on: Day
    percent: Annotated[int, Field(strict=True, ge=1, le=100)]


class PhaseOut(Table):
    """A floor that is going to be asked of everybody, in stages."""

    below: Version
    """Whoever comes with less than this."""
    stages: tuple[Stage, ...] = ()
    refuse: Day | None = None
    """From this day on such mail is refused; None: never."""
    cleartext: Annotated[bool, Field(strict=True)] = False
    """Those that do not encrypt at all are meant, too."""
    waived: Annotated[bool, Field(strict=True)] = False
    """Those with a waiver are meant, too."""
    text: Text = ""
    url: Text = ""

    def of_day(self, day: date) -> Phase | None:
        """Give the stage of this day; None where nothing is done yet."""
        lowest = number_of(self.below) or TLS12
        if self.refuse is not None and self.refuse <= day:
            return Phase(lowest, 100, Answer.REJECT, None, self.cleartext, self.waived, self.text, self.url)
        begun = [stage for stage in self.stages if stage.on <= day]
        if not begun:
            return None
        refused = self.refuse.isoformat() if self.refuse is not None else None
        percent = begun[-1].percent
        return Phase(lowest, percent, Answer.DEFER, refused, self.cleartext, self.waived, self.text, self.url)


def phase_faults(phasing: tuple[PhaseOut, ...]) -> Iterator[Fault]:
    """Yield what cannot be meant in the list of what is phased out."""
    for index, rule in enumerate(phasing):
        at = ("phase_out", index)
        if not rule.stages and rule.refuse is None:
            example = "stages = [{ on = 2027-03-01, percent = 10 }]"
            yield Fault(at, f"this [[phase_out]] has neither stages nor refuse, and does nothing; write {example}")
        for place, (one, other) in enumerate(pairwise(rule.stages), start=1):
            if other.on <= one.on:
                what = f"stage of {other.on} stands behind that of {one.on}; write them in the order of days"
                yield Fault((*at, "stages", place, "on"), what)
            elif other.percent <= one.percent:
                what = f"percent is {other.percent} after {one.percent}; it has to grow from stage to stage"
                yield Fault((*at, "stages", place, "percent"), what)
        if rule.refuse is not None and rule.stages and rule.refuse <= rule.stages[-1].on:
            last = rule.stages[-1].on
            what = f"refuse is {rule.refuse}, and the last stage begins on {last}; write a later day"
            yield Fault((*at, "refuse"), what)
        days = [*(stage.on for stage in rule.stages), *([rule.refuse] if rule.refuse is not None else [])]
        texts = [phase_text(phase) for phase in map(rule.of_day, days) if phase is not None]
        if wrong := _too_long(max(texts, key=len, default="")):
            yield Fault((*at, "url"), wrong)
