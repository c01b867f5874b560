"""How master.cf names the milter: one element of smtpd_milters, and the macro that names a door.

Postfix 3.0 and later take settings for one milter in braces. `default_action=accept`: a dead milter, one that hangs, or
one that is being replaced costs no mail (Postfix's own default answers 451, and from 3.11 on hangs up). The times are
short for the same reason: connecting costs nothing where it lives, and DATA is answered from memory.
"""

from __future__ import annotations

from mailtls.core.milterdialogue import DOOR_MACRO
from mailtls.core.smtpfacts import CONTEXT

MILTERS = "smtpd_milters"
MACRO_DEFAULTS = "milter_macro_defaults"
SOCKET = "mailtls/milter/socket"
"""In Postfix's queue directory, which is also where a chrooted smtpd looks."""
ELEMENT = (
    f"{{ unix:{SOCKET}, default_action=accept, connect_timeout=2s, command_timeout=5s, content_timeout=10s }}"
)


def door_macro(door: str) -> str:
    """Give what a door's entry adds to milter_macro_defaults, so that its sessions are known as such."""
    return f"{DOOR_MACRO.strip('{}')}={CONTEXT}{door}"
