"""Addresses behind a name: a waiver is for an address, so a name is answered with the commands to type.

Nothing is granted or revoked by name: who owns the name's DNS would decide whom that lets in.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from mailtls.config import Places
from mailtls.core.controlprotocol import Answer, AskPeers, KnownPeer
from mailtls.core.printable import printable
from mailtls.ctl import USAGE, output
from mailtls.ctl.inquiry import ask_daemon, print_json
from mailtls.ctl.known import peer_lines
from mailtls.ctl.screen import Screen, plural, text
from mailtls.ctl.whom import Whom

SHOWN = 20


def tell_candidates(whom: Whom, places: Places, command: Sequence[str], *, as_json: bool, waived: bool) -> int:
    """Print the addresses that were seen under the name, each with the command for it; 2, because nothing was done.

    `command`: its words, `PEER` in place of the address; `waived`: only addresses that have a waiver. Raises
    UnreachableError, RefusedError.
    """
    answer = ask_daemon(places, AskPeers(whom=whom.asked))
    known = [peer for peer in answer.peers or () if peer.waiver is not None or not waived]
    if as_json:
        print_json(Answer(peers=tuple(known)), "peers")
    elif known:
        output.write(_pages(whom, known, command, Screen()))
    if not known:
        what = "has a waiver" if waived else "was seen by mailtlsd"
        output.complain(f"no address under the name {whom.spelled} {what}; give an address: mailtlsctl peers has them")
    return USAGE


def _pages(whom: Whom, known: Sequence[KnownPeer], command: Sequence[str], view: Screen) -> Iterator[str]:
    addresses = plural(len(known), "address", "addresses")
    yield view.render(text(f"{whom.spelled} was seen with {addresses}. Nothing was changed; choose the address:"))
    for peer in known[:SHOWN]:
        yield "\n"
        yield from peer_lines(peer, view)
        yield f"    {_spelled(command, peer.waiver.network if peer.waiver and 'revoke' in command else peer.ip)}\n"
    if len(known) > SHOWN:
        yield "\n"
        yield view.prose(f"and {len(known) - SHOWN} more: mailtlsctl peers {shlex.quote(whom.asked)}")


def _spelled(command: Sequence[str], peer: str) -> str:
    """Write the command for a shell; on one line, however long, so that it can be pasted."""
    return printable(shlex.join(peer if word == "PEER" else word for word in command), longest=2000)
