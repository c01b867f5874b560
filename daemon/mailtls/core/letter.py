"""The letter to a peer's postmaster: what was seen of its mail servers, what they would have to change, and by when.

A draft, never sent: whoever runs this server reads it, puts right what is wrong in it, and sends it. It is written to
somebody who has never heard of mailtls, and holds what he needs to find the sessions in his own log.

SECURITY: names and log lines are strangers' texts: printable here, and bounded. Log lines go to nobody but the peer
whose sessions they tell of.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from mailtls.core.cause import Cause, Outcome
from mailtls.core.controlprotocol import ExplainedKnownPeer
from mailtls.core.printable import printable
from mailtls.core.tlsversion import TLS12, number_of

WIDTH = 72
LINES = 3
"""Log lines of each peer."""
PEERS = 20

_DO = {
    Cause.PEER_TOO_OLD: "It offers no version of TLS that we accept. Please enable TLS 1.2 (RFC 5246) or 1.3 "
    "(RFC 8446); 1.0 and 1.1 are deprecated (RFC 8996).",
    Cause.NOT_TLS_OR_TOO_OLD: "It offers no version of TLS that we accept, or nothing that is TLS. Please enable "
    "TLS 1.2.",
    Cause.NO_SHARED_CIPHER: "It offers no cipher suite that we can use. Please enable ECDHE with AES-GCM, for ECDSA "
    "certificates as well as for RSA (ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256).",
    Cause.NO_SHARED_GROUP_OR_SIGALG: "It offers no group or signature algorithm that we can use. Please enable the "
    "groups X25519 and P-256, and signatures with SHA-256.",
    Cause.PEER_REJECTS_OUR_CERT: "It refuses our certificate. If it verifies certificates of mail servers, please "
    "bring its list of certification authorities up to date, or tell us what it finds wrong.",
    Cause.NOT_TLS: "What it sends after STARTTLS is not TLS. Please look whether something between it and us, such as "
    "a firewall that inspects SMTP, changes the connection.",
    Cause.NETWORK_CUT: "It closes the connection in the middle of the handshake, without saying why. Its own log "
    "should tell the reason.",
    Cause.TIMEOUT: "It stops answering in the middle of the handshake. Please look whether a firewall drops large "
    "packets.",
}
_REGISTRIES = frozenset(("ac", "co", "com", "edu", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or", "org"))
"""Labels under which the registries of some countries register, as in `co.uk`."""
_OUTDATED = (Cause.PEER_TOO_OLD, Cause.NOT_TLS_OR_TOO_OLD)
_DO_OTHERWISE = "The handshake breaks off. Its own log should tell the reason."
_DO_WEAK = "It uses a version of TLS that is deprecated (RFC 8996). Please enable TLS 1.2 or 1.3."
_DO_PLAIN = "It sends mail without any encryption. Please let it use STARTTLS when we offer it (RFC 3207)."


@dataclass(frozen=True, slots=True)
class Deadline:
    """One stage of phasing out. `percent` of attempts put off; None: such mail is refused."""

    on: date
    percent: int | None
    below: str


@dataclass(frozen=True, slots=True)
class Letter:
    """The draft. `domain`: whose postmaster it is for, None where no name is known."""

    peers: tuple[ExplainedKnownPeer, ...]
    server: str
    deadlines: tuple[Deadline, ...] = field(default=())

    @property
    def domain(self) -> str | None:
        """Give the domain that the confirmed names of the peers have in common."""
        domains = {domain_of_host(peer.peer.name) for peer in self.peers}
        return domains.pop() if len(domains) == 1 else None

    @property
    def needed(self) -> bool:
        """Tell whether there is anything to write about."""
        return any(wanted(peer) is not None for peer in self.peers)

    @property
    def subject(self) -> str:
        """Give the subject, of one line."""
        return f"Mail from your servers to {self.server}: outdated or broken encryption"

    @property
    def text(self) -> str:
        """Write it, in lines of `WIDTH` but for log lines."""
        return "\n\n".join(self._paragraphs()) + "\n"

    def _paragraphs(self) -> Iterator[str]:
        yield "Dear postmaster,"
        servers = "this server of yours" if len(self.peers) == 1 else "these servers of yours"
        yield _filled(f"mail from {servers} to {self.server} has trouble with its encryption, or an outdated one:")
        for peer in self.peers[:PEERS]:
            yield from _of_peer(peer)
        if self.deadlines:
            yield _filled("This is what happens to such mail here, for we stop accepting it in steps:")
            yield "\n".join(_filled(_said(each), "  - ") for each in self.deadlines)
        yield _filled("Whether it works you can see with this command, from that server:")
        yield f"  openssl s_client -starttls smtp -connect {self.server}:25 -tls1_2 </dev/null"
        yield "With kind regards,\nthe postmaster of " + self.server


def wanted(known: ExplainedKnownPeer) -> str | None:
    """Say what this peer would have to change; None: nothing."""
    peer = known.peer
    if peer.failures and peer.state in ("failing", "waived"):
        return _DO.get(peer.cause, _DO_OTHERWISE) if peer.cause is not None else _DO_OTHERWISE
    versions = {number_of(version) for version in _versions(known)} - {None}
    if versions and max(version for version in versions if version is not None) < TLS12:
        return _DO_WEAK
    if not versions and peer.mails and any(day.outcome == Outcome.NO_STARTTLS for day in known.days):
        return _DO_PLAIN
    return None


def is_meant(known: ExplainedKnownPeer, below: str, *, cleartext: bool) -> bool:
    """Tell whether a phasing out of what is below this version, and of cleartext or not, has to do with this peer."""
    peer, lowest = known.peer, number_of(below) or TLS12
    if any((number_of(version) or lowest) < lowest for version in _versions(known)):
        return True
    if peer.failures and peer.cause in _OUTDATED:
        return True
    return cleartext and any(day.outcome == Outcome.NO_STARTTLS for day in known.days)


def domain_of_host(name: str | None) -> str | None:
    """Give whose postmaster to ask about a host: what is behind its first label, where more than a top domain is left.

    SECURITY: the name is one that Postfix has confirmed forward and back; a HELO name would be a stranger's word.
    BUGS: of the domains that registries keep for others only such as `co.uk` are known.
    """
    if name is None or name.lower() == "unknown" or not name.isascii():
        return None
    labels = name.lower().rstrip(".").split(".")
    if len(labels) < 2 or not all(label.replace("-", "").isalnum() for label in labels):
        return None
    registry = len(labels) == 3 and labels[1] in _REGISTRIES and len(labels[2]) == 2
    return ".".join(labels[1:] if len(labels) > 2 and not registry else labels)


def _of_peer(known: ExplainedKnownPeer) -> Iterator[str]:
    peer = known.peer
    name = f" ({printable(peer.name, 255)})" if peer.name not in (None, "unknown") else ""
    yield f"{peer.ip}{name}"
    first = peer.first_seen.date().isoformat() if peer.first_seen else "an unknown day"
    last = peer.last_seen.date().isoformat() if peer.last_seen else "now"
    failed = "session" if peer.failures == 1 else "sessions"
    seen = f"Seen from {first} to {last} (UTC): {peer.sessions} sessions, {peer.mails} messages"
    if peer.failures:
        reason = f" ({printable(peer.reason, 200)})" if peer.reason else ""
        seen += f"; {peer.failures} {failed} failed in the handshake{reason}"
    yield _filled(seen + ".", "  ")
    versions = _versions(known)
    if versions:
        yield _filled(f"Versions that it used: {', '.join(versions)}.", "  ")
    if known.hello is not None and known.hello.versions:
        yield _filled(f"Versions that it offers: {', '.join(known.hello.versions)}.", "  ")
    yield _filled(wanted(known) or "Nothing is wrong with it.", "  ")
    if peer.waiver is not None:
        yield _filled(f"We let it in by an exception that ends on {peer.waiver.until.date().isoformat()}.", "  ")
    if known.evidence and peer.failures:
        yield "\n".join(["  From our log:", *(f"    {printable(line, 500)}" for line in known.evidence[-LINES:])])


def _versions(known: ExplainedKnownPeer) -> Sequence[str]:
    """List the versions that it used, the latest day first."""
    told = [count.tls_version for count in known.messages] + [day.tls_version for day in known.days]
    return list(dict.fromkeys(printable(version, 20) for version in told if version is not None))


def _said(deadline: Deadline) -> str:
    what = "it is refused" if deadline.percent is None else f"{deadline.percent} of 100 attempts are put off"
    return f"from {deadline.on.isoformat()} on, with less than {deadline.below}: {what}."


def _filled(words: str, lead: str = "") -> str:
    return textwrap.fill(words, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_long_words=False)
