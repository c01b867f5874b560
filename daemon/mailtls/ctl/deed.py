"""A deed: one request to the keeper that changes what stands, and what is said when it is done, refused, or in doubt.

`allow-legacy` and `revoke` are deeds. Exit status: 0 only when a look-up has proved it; 4 when the keeper refuses, or
cannot prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mailtls.config import Places
from mailtls.core.keeperprotocol import Grant, Reply, Withdraw
from mailtls.ctl import INTERRUPTED, REFUSED, output
from mailtls.ctl.inquiry import ask_keeper
from mailtls.ctl.screen import Screen
from mailtls.edge.keepersocket import KeeperSilent
from mailtls.errors import ProtocolError, UnreachableError

IN_DOUBT = "whether it was done is not known: look with mailtlsctl waivers"
_KEPT = "\u00a0"  # a blank at which no line is folded


def do(
    places: Places,
    request: Grant | Withdraw,
    told: Callable[[Reply], Iterator[str]],
    *,
    as_json: bool,
    refused: Callable[[], None] = lambda: None,
) -> int:
    """Ask the keeper and print what came of it; `refused` may add what helps. Raises as `ask_keeper` does."""
    try:
        reply = ask_keeper(places, request)
    except KeyboardInterrupt:
        output.complain(f"interrupted; {IN_DOUBT}")
        return INTERRUPTED
    except (KeeperSilent, ProtocolError) as error:
        raise UnreachableError(f"{error}; {IN_DOUBT}") from error
    if as_json:
        output.write_json(reply.model_dump_json(indent=1))
    if not reply.ok:
        output.complain(
            reply.refused or "the keeper refuses and does not say why; see: systemctl status mailtls-keeper"
        )
        refused()
        return REFUSED
    if not (reply.live or (isinstance(request, Grant) and request.dry_run)):
        output.complain(
            "the keeper wrote it down, but no look-up in the tables has proved it yet; see: mailtlsctl status"
        )
        return REFUSED
    if not as_json:
        output.write(told(reply))
    return 0


def live_after(reply: Reply) -> str:
    """Say in brackets how long it took from the request's arrival to the proof; `spell` keeps it on one line."""
    if reply.milliseconds is None:
        return "(live)"
    figure = f"{reply.milliseconds:.0f}" if reply.milliseconds >= 1 else f"{reply.milliseconds:.1f}"
    return f"(live after {figure} ms)".replace(" ", _KEPT)


def spell(words: str, view: Screen) -> str:
    """Fold a sentence to the screen."""
    return view.prose(words).replace(_KEPT, " ")
