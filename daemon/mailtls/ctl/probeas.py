"""`mailtlsctl probe --as PEER`: one hello with what a peer is known to offer, sent to a server, and its answer.

What a peer offers is known where mailtls-observer has seen its hello; else from what it has negotiated before. The
hello is put together again from what mailtlsd keeps: the same versions, suites, groups and signatures. It comes from
this machine, so that no waiver of the peer counts, and port 25 is the strict door.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailtls.core.ciphersuite import name_of as suite_name
from mailtls.core.clienthello import ClientHello
from mailtls.core.controlprotocol import AskExplain, ExplainedKnownPeer
from mailtls.core.hellorebuilt import negotiated, rebuilt
from mailtls.core.probetarget import ProbeTarget
from mailtls.core.serveralert import alert_name
from mailtls.core.serverhello import ServerAnswer
from mailtls.core.suite import KeyType, key_type_of
from mailtls.core.tlsname import group_name
from mailtls.core.tlsversion import name_of as version_name
from mailtls.ctl import output
from mailtls.ctl.inquiry import ask_daemon, places_of
from mailtls.ctl.probe import ProbeWish, target_of
from mailtls.ctl.probejson import Replay
from mailtls.ctl.screen import ADDRESS, BAD, GOOD, Screen
from mailtls.ctl.whom import read_whom
from mailtls.edge.serverasker import ServerAsker
from mailtls.edge.serverwire import ServerTrouble
from mailtls.errors import UnreachableError

UNKNOWN_PEER = REFUSED = 1
_SHOWN = 8


def probe_as(peer: str, wish: ProbeWish, config: str | None) -> int:
    """Send the hello, print the answer; 1 where the server refuses it, or nothing is known of the peer.

    Raises ConfigError, UnreachableError, RefusedError.
    """
    whom, target = read_whom(peer), target_of(wish)
    known = ask_daemon(places_of(config), AskExplain(whom=whom.asked)).explained or ()
    if not known:
        output.complain(f"mailtlsd has seen no session of {whom.spelled}; check its spelling: mailtlsctl peers")
        return UNKNOWN_PEER
    chosen = next(_offers(known), None)
    if chosen is None:
        output.complain(
            f"what {whom.spelled} offers is not known: no hello of it was captured, and no handshake of it has "
            "succeeded; run mailtls-observer, or capture one and read it: mailtlsctl hello FILE.pcap"
        )
        return UNKNOWN_PEER
    peer_ip, source, hello = chosen
    replay = _replayed(peer_ip, source, hello, target, wish.patience_s)
    if wish.as_json:
        output.write_json(replay.model_dump_json(indent=1))
    else:
        output.write(_pages(replay, Screen()))
    return 0 if replay.accepted else REFUSED


def _replayed(peer_ip: str, source: str, hello: ClientHello, target: ProbeTarget, patience_s: float) -> Replay:
    asker = ServerAsker(target, patience_s)
    try:
        answer = asker.ask(hello)
    except ServerTrouble as trouble:
        alone = f"probe it alone: mailtlsctl probe {target}"
        raise UnreachableError(f"{target} cannot be asked: {trouble}; {alone}") from trouble
    return Replay(
        peer=peer_ip,
        source=source,
        host=target.shown,
        address=asker.address,
        port=target.port,
        service=target.service,
        offered_version=version_name(hello.highest),
        offered_ciphers=tuple(map(suite_name, hello.ciphers)),
        accepted=answer.accepted,
        tls_version=version_name(answer.version) if answer.version is not None else None,
        cipher=suite_name(answer.cipher) if answer.cipher is not None else None,
        group=group_name(answer.group) if answer.group is not None else None,
        certificate=_kind(answer),
        alert=answer.alert,
        said=_said(answer),
    )


def _offers(known: Iterable[ExplainedKnownPeer]) -> Iterator[tuple[str, str, ClientHello]]:
    """Give what peers offer: captured hellos first."""
    peers = list(known)
    for each in peers:
        if each.hello is not None:
            yield each.peer.ip, "hello", rebuilt(each.hello)
    for each in peers:
        past = negotiated((day.tls_version, day.cipher) for day in each.days)
        if past is not None:
            yield each.peer.ip, "history", past


def _kind(answer: ServerAnswer) -> KeyType | None:
    return key_type_of(suite_name(answer.cipher)) if answer.cipher is not None else None


def _said(answer: ServerAnswer) -> str:
    if answer.accepted:
        return ""
    return alert_name(answer.alert) if answer.alert is not None else answer.fault or "it closes the connection"


def _pages(replay: Replay, view: Screen) -> Iterator[str]:
    captured = replay.source == "hello"
    source = "its captured hello" if captured else "what it has negotiated before; no hello of it is known"
    more = len(replay.offered_ciphers) - _SHOWN
    suites = ", ".join(replay.offered_ciphers[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    yield view.prose(f" at {replay.host} port {replay.port} ({replay.service})", lead=replay.peer, lead_style=ADDRESS)
    yield view.prose(f"offers up to {replay.offered_version} with {suites} (from {source})", indent=2)
    if replay.accepted:
        shown = f", {replay.certificate} certificate" if replay.certificate is not None else ""
        group = f", {replay.group}" if replay.group is not None else ""
        agreed = f"{replay.tls_version} with {replay.cipher}"
        yield view.prose(f"the server takes it: {agreed}{group}{shown}", GOOD, indent=2)
    else:
        yield view.prose(f"the server refuses it: {replay.said}", BAD, indent=2)
        yield view.prose(f"To see why, and what can be done: mailtlsctl explain {replay.peer}", indent=2)
