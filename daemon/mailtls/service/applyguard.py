"""The guard: a change of ours is taken back when, soon after it, peers that used to succeed begin to fail.

mailtlsd sees the failures and has no right to do anything about them; it leaves a request, and systemd starts this as
root (`mailtls-guard.path`). Root asks itself: was that the last change, is its window open, was it not taken back
before, and do the files still hold what it made of them? Then the old contents come back as a transaction of their own:
tried, swapped, reloaded, verified. Whatever the answer, mailtlsd hears it.

SECURITY: who controls mailtlsd, or three addresses that first succeed and then fail, can take one change back, once,
within ten minutes of it, to what was in force before it. Nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from mailtls.core.notice import GuardOutcome, GuardRequest
from mailtls.edge.checkpoint import Workplace
from mailtls.edge.lastchange import LastChange, last_change
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.edge.swapfile import content_of, digest
from mailtls.errors import MailtlsError, RefusedError, StoreError
from mailtls.service.applychange import Done, carry_out, remember
from mailtls.service.applyplan import NAMES, FileChange, Order, Site

REQUEST = "guard.json"
OUTCOME = "guard.json"


def guard(site_of: Callable[[Path], Site], requests: NoticeBoard, site: Site, clock: Callable[[], datetime]) -> Done:
    """Take up the request that is there; `site_of` gives the Postfix at a directory, `site` is the usual one.

    Raises RefusedError where the change is not taken back, StoreError where nobody can be told.
    """
    try:
        request = requests.read(REQUEST, GuardRequest)
    finally:
        requests.remove(REQUEST)
    if request is None:
        return Done(("Nobody asks for anything to be taken back.",))
    try:
        change = _guarded(site, request, clock())
        done = _taken_back(site_of(Path(change.configuration)), change, request, clock)
    except (RefusedError, StoreError) as error:
        _tell(site, request, clock(), taken_back=False, sentence=str(error))
        raise
    _tell(site, request, clock(), taken_back=True, sentence=" ".join(done.notes))
    return done


def _guarded(site: Site, request: GuardRequest, now: datetime) -> LastChange:
    """Give the change that is meant, if it may be taken back. Raises RefusedError."""
    with site.place() as place:
        change = last_change(place)
    if change is None or change.id != request.change:
        raise RefusedError("nothing was taken back: the change that is meant is not the last one")
    if change.taken_back is not None:
        raise RefusedError(f"nothing was taken back: {change.what} was taken back before, and that is done once")
    if not change.guarded or not change.files:
        raise RefusedError(f"nothing was taken back: {change.what} is not guarded")
    if not change.at <= now <= change.until:
        raise RefusedError(f"nothing was taken back: {change.what} was at {change.at:%H:%M}, which is too long ago")
    for file in change.files:
        if digest(content_of(Path(file.path))) != digest(file.new):
            raise RefusedError(f"nothing was taken back: {file.path} was changed since {change.what}")
    return change


def _taken_back(site: Site, change: LastChange, request: GuardRequest, clock: Callable[[], datetime]) -> Done:
    kept = _keep_texts(site, change)
    changes = tuple(FileChange(Path(file.path), file.new, file.old) for file in change.files)
    done = carry_out(Order(f"taking back {change.what}", changes, guarded=False), site)
    with site.place() as place:  # in place of the change that taking it back was
        remember(site, place, change.model_copy(update={"taken_back": clock(), "guarded": False}))
    peers = len(request.peers)
    why = f"{change.what} of {change.at:%H:%M:%S} was taken back: {peers} peers that used to succeed failed after it."
    return Done((why, *(f"What it said is kept in {path}." for path in kept), *done.notes))


def _keep_texts(site: Site, change: LastChange) -> tuple[Path, ...]:
    """Keep what the files say, for whoever wants to see what was wrong with it."""
    place = Workplace(site.workplace)
    kept = []
    for file in change.files:
        if Path(file.path).name in NAMES and file.new is not None:
            path = site.workplace / f"{Path(file.path).name}.taken-back"
            place.put(path, file.new)
            kept.append(path)
    return tuple(kept)


def _tell(site: Site, request: GuardRequest, at: datetime, *, taken_back: bool, sentence: str) -> None:
    if site.board is None:
        return
    outcome = GuardOutcome(change=request.change, at=at, taken_back=taken_back, sentence=sentence[:4000])
    try:
        site.board.put(OUTCOME, outcome)
    except MailtlsError as error:
        raise StoreError(f"{sentence} mailtlsd could not be told: {error}") from error
