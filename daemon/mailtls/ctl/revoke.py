"""`mailtlsctl revoke PEER`: end a waiver before its time, over a connection of one's own to the keeper.

What the operator's own tables said of the peer is said again. The keeper answers when a look-up has proved that.
"""

from __future__ import annotations

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
        places, withdraw, lambda reply: _told(withdraw, reply), as_json=as_json,
        refused=lambda: _covering(whom, places),
    )  # fmt: skip


def _told(withdraw: Withdraw, reply: Reply) -> Iterator[str]:
    level = f" It was let in at level {reply.waiver.level}." if reply.waiver is not None else ""
    yield spell(f"{withdraw.network} is restored to what everybody gets {live_after(reply)}.{level}", Screen())


def _covering(whom: Whom, places: Places) -> None:
    """Say which waivers have to do with the peer although none is exactly its own."""
    try:
        standing = ask_keeper(places, ListWaivers()).waivers
    except MailtlsError:
        return
    for waiver in standing[:10_000]:
        if _touches(waiver, whom):
            what = f"{waiver.network} is let in at level {waiver.level}"
            output.complain(f"{what}; to end that: mailtlsctl revoke {waiver.network}")


def _touches(waiver: LiveWaiver, whom: Whom) -> bool:
    assert whom.network is not None  # noqa: S101  (the caller's branch)
    if waiver.network == whom.network:
        return False
    return waiver.waiver().covers(whom.network) or whom.covers(waiver.network, None)
