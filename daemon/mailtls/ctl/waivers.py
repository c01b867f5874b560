"""`mailtlsctl waivers`: whose waivers stand, the next to end first.

Where mailtlsd does not answer, the keeper's own list is printed: it is the authority, and this is the hour when
somebody needs it. The exit status still says that mailtlsd is not reachable.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.config import Places
from mailtls.core.controlprotocol import Answer, AskWaivers
from mailtls.core.keeperprotocol import ListWaivers, LiveWaiver
from mailtls.ctl import UNREACHABLE, output
from mailtls.ctl.inquiry import ask_daemon, ask_keeper, places_of, print_json
from mailtls.ctl.known import waiver_lines
from mailtls.ctl.screen import Screen, plural, text
from mailtls.errors import MailtlsError, RefusedError, UnreachableError


def waivers(*, as_json: bool, config: str | None) -> int:
    """Print the waivers; 3 where only the keeper could be asked. Raises ConfigError, UnreachableError."""
    places, status = places_of(config), 0
    try:
        answer = ask_daemon(places, AskWaivers())
    except UnreachableError as error:
        answer, status = _from_the_keeper(places, error), UNREACHABLE
        output.complain(f"{error}; what is printed is the keeper's own list")
    if as_json:
        print_json(answer, "waivers")
    else:
        output.write(_pages(answer.waivers or (), Screen()))
    return status


def _from_the_keeper(places: Places, unreachable: UnreachableError) -> Answer:
    try:
        reply = ask_keeper(places, ListWaivers())
    except MailtlsError as error:
        raise UnreachableError(f"{unreachable}; nor can the keeper be asked: {error}") from error
    if not reply.ok:
        raise RefusedError(f"{unreachable}; and the keeper says: {reply.refused}")
    return Answer(waivers=reply.waivers)


def _pages(standing: tuple[LiveWaiver, ...], view: Screen) -> Iterator[str]:
    if not standing:
        yield view.render(text("No waiver stands: nobody is let down."))
        return
    for waiver in sorted(standing, key=lambda waiver: (waiver.until, waiver.network)):
        yield from waiver_lines(waiver, view)
    yield "\n"
    yield view.prose(f"{plural(len(standing), 'waiver')}; mailtlsctl revoke PEER ends one before its time.")
