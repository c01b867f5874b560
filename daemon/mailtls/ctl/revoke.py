"""`mailtlsctl revoke PEER`: end a waiver before its time, over a connection of one's own to the keeper.

What the operator's own tables said of the peer is said again. The keeper answers when a look-up has proved that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from mailtls.config import Places
from mailtls.core.keeperprotocol import ListWaivers, LiveWaiver, Reply, Withdraw
from mailtls.ctl import output
from mailtls.ctl.allow import read_reason
from mailtls.ctl.candidates import tell_candidates
from mailtls.ctl.deed import do, live_after, spell
from mailtls.ctl.inquiry import ask_keeper, places_of
from mailtls.ctl.screen import Screen
from mailtls.ctl.whom import Whom, read_whom
from mailtls.errors import MailtlsError

SHOWN = 20  # other waivers that have to do with the peer
BY_HAND = "revoked by hand"


def revoke(peer: str, *, reason: str | None, as_json: bool, config: str | None) -> int:
    """End the peer's waiver; 4 where there is none. Raises ConfigError, UnreachableError, ProtocolError."""
    whom, why = read_whom(peer), read_reason(reason or BY_HAND)
    places = places_of(config)
    if whom.network is None:
        command = ["mailtlsctl", "revoke", "PEER"]
        command += ["--config", str(Path(config).absolute())] if config is not None else []
        return tell_candidates(whom, places, command, as_json=as_json, waived=True)
    withdraw = Withdraw(network=whom.network, why=why)
    return do(
        places, withdraw, lambda reply: _told(whom, reply, places), as_json=as_json,
        refused=lambda: _complain_of_others(whom, places),
    )  # fmt: skip


def _told(whom: Whom, reply: Reply, places: Places) -> Iterator[str]:
    view = Screen()
    ours = ipaddress.ip_network(str(whom.network))
    others = [each for each in _others(whom, places) if ipaddress.ip_network(each.network).prefixlen < ours.prefixlen]
    if not others:
        level = f" It was let in at level {reply.waiver.level}." if reply.waiver is not None else ""
        yield spell(f"{whom.network} is restored to what everybody gets {live_after(reply)}.{level}", view)
        return
    yield spell(f"The waiver of {whom.network} is ended {live_after(reply)}, but others cover it:", view)
    for waiver in others:
        yield view.prose(_how_to_end(waiver))


def _complain_of_others(whom: Whom, places: Places) -> None:
    """Say which waivers have to do with the peer although none is exactly its own."""
    for waiver in _others(whom, places):
        output.complain(_how_to_end(waiver))


def _how_to_end(waiver: LiveWaiver) -> str:
    return f"{waiver.network} is let in at level {waiver.level}; to end that: mailtlsctl revoke {waiver.network}"


def _others(whom: Whom, places: Places) -> list[LiveWaiver]:
    """Give the waivers that hold the peer, or lie in it; its own aside."""
    try:
        found = ask_keeper(places, ListWaivers(about=whom.network)).waivers
    except MailtlsError:
        return []  # what was asked for is answered already; this only helps
    return [waiver for waiver in found if waiver.network != whom.network][:SHOWN]
