"""How a peer that mailtlsd knows, and a waiver that stands, are told to people: the lines that several commands share.

Everything goes through `Screen`, and with that through `core.printable`: names and reasons are strangers'.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mailtls.core.controlprotocol import KnownPeer
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.level import Level
from mailtls.core.waiver import Origin
from mailtls.core.waiverlimit import said
from mailtls.ctl.cost import COSTS
from mailtls.ctl.screen import ADDRESS, BAD, Screen, figure, moment, plural

_ORIGINS = {
    Origin.PERSON: "by a person's word",
    Origin.POLICY: "by the policy",
    Origin.KNOWN_LEGACY: "by the list of known peers",
}
_STYLES = {"failing": BAD}


def local(at: datetime | None) -> str:
    """Spell a time to the minute in this machine's zone; a dash for none."""
    return moment(at.astimezone()) if at is not None else "-"


def peer_lines(peer: KnownPeer, view: Screen) -> Iterator[str]:
    """Tell one peer: who, how it fares, why it fails, and its waiver."""
    yield view.prose(f"  {peer.name}" if peer.name else "", lead=peer.ip, lead_style=ADDRESS)
    yield view.prose(fares(peer), _STYLES.get(peer.state, ""), indent=4)
    if peer.waiver is not None:
        yield view.prose(f"let in at {standing(peer.waiver)}", indent=4)


def fares(peer: KnownPeer) -> str:
    """Say in one sentence how a peer fares."""
    words = f"{peer.state}: {figure(peer.failures)} of {plural(peer.sessions, 'session')} failed"
    if peer.failures:
        words += why(peer)
    words += f", {plural(peer.mails, 'mail')}" if peer.mails else ", no mail"
    words += f", {peer.tls_version}" if peer.tls_version else ""
    return f"{words}, last seen {local(peer.last_seen)}"


def why(peer: KnownPeer) -> str:
    """Say in brackets why it fails; nothing where that is not known."""
    known = [word for word in (peer.reason, peer.cause) if word]
    return f" ({'; '.join(dict.fromkeys(known))})" if known else ""


def standing(waiver: LiveWaiver) -> str:
    """Say level, end and owner of a waiver."""
    return f"level {waiver.level} until {local(waiver.until)}, {waiver.owner}: {waiver.reason}"


def waiver_lines(waiver: LiveWaiver, view: Screen) -> Iterator[str]:
    """Tell one waiver: for whom, how far, until when, whose, and what ends it."""
    yield view.prose(f"  {waiver.level} until {local(waiver.until)}", lead=waiver.network, lead_style=ADDRESS)
    yield view.prose(f"{waiver.owner}: {waiver.reason}", indent=4)
    if waiver.limits is not None:
        yield view.prose(f"good for {said(waiver.limits.limits())}", indent=4)
    since = f"since {local(waiver.granted)} " if waiver.granted else ""
    used = f", renewed while used, until {local(waiver.latest)} at most" if waiver.waiver().renewable else ""
    authority = f", as entry '{waiver.authority}' allows" if waiver.authority else ""
    cause = f", for {waiver.cause}" if waiver.cause else ""
    yield view.prose(f"{since}{_ORIGINS[waiver.origin]}{authority}{cause}{used}", indent=4)
    if waiver.level is Level.SSLV3:
        yield view.prose(COSTS[waiver.level], BAD, indent=4)
