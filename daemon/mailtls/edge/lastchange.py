"""The last change of Postfix's configuration that was made here, with the contents before and after it.

Kept in the workplace, which is root's alone, so that the guard can take it back while its window is open. One change:
a later one stands in place of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from mailtls.core.notice import ChangeNotice
from mailtls.edge.checkpoint import FileIntent, Workplace
from mailtls.edge.swapfile import content_of

WINDOW = timedelta(minutes=10)
NAME = "change.json"


class LastChange(BaseModel):
    """The record. `guarded`: it may be taken back, once; `taken_back` when that was done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    what: str
    configuration: str
    at: AwareDatetime
    until: AwareDatetime
    guarded: bool
    files: tuple[FileIntent, ...]
    taken_back: AwareDatetime | None = None

    def notice(self) -> ChangeNotice:
        """Give what everybody may know of it."""
        return ChangeNotice(
            id=self.id, what=self.what, configuration=self.configuration, at=self.at, until=self.until,
            guarded=self.guarded and bool(self.files),
        )  # fmt: skip


def new_change(
    what: str, configuration: Path, files: Iterable[FileIntent], at: datetime, *, guarded: bool
) -> LastChange:
    """Describe a change that was just made."""
    changed = tuple(file for file in files if file.before != file.after)
    return LastChange(
        id=secrets.token_hex(8), what=what, configuration=str(configuration), at=at, until=at + WINDOW,
        guarded=guarded, files=changed,
    )  # fmt: skip


def keep_change(place: Workplace, change: LastChange) -> None:
    """Keep it. Raises RefusedError."""
    place.put(place.directory / NAME, change.model_dump_json().encode())


def last_change(place: Workplace) -> LastChange | None:
    """Give what was kept; None where there is nothing that can be read. Raises RefusedError."""
    content = content_of(place.directory / NAME)
    if content is None:
        return None
    try:
        return LastChange.model_validate_json(content)
    except ValidationError:
        return None  # an older or newer version's: nothing is taken back then
