"""Visits a door of this machine: is somebody there who greets, offers STARTTLS and shakes hands as its peers do?

It comes from this machine itself, past nftables, which lets loopback in. The second lock refuses it only where it would
ask for a recipient, which it does not; where the site judges clients at once (smtpd_delay_reject = no) the greeting is
a 450, and proves as much as that somebody is there.
"""

from __future__ import annotations

import ssl

from mailtls.core.postfixview import Doorway
from mailtls.edge.doorprobe import Knock, visit
from mailtls.edge.listening import loopback
from mailtls.edge.tcpsockets import listeners

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
WITHIN_S = 8.0
"""Seconds for a visit, whatever the door does."""
JUDGED_AT_ONCE = "the greeting is '450"


def visit_door(doorway: Doorway) -> str | None:
    """Visit it at one of its addresses; give None, or a clause about what is wrong. Takes at most `WITHIN_S`."""
    there = listeners(doorway.port)
    wanted = [each for each in doorway.addresses if each in there] or list(there)
    if not wanted:
        return "nobody listens there"
    return _visit(doorway, wanted[0])


def _visit(doorway: Doorway, address: str) -> str | None:
    versions = [VERSIONS[each] for each in doorway.offers.versions if each in VERSIONS]
    knock = Knock(highest=min(versions, default=None), within=WITHIN_S)
    seen = visit(loopback((address, doorway.port)), knock)
    if seen.fault:
        return None if seen.fault.startswith(JUDGED_AT_ONCE) else seen.fault
    return None if seen.secured else "it does not offer STARTTLS"
