"""After a transaction was killed: finish it if every port had been seen to be right, take it back otherwise.

Run at boot before Postfix, and before anything else that a person wants. Where Postfix runs, it is reloaded and its
ports are looked at; where it does not, its own unit starts it.
"""

from __future__ import annotations

from pathlib import Path

from mailtls.edge import postfixcommand
from mailtls.edge.checkpoint import Intent, Step, Workplace
from mailtls.edge.goodcopy import keep_good
from mailtls.edge.postconf import Postconf
from mailtls.edge.runningmaster import find_master
from mailtls.edge.swapfile import drop_left_over
from mailtls.errors import MailtlsError, PostfixError
from mailtls.service.applychange import Done, restore
from mailtls.service.applyexamine import examine
from mailtls.service.applyplan import NAMES, Site, sightings


def recover(workplace: Path) -> Done:
    """Finish or undo what was interrupted; notes say what was done. Raises RefusedError."""
    with Workplace(workplace) as place:
        intent = place.checkpoint()
        if intent is None:
            place.clear()
            return Done(("No transaction was interrupted; nothing had to be done.",))
        site = Site(Path(intent.configuration), workplace)
        notes = _settled(intent, site, place)
        for file in intent.files:
            drop_left_over(Path(file.path))
        place.clear()
        return Done(notes)


def _settled(intent: Intent, site: Site, place: Workplace) -> tuple[str, ...]:
    match intent.step:
        case Step.PREPARED:
            return (f"{intent.what} had been interrupted before it changed anything.",)
        case Step.VERIFIED:
            keep_good(site.workplace, site.configuration, NAMES)
            return (f"{intent.what} had been interrupted when it was done already; it stands.",)
        case Step.SWAPPING:
            notes = restore(intent)
            said = f"{intent.what} had been interrupted, and was taken back."
            return (said, *(f"{each}." for each in (*notes, *_reloaded(site, place))))


def _reloaded(site: Site, place: Workplace) -> tuple[str, ...]:
    """Make a running Postfix take the files, and look at its ports."""
    try:
        queue = Path(Postconf(site.configuration).values("queue_directory")["queue_directory"])
        master = find_master(queue)
        if master is None:
            return ("Postfix does not run; where it should, start it: systemctl start postfix",)
        why = postfixcommand.reload(site.configuration, master)
        if why is not None and not master.is_alive:
            master = postfixcommand.start(site.configuration, queue, master.unit)
        examined = examine(site.configuration, site.configuration, place.words, running=True)
        seen = sightings(examined, master)
    except PostfixError as error:
        return (str(error),)
    except MailtlsError as error:
        return (str(error),)
    faults = tuple(f"service {key}: {each.fault}" for key, each in seen.items() if each.fault)
    return ((why,) if why else ()) + faults
