"""One transaction on Postfix's configuration: either the change stands and every port was seen to be right, or nothing
was changed.

    checkpoint   originals and intent on the disk
    staged       present and staged configuration examined: what the staged one breaks is refused
    before       every port looked at, as a client
    swapping     contents compared (somebody else's edit is never overwritten), files renamed over
    reloaded     the master has acted, lives, and is the same
    verified     every port shows what it showed before, but for what the examination said it would

Then the change is kept for the guard, which takes it back if peers begin to fail (`applyguard`).

Any problem after `swapping`: the files go back, Postfix is reloaded, or started through its unit if the master died,
and looked at again. A process killed at any point leaves a checkpoint, and `applyrecover` does the same later.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType

from mailtls.core.sighting import Sighting, changes, gathered
from mailtls.edge import postfixcommand
from mailtls.edge.checkpoint import Intent, Step, Workplace, intend
from mailtls.edge.goodcopy import keep_good
from mailtls.edge.lastchange import LastChange, keep_change, new_change
from mailtls.edge.mailwords import MailWords
from mailtls.edge.reloadpace import begin_reload, end_reload, keep_distance
from mailtls.edge.swapfile import content_of, digest, swap
from mailtls.errors import MailtlsError, PostfixError, RefusedError
from mailtls.service.applyplan import NAMES, Order, Plan, Site, compared, logs_of, prepare, sightings, verify

CHANGE = "change.json"
"""What mailtlsd is told of the last change."""
CRIPPLED = (
    "What was in place before was broken for every client, so TLS and mail could not be tried. Programs that died of "
    "it are started again within a minute; then look with: mailtlsctl reload"
)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: notes for the operator, each a sentence."""

    notes: tuple[str, ...] = ()


def carry_out(order: Order, site: Site, observe: Callable[[str], None] = lambda _: None) -> Done:
    """Carry a change out, or leave everything as it was and raise RefusedError with the reason.

    `observe` is told every step that was reached, after what it promises is on the disk.
    """
    with site.place() as place:
        if place.checkpoint() is not None:
            raise RefusedError("an earlier transaction was interrupted; first run: mailtls-apply --recover")
        intent = intent_of(order, site)
        place.mark(intent)
        observe("checkpoint")
        swapping = False
        try:
            plan = prepare(order, site, place)
            observe("staged")
            plan = replace(plan, before={} if plan.crippled else sightings(plan.present, plan.master))
            observe("before")
            if plan.master is not None:
                keep_distance(place, site.distance_s, site.say)
            with undisturbed():
                _compare(order)
                intent = intent.model_copy(update={"step": Step.SWAPPING})
                place.mark(intent)
                swapping = True
                observe("swapping")
                return _commit(order, site, place, intent, plan, observe)
        except PostfixError as error:
            raise RefusedError(f"nothing was changed: {error}") from error
        finally:
            if not swapping:
                place.clear()


def intent_of(order: Order, site: Site) -> Intent:
    """Write an order down, for the checkpoint."""
    files = tuple(intend(each.path, each.old, each.new) for each in order.changes)
    sums = tuple(digest(each.old) for each in order.changes)
    return Intent(what=order.what, configuration=str(site.configuration), step=Step.PREPARED, files=files, sums=sums)


# --- before anything is changed ----------------------------------------------------------------------------------


def _compare(order: Order) -> None:
    for change in order.changes:
        if digest(content_of(change.path)) != digest(change.old):
            raise RefusedError(
                f"{change.path} was changed by somebody else since {order.what} began; nothing was changed, try again"
            )


# --- the change --------------------------------------------------------------------------------------------------


def _commit(
    order: Order, site: Site, place: Workplace, intent: Intent, plan: Plan, observe: Callable[[str], None]
) -> Done:
    """Swap, reload, verify; and go back if any of it is not right."""
    words = MailWords(logs_of(site, plan.staged))
    try:
        for change in order.changes:
            swap(change.path, change.new, digest(change.old))
            observe(f"swapped {change.path.name}")
        latest = begin_reload(place, site.configuration, contents_of(site))
        problems = _take_effect(order, site, plan, observe)
        if not problems:
            end_reload(place, latest, good=plan.master is not None and not plan.crippled)
            place.mark(intent.model_copy(update={"step": Step.VERIFIED}))
            observe("verified")
    except MailtlsError as error:
        problems = (str(error),)
    if problems:
        said = words.since()
        notes = go_back(intent, plan, site)
        place.clear()
        raise RefusedError(_rolled_back(order, problems, said, notes))
    if plan.master is not None and not plan.crippled:
        keep_good(site.workplace, site.configuration, NAMES)
    guarded = _is_guarded(order, plan)
    notes = remember(site, place, new_change(order.what, site.configuration, intent.files, now(), guarded=guarded))
    place.clear()
    return Done((*_notes(order, plan), *notes))


def _is_guarded(order: Order, plan: Plan) -> bool:
    """Tell whether there was something good to go back to."""
    return order.guarded and plan.master is not None and not plan.crippled and plan.present is not None


def remember(site: Site, place: Workplace, change: LastChange) -> tuple[str, ...]:
    """Keep what was changed, and let mailtlsd know; a note where that cannot be."""
    try:
        keep_change(place, change)
        if site.board is not None:
            site.board.put(CHANGE, change.notice())
    except MailtlsError as error:
        return (f"mailtlsd will not guard this change: {error}.",)
    return ()


def now() -> datetime:
    """Give the time, in this machine's zone."""
    return datetime.now().astimezone()


def contents_of(site: Site) -> dict[str, bytes | None]:
    """Give the contents of both files as they are."""
    return {name: content_of(site.configuration / name) for name in NAMES}


def _take_effect(order: Order, site: Site, plan: Plan, observe: Callable[[str], None]) -> tuple[str, ...]:
    if plan.master is None:
        return ()
    why = postfixcommand.reload(site.configuration, plan.master)
    observe("reloaded")
    if why is not None:
        return (why,)
    return () if plan.crippled else verify(order, plan)


# --- back --------------------------------------------------------------------------------------------------------


def go_back(intent: Intent, plan: Plan, site: Site) -> tuple[str, ...]:
    """Put every file back, make Postfix take it, and look again; give notes about what did not go as it should."""
    notes = restore(intent)
    if plan.master is None:
        return notes
    try:
        if plan.master.is_alive:
            why = postfixcommand.reload(site.configuration, plan.master)
            notes += (f"going back, {why}",) if why else ()
        if not plan.master.is_alive:
            postfixcommand.start(site.configuration, plan.staged.queue, plan.master.unit)
            notes += ("the Postfix master had died and was started again",)
        after = sightings(plan.present, plan.master)
        before = plan.before
        differs = gathered((k, c) for k, s in after.items() if k in before for c in _moved(plan, k, s))
        notes += tuple(f"after going back, {each}" for each in differs)
    except MailtlsError as error:
        notes += (str(error),)
    return notes


def _moved(plan: Plan, key: str, after: Sighting) -> tuple[str, ...]:
    assert plan.present is not None  # noqa: S101 - what was looked at before was examined before
    return changes(plan.before[key], after, compared(plan.present.ports[key]))


def restore(intent: Intent) -> tuple[str, ...]:
    """Put files back that have the new content; what somebody edited since stays, and a note says so."""
    notes = []
    for file in reversed(intent.files):
        path, now = Path(file.path), digest(content_of(Path(file.path)))
        if now == digest(file.old):
            continue
        if now != digest(file.new):
            notes.append(f"{path} was edited since, and was left as it is")
            continue
        try:
            swap(path, file.old, now)
        except RefusedError as error:
            notes.append(str(error))
    return tuple(notes)


def _rolled_back(order: Order, problems: tuple[str, ...], said: tuple[str, ...], notes: tuple[str, ...]) -> str:
    words = f" Postfix says: {'; '.join(said)}." if said else ""
    back = f" {'; '.join(notes)}." if notes else " Every port is as it was before."
    return f"{order.what} was rolled back: {'; '.join(problems)}.{words}{back}"


def _notes(order: Order, plan: Plan) -> tuple[str, ...]:
    if plan.master is None:
        return ("Postfix does not run, so nothing was reloaded, and TLS was not tried.",)
    if plan.crippled:
        return (CRIPPLED,)
    if order.strict or plan.present is None:
        return ()
    said = gathered(
        (key, clause)
        for key, trial in plan.staged.trials.items()
        if (before := plan.present.sighting(key)) is not None
        for clause in changes(before, trial.sighting)
    )
    gone = [key for key in plan.present.ports if key not in plan.staged.ports]
    return (
        *(f"{each[0].upper()}{each[1:]}." for each in said),
        *(f"Service {key} is gone; sessions on it were cut." for key in gone),
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing stop a change until it stands or is taken back; programs that are started do not inherit this.

    A signal that came meanwhile is dropped: what follows is only to say how it ended.
    """

    def ignore(_number: int, _frame: FrameType | None) -> None:
        pass

    before = {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
