"""The notes that mailtls-apply, as root, and mailtlsd, without rights, leave for each other, and what they mean.

mailtls-apply says what it changed, what it found in files that somebody else changed, and what it took back; mailtlsd
asks it to take a change back. Each is one small JSON file on a board (`edge/noticeboard.py`) that only its writer may
write to.

SECURITY: root believes of a request only which change it means; whether that may be taken back root knows itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Sentence = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(max_length=200)]


class Notice(BaseModel):
    """One note; unknown keys are a newer version's and are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ChangeNotice(Notice):
    """What mailtls-apply changed last. `until`: so long peers that begin to fail take it back, if it is `guarded`."""

    id: Name
    what: Sentence
    configuration: Sentence
    at: AwareDatetime
    until: AwareDatetime
    guarded: bool


class GuardRequest(Notice):
    """mailtlsd asks to take a change back; `peers` succeeded before it and fail since."""

    change: Name
    at: AwareDatetime
    peers: tuple[Annotated[str, Field(max_length=64)], ...] = Field(max_length=64)


class GuardOutcome(Notice):
    """What became of such a request."""

    change: Name
    at: AwareDatetime
    taken_back: bool
    sentence: Sentence


class Examination(Notice):
    """What the examination of the files in place found, in clauses; `drift` is about the doors beside the MX service.

    `sums` are the digests of main.cf and master.cf as they were examined.
    """

    at: AwareDatetime
    configuration: Sentence
    result: Literal["fine", "faults", "unreadable"]
    faults: tuple[Sentence, ...] = Field(max_length=200)
    drift: tuple[Sentence, ...] = Field(default=(), max_length=200)
    sums: tuple[Name, ...] = ()
