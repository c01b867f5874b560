"""How soon Postfix is reloaded again: at least LEAST_S between two, and none that another one did already.

Every reload ends idle smtpds and restarts qmgr, which puts the whole active queue back (facts 2.1). The latest one is
on record in the workplace, under its lock. Times are seconds since boot, so that a clock that is set means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mailtls.edge.checkpoint import Workplace
from mailtls.edge.swapfile import content_of, digest

LEAST_S = 3.0
NAME = "reload.json"
BOOT = Path("/proc/sys/kernel/random/boot_id")


class LatestReload(BaseModel):
    """The record: when it began, of which configuration, with which contents, and whether every port was right then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boot: str
    began: float
    configuration: str
    sums: tuple[str, ...]
    good: bool = False


def moment() -> float:
    """Give the time in seconds since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def begin_reload(place: Workplace, configuration: Path, contents: Mapping[str, bytes | None]) -> LatestReload:
    """Put on record that a reload begins now. Raises RefusedError."""
    sums = tuple(digest(content) for _, content in sorted(contents.items()))
    latest = LatestReload(boot=_boot(), began=moment(), configuration=str(configuration), sums=sums)
    place.put(place.directory / NAME, latest.model_dump_json().encode())
    return latest


def end_reload(place: Workplace, latest: LatestReload, *, good: bool = True) -> None:
    """Put on record that it ended, and whether every port was seen to be right. Raises RefusedError."""
    place.put(place.directory / NAME, latest.model_copy(update={"good": good}).model_dump_json().encode())


def did_it_already(
    place: Workplace, configuration: Path, contents: Mapping[str, bytes | None], asked: float
) -> bool:
    """Tell whether a good reload with these very contents began after `asked`. Raises RefusedError."""
    latest = _latest(place)
    sums = tuple(digest(content) for _, content in sorted(contents.items()))
    return (
        latest is not None
        and latest.good
        and latest.began >= asked
        and (latest.configuration, latest.sums) == (str(configuration), sums)
    )


def keep_distance(
    place: Workplace, least_s: float, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait until the latest reload is `least_s` ago; say so before. Raises RefusedError."""
    latest = _latest(place)
    left = least_s - (moment() - latest.began) if latest is not None else 0.0
    if left > 0:
        say(f"Postfix was reloaded just now; waiting {left:.1f} s")
        sleep(min(left, least_s))


def _latest(place: Workplace) -> LatestReload | None:
    """Give the record of this boot."""
    content = content_of(place.directory / NAME)
    try:
        latest = LatestReload.model_validate_json(content or b"")
    except ValidationError:
        return None
    return latest if latest.boot == _boot() else None


def _boot() -> str:
    return BOOT.read_text("ascii").strip() if BOOT.exists() else ""
