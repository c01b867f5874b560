"""`--examine`: what is in place is examined after somebody edited it, and mailtlsd is told; nothing is changed.

An edit of main.cf in place is live for every new smtpd without any reload (facts 2.4), so nobody has to run anything
for it to do harm. Run by `mailtls-examine.path`, and once at boot.

systemd does not look while an examination runs. Files that changed meanwhile are examined again; for an edit in the
last moment, between the last look and the end of the process, `mailtls-examine.timer` asks from time to time for news
only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from mailtls.core.notice import Examination
from mailtls.edge.checkpoint import Workplace
from mailtls.edge.goodcopy import good_copies
from mailtls.edge.postconf import Postconf
from mailtls.edge.runningmaster import find_master
from mailtls.edge.stage import clear, lay_out
from mailtls.edge.swapfile import digest
from mailtls.errors import MailtlsError, PostfixError, StoreError
from mailtls.service.applychange import contents_of
from mailtls.service.applyexamine import examine, objections
from mailtls.service.applyplan import NAMES, Site

EXAMINATION = "examination.json"
ROUNDS = 3
MOST = 50  # clauses
LONGEST = 1000  # characters of a clause

Drift = Callable[[Site], tuple[str, ...]]


def survey(
    site: Site, clock: Callable[[], datetime], drift: Drift = lambda _: (), *, only_news: bool = False
) -> Examination:
    """Examine what is in place, and put what was found on the board. Raises RefusedError, StoreError.

    `only_news`: not where these very files were found to be as they should be.
    """
    if only_news and (known := _known(site)) is not None:
        return known
    for _ in range(ROUNDS):
        with site.place() as place:
            contents = contents_of(site)
            found = _found(site, place, clock, drift)
        if contents_of(site) == contents:
            break
    if site.board is not None:
        site.board.put(EXAMINATION, found)
    return found


def _known(site: Site) -> Examination | None:
    """Give what is on the board, where it holds for the files in place and found no fault: a fault may be mended."""
    try:
        last = site.board.read(EXAMINATION, Examination) if site.board is not None else None
    except StoreError:
        return None
    where, sums = str(site.configuration), _sums(site)
    holds = last is not None and (last.configuration, last.sums, last.result) == (where, sums, "fine")
    return last if holds and last is not None and not last.drift else None


def _sums(site: Site) -> tuple[str, ...]:
    return tuple(digest(content) for _, content in sorted(contents_of(site).items()))


def _found(site: Site, place: Workplace, clock: Callable[[], datetime], drift: Drift) -> Examination:
    sums, result, drifted = _sums(site), "fine", tuple[str, ...]()
    try:
        faults = _faults(site, place)
        drifted = _drift(site, drift)
    except PostfixError as error:
        faults, result = (str(error),), "unreadable"
    finally:
        clear(place.stage)
    if place.checkpoint() is not None:
        faults = ("a change was interrupted and is neither done nor taken back; run: mailtls-apply --recover", *faults)
    return Examination.model_validate({
        "at": clock(), "configuration": str(site.configuration), "sums": sums,
        "result": "faults" if faults and result == "fine" else result,
        "faults": _bounded(faults), "drift": _bounded(drifted),
    })  # fmt: skip


def _drift(site: Site, drift: Drift) -> tuple[str, ...]:
    try:
        return drift(site)
    except MailtlsError as error:
        return (f"whether the doors are still what they should be cannot be told: {error}",)


def _faults(site: Site, place: Workplace) -> tuple[str, ...]:
    """Say in clauses what is wrong with what is in place. Raises PostfixError where it cannot even be read."""
    contents = {name: content for name, content in contents_of(site).items() if content is not None}
    queue = Path(Postconf(site.configuration).values("queue_directory")["queue_directory"])
    master = find_master(queue)
    good = good_copies(site.workplace, site.configuration, NAMES)
    known: tuple[str, ...] | None = None
    if good and dict(good) != contents:
        lay_out(place.stage, site.configuration, good)
        known = _warnings(place, site)
    lay_out(place.stage, site.configuration, contents)
    staged = examine(place.stage, site.configuration, place.words, running=master is not None)
    said = objections(None, staged, master.listens() if master else frozenset())
    new = tuple(each for each in staged.reading.warnings if known is not None and each not in known)
    return (*said, *new)


def _warnings(place: Workplace, site: Site) -> tuple[str, ...] | None:
    """Say what postconf warned of when all was well; None where that cannot be read."""
    try:
        return Postconf(place.stage, site.configuration).read().warnings
    except MailtlsError:
        return None


def _bounded(clauses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each[:LONGEST] for each in clauses[:MOST])
