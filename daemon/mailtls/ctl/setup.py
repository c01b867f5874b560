"""`mailtlsctl setup` and `unsetup`: tell Postfix of the tables of waivers, and take that back byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from mailtls.ctl.applying import Asked, ChangePage, DoorOptions, carry_out, room_of
from mailtls.service.applysetup import NOTHING, Change, plan_setup, plan_unsetup
from mailtls.service.applysetup import setup as carry_out_setup
from mailtls.service.applysetup import unsetup as carry_out_unsetup


def setup(services: Sequence[str], asked: Asked, doors: DoorOptions | None = None, *, dry_run: bool) -> int:
    """Set Postfix up, or print what would change. Raises ConfigError."""

    def work() -> ChangePage:
        room = room_of(asked.config, asked.directory, services, doors)
        if dry_run:
            return _shown("setup", plan_setup(room))
        notes = carry_out_setup(room).notes
        return ChangePage(command="setup", notes=notes if NOTHING in notes else (*notes, "Postfix is set up."))

    return carry_out("setup", asked, work)


def unsetup(asked: Asked, *, dry_run: bool, now: bool = False) -> int:
    """Take it all back, or print what would change. Raises ConfigError."""

    def work() -> ChangePage:
        room = room_of(asked.config, asked.directory, doors=DoorOptions(now=now))
        if dry_run:
            return _shown("unsetup", plan_unsetup(room))
        notes = carry_out_unsetup(room).notes
        return ChangePage(command="unsetup", notes=notes or ("Postfix is as it was before setup.",))

    return carry_out("unsetup", asked, work)


def _shown(command: str, change: Change) -> ChangePage:
    diff = change.diff()
    return ChangePage(command=command, notes=(*change.notes, *(() if diff else ("Nothing would change.",))), diff=diff)
