"""How master.cf names the milter: one element of smtpd_milters, and the macro that names a door.

Postfix 3.0 and later take settings for one milter in braces. `default_action=accept`: a dead milter, one that hangs, or
one that is being replaced costs no mail (Postfix's own default answers 451, and from 3.11 on hangs up). The times are
short for the same reason: connecting costs nothing where it lives, and DATA is answered from memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailtls.core.level import Level
from mailtls.core.mapentry import SEPARATORS
from mailtls.core.milterdialogue import DOOR_MACRO
from mailtls.core.smtpfacts import CONTEXT

MILTERS = "smtpd_milters"
MACRO_DEFAULTS = "milter_macro_defaults"
SOCKET = "mailtls/milter/socket"
"""In Postfix's queue directory, which is also where a chrooted smtpd looks."""
ELEMENT = f"{{unix:{SOCKET},default_action=accept,connect_timeout=2s,command_timeout=5s,content_timeout=10s}}"
"""Without a blank, so that it fits into an `-o name=value` that stands there already. The site's own milters follow."""
WRITTEN = (MILTERS, MACRO_DEFAULTS)


def is_ours(milter: str) -> bool:
    """Tell whether an element of smtpd_milters is ours, whatever somebody made of its settings."""
    return f"unix:{SOCKET}" in milter


def door_milter(level: Level, written: Mapping[str, str]) -> dict[str, str]:
    """Give the `-o` by which the milter hears of a door's sessions, and knows the door.

    `written`: what the site says of these parameters. The macro is there for whoever asks for it, and nobody else does.
    """
    macro = f"{DOOR_MACRO.strip('{}')}={CONTEXT}{level}"
    return {
        MILTERS: _joined(ELEMENT, written.get(MILTERS, "")),
        MACRO_DEFAULTS: _joined(written.get(MACRO_DEFAULTS, ""), macro),
    }


def _joined(*parts: str) -> str:
    return ",".join(stripped for part in parts if (stripped := part.strip(SEPARATORS)))
