"""`mailtlsctl setup` and `unsetup`: tell Postfix of the tables of waivers, and take that back byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from mailtls.ctl import output
from mailtls.ctl.applying import room_of, tell
from mailtls.errors import PostfixError, RefusedError
from mailtls.service.applysetup import Change, plan_setup, plan_unsetup
from mailtls.service.applysetup import setup as carry_out_setup
from mailtls.service.applysetup import unsetup as carry_out_unsetup


def setup(services: Sequence[str], *, dry_run: bool, config: str | None, directory: str | None) -> int:
    """Set Postfix up, or print what would change. Raises ConfigError, RefusedError."""
    try:
        room = room_of(config, directory, services)
        if dry_run:
            return _shown(plan_setup(room))
        tell(carry_out_setup(room), "Postfix is set up.")
    except PostfixError as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    return 0


def unsetup(*, dry_run: bool, config: str | None, directory: str | None) -> int:
    """Take it all back, or print what would change. Raises ConfigError, RefusedError."""
    try:
        room = room_of(config, directory)
        if dry_run:
            return _shown(plan_unsetup(room))
        tell(carry_out_unsetup(room), "Postfix is as it was before setup.")
    except PostfixError as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    return 0


def _shown(change: Change) -> int:
    output.write((change.diff() or "Nothing would change.\n",))
    for note in change.notes:
        output.complain(note)
    return 0
