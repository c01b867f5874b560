"""`edit`: an editor on a copy, as visudo; then the copy is tried, and swapped in as one transaction.

A text that is refused is not lost: it is offered to the editor again, or kept beside the checkpoint.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mailtls.edge.swapfile import content_of
from mailtls.errors import ConfigError, RefusedError
from mailtls.service.applychange import Done, carry_out
from mailtls.service.applyderive import Derive, nothing
from mailtls.service.applyplan import NAMES, FileChange, Order, Site

Editor = Callable[[Path], None]
Again = Callable[[str], bool]


def edit(
    site: Site, name: str, editor: Editor, again: Again, *, guarded: bool = True, derive: Derive = nothing
) -> Done:
    """Edit main.cf or master.cf. `again` is told why a text was refused, and says whether to edit on.

    `guarded` as in `Order`; what the text entails (`derive`) is part of the same transaction.

    Raises ConfigError for another file, RefusedError where the text is refused in the end.
    """
    if name not in NAMES:
        raise ConfigError(f"{name}: only {' and '.join(NAMES)} are edited here")
    path = site.configuration / name
    old = content_of(path)
    if old is None:
        raise RefusedError(f"{path} is not there; is --config-dir the directory of a Postfix?")
    draft = _draft(site, name, old)
    try:
        while True:
            editor(draft)
            new = content_of(draft)
            if new is None or new == old:
                return Done((f"{path} was not changed.",))
            try:
                return _carried_out(site, FileChange(path, old, new), derive, guarded=guarded)
            except RefusedError as error:
                if not again(str(error)):
                    raise RefusedError(f"{error} Your text is kept in {_kept(site, draft)}") from error
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)


def _carried_out(site: Site, change: FileChange, derive: Derive, *, guarded: bool) -> Done:
    contents = {name: content_of(site.configuration / name) or b"" for name in NAMES}
    derived = derive({**contents, change.path.name: change.new or b""})
    done = carry_out(Order(f"the edit of {change.path.name}", derived.over((change,)), guarded=guarded), site)
    return Done((*done.notes, *derived.notes))


def _draft(site: Site, name: str, old: bytes) -> Path:
    """Make the copy, in a directory that nobody else can enter."""
    try:
        site.workplace.mkdir(mode=0o711, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="edit-", dir=site.workplace)) / name
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise RefusedError(f"{site.workplace}: {why}; nothing was changed; run this as root") from error
    draft.write_bytes(old)
    return draft


def _kept(site: Site, draft: Path) -> Path:
    kept = site.workplace / f"{draft.name}.refused"
    handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(draft.read_bytes())
    return kept
