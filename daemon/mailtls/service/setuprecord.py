"""The record of `setup`: what was inserted into master.cf, so that it can be taken out byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mailtls.core.doorspan import PlacedDoor
from mailtls.core.level import Level
from mailtls.core.mapentry import Insertion
from mailtls.edge.swapfile import content_of


class Record(BaseModel):
    """What was inserted, on the disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: str
    tables: tuple[str, str]
    insertions: tuple[tuple[str, str, str, bool], ...]
    doors: tuple[tuple[str, str], ...] = ()
    services: tuple[str, ...] = ()
    levels: tuple[Level, ...] | None = None
    """The doors that the operator named; None: whatever differs from strict."""
    hooks: tuple[tuple[str, str, str, bool], ...] = ()
    """What was inserted so that the policy service is asked."""

    @property
    def placed(self) -> tuple[PlacedDoor, ...]:
        """Give the doors as they were put in."""
        return tuple(PlacedDoor(*each) for each in self.doors)


def read_record(path: Path) -> Record | None:
    """Read it; None where there is none, or none that can be read: what it would tell is found in master.cf."""
    content = content_of(path)
    if content is None:
        return None
    try:
        return Record.model_validate_json(content)
    except ValidationError:
        return None


def rows_of(insertions: Iterable[Insertion]) -> tuple[tuple[str, str, str, bool], ...]:
    """Write insertions for the record."""
    return tuple((each.service, each.parameter, each.words, each.whole) for each in insertions)


def hooks_of(record: Record | None) -> tuple[Insertion, ...]:
    """Give what was inserted so that the policy service is asked."""
    return tuple(Insertion(*each) for each in record.hooks) if record is not None else ()


def insertions_of(record: Record | None) -> tuple[Insertion, ...]:
    """Give what was inserted for the tables."""
    return tuple(Insertion(*each) for each in record.insertions) if record is not None else ()
