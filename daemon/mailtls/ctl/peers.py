"""`mailtlsctl peers`: whom mailtlsd knows, the latest first."""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.controlprotocol import AskPeers, KnownPeer
from mailtls.ctl import output
from mailtls.ctl.inquiry import ask_daemon, places_of, print_json
from mailtls.ctl.known import peer_lines
from mailtls.ctl.screen import Screen, figure, heading, text
from mailtls.ctl.whom import read_whom


def peers(whom: str | None, *, failing: bool, limit: int, as_json: bool, config: str | None) -> int:
    """Print the peers; 0 also where there is none. Raises ConfigError, UnreachableError, RefusedError."""
    asked = read_whom(whom).asked if whom is not None else None
    answer = ask_daemon(places_of(config), AskPeers(failing=failing, whom=asked, limit=limit))
    if as_json:
        print_json(answer, "peers")
    else:
        output.write(_pages(answer.peers or (), limit, Screen(), failing=failing))
    return 0


def _pages(known: tuple[KnownPeer, ...], limit: int, view: Screen, *, failing: bool) -> Iterator[str]:
    if not known:
        yield view.render(text("No peer fails." if failing else "No such peer was seen."))
    for peer in known:
        yield from peer_lines(peer, view)
    if len(known) == limit:
        yield view.render(heading(f"The latest {figure(limit)}; --limit asks for more."))
