"""`reload`: the files in place are tried first; broken ones never reach the master.

An edit of main.cf in place is live for every new smtpd without any reload (facts 2.4), so a broken one is moved to
NAME.refused-TIME and the last good bytes are restored at once. `keep` only says what is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from difflib import unified_diff
from pathlib import Path

from mailtls.edge import postfixcommand
from mailtls.edge.checkpoint import Step, Workplace, intend
from mailtls.edge.goodcopy import good_copies, keep_good
from mailtls.edge.lastchange import new_change
from mailtls.edge.mailwords import MailWords
from mailtls.edge.postconf import Postconf
from mailtls.edge.reloadpace import begin_reload, did_it_already, end_reload, keep_distance, moment
from mailtls.edge.runningmaster import Master, find_master
from mailtls.edge.stage import lay_out
from mailtls.edge.swapfile import content_of, digest, swap
from mailtls.errors import MailtlsError, PostfixError, RefusedError
from mailtls.service.applychange import Done, contents_of, intent_of, remember, restore, undisturbed
from mailtls.service.applychange import now as changed_at
from mailtls.service.applyderive import Derive, Derived, nothing
from mailtls.service.applyexamine import Examined, examine, objections
from mailtls.service.applyplan import NAMES, FileChange, Order, Plan, Site, logs_of, sightings, verify

NO_GOOD = "no earlier state is known that was good, so nothing can be restored: mend the files, and reload again"

DONE_ALREADY = "Another reload that began after this one was asked for has done it: every port shows what it should."


class PutBackError(RefusedError):
    """Broken files were moved aside and the last good bytes restored; `diff` says what differs."""

    def __init__(self, text: str, diff: str) -> None:
        super().__init__(text)
        self.diff = diff


def reload(site: Site, now: datetime, *, keep: bool, guarded: bool = True, derive: Derive = nothing) -> Done:
    """Try what is in place, reload, and look at every port. Raises RefusedError with Postfix's own words.

    What another reload did that began after this one was asked for is not done again. `guarded` as in `Order`. What an
    edit in place entails (`derive`) is changed with it, unless `keep` says that nothing is.
    """
    asked = moment()
    with site.place() as place:
        if place.checkpoint() is not None:
            raise RefusedError("an earlier transaction was interrupted; first run: mailtls-apply --recover")
        if did_it_already(place, site.configuration, contents_of(site), asked):
            return Done((DONE_ALREADY,))
        keep_distance(place, site.distance_s, site.say)
        contents = {name: content for name in NAMES if (content := content_of(site.configuration / name)) is not None}
        good = dict(good_copies(site.workplace, site.configuration, NAMES))
        try:
            master = _master(site, good, place)
            derived = derive(contents) if master is not None and not keep and len(contents) == len(NAMES) else Derived()
            with undisturbed():
                try:
                    done = _reloaded(site, place, master, contents, good, derived)
                except (RefusedError, PostfixError) as error:
                    raise _undone(site, master, contents, good, f"{error}", None if keep else now) from error
                return _remembered(
                    site, place, contents, good, done, derived, guarded=guarded and master is not None
                )
        except PostfixError as error:
            raise RefusedError(f"{error}; {NO_GOOD}") from error
        finally:
            place.clear()


def _reloaded(
    site: Site, place: Workplace, master: Master | None, found: dict[str, bytes], good: dict[str, bytes],
    derived: Derived,
) -> Done:  # fmt: skip
    contents = _whole(site, found, derived)
    lay_out(place.stage, site.configuration, contents)
    staged = examine(place.stage, site.configuration, place.words, running=master is not None)
    present = _examined_good(site, place, good, running=master is not None) if good != contents else staged
    before = sightings(present or staged, master)
    listens = master.listens() if master else frozenset()
    if said := objections(present if present is not staged else None, staged, listens, before):
        raise RefusedError(f"nothing was reloaded: {'; '.join(said)}")
    if master is None:
        return Done(("Postfix does not run, so nothing was reloaded; the files can be read.",))
    words = MailWords(logs_of(site, staged))
    with _in_place(site, place, derived, master if good in ({}, found) else None):
        latest = begin_reload(place, site.configuration, contents)
        why = postfixcommand.reload(site.configuration, master)
        problems = (why,) if why else verify(Order("reload", ()), Plan(present, staged, master, before=before))
        if problems:
            heard = f"; Postfix says: {'; '.join(said)}" if (said := words.since()) else ""
            raise RefusedError(f"after the reload {'; '.join(problems)}{heard}")
        end_reload(place, latest)
    keep_good(site.workplace, site.configuration, NAMES)
    return Done(derived.notes)


def _whole(site: Site, found: dict[str, bytes], derived: Derived) -> dict[str, bytes]:
    """Give both files as they shall be: what was found in place, and what it entails."""
    ours = {each.path: each.new or b"" for each in derived.changes}
    return {name: ours.get(site.configuration / name, content) for name, content in found.items()}


@contextmanager
def _in_place(site: Site, place: Workplace, derived: Derived, taught: Master | None) -> Iterator[None]:
    """Have what was derived in place, from now on, or as it was where anything goes wrong; a crash is healed.

    `taught`: the master that may have read what was derived, where nothing else will tell it that this was taken back.
    """
    if not derived.changes:
        yield
        return
    intent = intent_of(Order("reload", derived.changes), site).model_copy(update={"step": Step.SWAPPING})
    place.mark(intent)
    try:
        for each in derived.changes:
            swap(each.path, each.new, digest(each.old))
        yield
    except MailtlsError as error:
        raise RefusedError("; ".join((str(error), *restore(intent))) + _taken(site, taught)) from error
    place.mark(intent.model_copy(update={"step": Step.VERIFIED}))


def _remembered(
    site: Site, place: Workplace, contents: dict[str, bytes], good: dict[str, bytes], done: Done, derived: Derived, *,
    guarded: bool,
) -> Done:  # fmt: skip
    """Keep what was edited in place since all was well last as a change, and what it entailed; a reload is none."""
    edited = [FileChange(site.configuration / name, good.get(name), contents.get(name)) for name in NAMES]
    changes = [each for each in derived.over(edited) if each.old != each.new]
    files = tuple(intend(each.path, each.old, each.new) for each in changes if good)
    if not files:
        return done
    change = new_change("the edit in place", site.configuration, files, changed_at(), guarded=guarded)
    return Done((*done.notes, *remember(site, place, change)))


def _undone(
    site: Site, master: Master | None, contents: dict[str, bytes], good: dict[str, bytes], why: str,
    now: datetime | None,
) -> RefusedError:  # fmt: skip
    """Put the good bytes back, where `now` is known; see to it that a master runs, and say all of it."""
    diff = ""
    if now is None:
        said = "the files are as they were found, and every new smtpd reads them"
    elif not good:
        said = NO_GOOD
    elif good == contents:
        said = "these very bytes were good before: look at what else changed, tables, certificates, ports"
    else:
        said, diff = _put_back(site, contents, good, now)
        said += _taken(site, master)
    whole = f"{why}; {said}{_revived(site, master)}"
    return PutBackError(whole, diff) if diff else RefusedError(whole)


def _taken(site: Site, master: Master | None) -> str:
    """Reload with the good bytes, so that processes that read the broken ones go."""
    if master is None or not master.is_alive:
        return ""
    try:
        why = postfixcommand.reload(site.configuration, master)
    except PostfixError as error:
        why = str(error)
    return f"; {why}" if why else ""


def _revived(site: Site, master: Master | None) -> str:
    if master is None:
        return ""
    try:
        if master.is_alive:
            return ""
        postfixcommand.start(site.configuration, _queue(site.configuration), master.unit)
    except MailtlsError as error:
        return f"; {error}"
    return "; the Postfix master had died, and was started again"


def _master(site: Site, good: dict[str, bytes], place: Workplace) -> Master | None:
    """Find the master by the configuration in place, or by the last good one where that cannot be read."""
    try:
        return find_master(_queue(site.configuration))
    except PostfixError:
        if not good:
            raise
    return find_master(_queue(lay_out(place.stage, site.configuration, good)))


def _queue(directory: Path) -> Path:
    return Path(Postconf(directory).values("queue_directory")["queue_directory"])


def _examined_good(site: Site, place: Workplace, good: dict[str, bytes], *, running: bool) -> Examined | None:
    if not good:
        return None
    lay_out(place.stage, site.configuration, good)
    try:
        return examine(place.stage, site.configuration, place.words, running=running)
    except PostfixError:
        return None


def _put_back(site: Site, contents: dict[str, bytes], good: dict[str, bytes], now: datetime) -> tuple[str, str]:
    """Move what is broken aside and restore the good bytes; say so, and give what differs."""
    said, diffs = [], []
    for name, content in good.items():
        path, broken = site.configuration / name, contents.get(name)
        if broken == content:
            continue
        if broken is not None:
            aside = path.with_name(f"{name}.refused-{now:%Y%m%dT%H%M%S}")
            swap(aside, broken, digest(content_of(aside)))
            said.append(f"what was in place is now {aside}, and the last good bytes are back")
            diffs.append(_diff(name, broken, content))
        swap(path, content, digest(broken))
    return "; ".join(said) or "the last good bytes are back", "".join(diffs)


def _diff(name: str, broken: bytes, good: bytes) -> str:
    old, new = (each.decode("utf-8", "replace").splitlines() for each in (broken, good))
    lines = unified_diff(old, new, f"{name} (refused)", f"{name} (in place)", lineterm="")
    return "".join(f"{line}\n" for line in lines)
