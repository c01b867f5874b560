"""The last good bytes of main.cf and master.cf: what was in force when every port was last seen to be right.

`reload` goes back to them when an edit in place turns out to be broken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from mailtls.edge.checkpoint import Workplace
from mailtls.edge.swapfile import content_of
from mailtls.errors import RefusedError


def _directory(workplace: Path, configuration: Path) -> Path:
    """Keep the copies of several configuration directories apart (postmulti)."""
    name = hashlib.sha256(str(configuration).encode()).hexdigest()[:16]
    return workplace / "good" / name


def keep_good(workplace: Path, configuration: Path, names: Iterable[str]) -> None:
    """Keep what is in place now as good. Raises RefusedError."""
    place = _directory(workplace, configuration)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"{place}: {(error.strerror or str(error)).lower()}; the change stands") from error
    for name in names:
        content = content_of(configuration / name)
        if content is not None and content != content_of(place / name):
            Workplace(workplace).put(place / name, content)


def good_copies(workplace: Path, configuration: Path, names: Iterable[str]) -> Mapping[str, bytes]:
    """Give the kept contents by name; empty where nothing was kept yet."""
    place = _directory(workplace, configuration)
    found = {name: content_of(place / name) for name in names}
    return {name: content for name, content in found.items() if content is not None}
