"""`mailtlsctl floor PROTOCOL`: which peers would no longer get in through a stricter strict door, with their mail.

mailtlsd counts; nothing is changed. It speaks of port 25 and of what peers negotiated there in the last days, and of
what they offered where the observer has seen that.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.controlprotocol import AskFloor, FloorForecast, FloorPeer
from mailtls.core.floor import Fate, Floor, described
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV3, TLS13, name_of, number_of
from mailtls.ctl import output
from mailtls.ctl.inquiry import ask_daemon, places_of, print_json
from mailtls.ctl.screen import ADDRESS, BAD, HEADING, Screen, figure, heading, plural
from mailtls.edge.opensslciphers import ciphers_of
from mailtls.errors import ConfigError

_HEADS = {
    Fate.LOST: "Would be lost: they have nothing else.",
    Fate.PARTLY: "Would be lost in part: some of what comes from these addresses has nothing else.",
    Fate.DOUBTFUL: "May be lost: what they used would go, and whether they have anything else is not known.",
}


def floor(
    protocol: str | None, *, ciphers: str | None, without_rsa: bool, days: int, limit: int, as_json: bool,
    config: str | None,
) -> int:  # fmt: skip
    """Print who would be lost; 0 also where nobody is. Raises ConfigError, UnreachableError, RefusedError."""
    ask = AskFloor(
        version=_version(protocol), ciphers=_names(ciphers), without_rsa=without_rsa, days=days, limit=limit
    )
    if ask.version is None and ask.ciphers is None and not without_rsa:
        raise ConfigError("nothing is asked; name a version such as TLSv1.2, or --ciphers, or --without-rsa")
    answer = ask_daemon(places_of(config), ask)
    if as_json:
        print_json(answer, "floor")
    elif answer.floor is not None:
        output.write(_pages(ask, answer.floor, Screen()))
    return 0


def _version(protocol: str | None) -> str | None:
    if protocol is None:
        return None
    number = number_of("TLSv1" if protocol.lower() == "tlsv1.0" else protocol)
    if number is None or not SSLV3 <= number <= TLS13:
        raise ConfigError(f"'{protocol}' is no version; write TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")
    return name_of(number)


def _names(ciphers: str | None) -> tuple[str, ...] | None:
    return None if ciphers is None else tuple(suite.name for suite in ciphers_of(ciphers))


def _pages(ask: AskFloor, found: FloorForecast, view: Screen) -> Iterator[str]:
    version = number_of(ask.version) if ask.version is not None else None
    names = frozenset(ask.ciphers) if ask.ciphers is not None else None
    what = described(Floor(version, names, KeyType.RSA if ask.without_rsa else None))
    counted = f"{plural(found.sessions, 'handshake')} on port 25 in {plural(found.days, 'day')}"
    if not found.touched:
        yield view.prose(f"With {what} nobody would be lost, by {counted}.{_spared(found)}")
        return
    yield view.prose(f"With {what}, by {counted}, {plural(found.touched, 'peer')} would be touched.", HEADING)
    for fate in Fate:
        peers = [peer for peer in found.peers if peer.fate is fate]
        if peers:
            yield view.render(heading(_HEADS[fate], BAD if fate is Fate.LOST else HEADING))
            for peer in peers:
                yield view.prose(_told(peer), lead=peer.ip, lead_style=ADDRESS)
    if found.spared:
        yield view.prose(_spared(found).strip(), HEADING)
    if found.touched > len(found.peers):
        yield view.render(heading(f"The first {figure(len(found.peers))}; --limit asks for more."))


def _spared(found: FloorForecast) -> str:
    if not found.spared:
        return ""
    more = "other peer" if found.touched else "peer"
    have = "its ClientHello shows that it has" if found.spared == 1 else "their ClientHellos show that they have"
    return f" {plural(found.spared, more)} used what would go, and {have} something else."


def _told(peer: FloorPeer) -> str:
    name = f" {peer.name}" if peer.name else ""
    sessions = f"{figure(peer.sessions)} of {plural(peer.all_sessions, 'session')}"
    by_hello = f"; its ClientHello would be refused: {peer.by_hello}" if peer.by_hello else ""
    used = ", ".join(peer.used)
    return f"{name}: {plural(peer.mails, 'mail')} in {sessions}, {used}; last on {peer.last_day}{by_hello}"
