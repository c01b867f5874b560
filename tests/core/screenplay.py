"""Short words for sessions, so that a test of the decider reads like what happened: failed, worked, wrote, left."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.decider import Decider
from mailtls.core.decision import Decision
from mailtls.core.knownlegacy import NOBODY, KnownPeers, parse_known_peers
from mailtls.core.peer import Peer
from mailtls.core.policy import Policy, parse_policy
from mailtls.core.session import Session

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = 1.0, 60.0, 1440.0
IP, NAME = "192.0.2.7", "old.example.org"

WAIVE = """
[causes.peer_too_old]
action = "waive"
level_floor = "legacy"
after = { sessions = 3, within = "24h", spread = "10m" }
lifetime = "30d"
longest = "180d"
"""
CAUSES = {
    0x102: (Cause.PEER_TOO_OLD, "unsupported protocol"),
    0x18C: (Cause.PEER_TOO_OLD, "version too low"),
    0x0FC: (Cause.PEER_TOO_OLD, "unknown protocol"),
    0x0C1: (Cause.NO_SHARED_CIPHER, "no shared cipher"),
    0x10B: (Cause.NOT_TLS, "wrong version number"),
    0x09C: (Cause.NOT_TLS, "http request"),
    0x418: (Cause.PEER_REJECTS_OUR_CERT, "tlsv1 alert unknown ca"),
    None: (Cause.NETWORK_CUT, "lost connection"),
}


def moment(minute: float | None) -> datetime | None:
    return None if minute is None else NOW + timedelta(minutes=minute)


def failed(
    minute: float | None,
    number: int | None = 0x102,
    ip: str = IP,
    name: str | None = NAME,
    door: Door = Door.STRICT,
    service: Service = Service.SMTPD,
    cause: Cause | None = None,
) -> Session:
    found, reason = CAUSES[number]
    line = f"smtpd: SSL_accept error from {name}[{ip}]: {reason} at {minute}"
    return Session(
        moment(minute), Peer(ip, name), service, door, Outcome.TLS_FAILED, cause or found, reason, number, lines=(line,)
    )


def worked(
    minute: float | None,
    version: str | None = "TLSv1.2",
    ip: str = IP,
    cipher: str | None = "ECDHE-RSA-AES256-GCM-SHA384",
    door: Door = Door.STRICT,
    service: Service = Service.SMTPD,
    cause: Cause = Cause.NONE,
) -> Session:
    line = f"smtpd: TLS connection established from {ip} at {minute}"
    delivered = cause is Cause.NONE
    return Session(
        moment(minute),
        Peer(ip, NAME),
        service,
        door,
        Outcome.TLS_OK,
        cause,
        tls_version=version,
        cipher=cipher,
        delivered=delivered,
        lines=(line,),
    )


def wrote(minute: float | None, ip: str = IP, hidden: bool = False) -> Session:
    """Delivered in cleartext."""
    return Session(
        moment(minute), Peer(ip, NAME), Service.SMTPD, Door.STRICT, Outcome.NO_STARTTLS, Cause.NONE, delivered=True,
        hidden=hidden, commands="ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5", lines=(f"queued from {ip}",),
    )  # fmt: skip


def left(minute: float, hidden: bool = False, commands: str | None = "ehlo=1 quit=1 commands=2") -> Session:
    """Looked for STARTTLS and left."""
    return Session(
        moment(minute), Peer(IP, NAME), Service.SMTPD, Door.STRICT, Outcome.NO_STARTTLS, Cause.NONE, hidden=hidden,
        commands=commands, lines=(f"disconnect from {IP}",),
    )  # fmt: skip


def broken(minute: float | None, service: Service = Service.SMTPD, peer: Peer | None = None) -> Session:
    """A statement of the server about itself."""
    return Session(
        moment(minute), peer, service, Door.STRICT, Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED,
        "Invalid TLS protocol list", lines=("warning: Invalid TLS protocol list: disabling TLS support",),
    )  # fmt: skip


def policy(text: str = WAIVE) -> Policy:
    return parse_policy(text, "p.toml")


def known(peer: str, level: str, rules: Policy, until: str = "2027-06-30") -> KnownPeers:
    text = f'[[peer]]\n{peer}\nlevel = "{level}"\nreason = "ordered new"\nowner = "office-it"\nuntil = {until}\n'
    return parse_known_peers(text, "k.toml", rules)


def decided(
    sessions: Iterable[Session], rules: Policy | str = WAIVE, peers: KnownPeers = NOBODY, conclude: bool = True
) -> list[Decision]:
    """Everything that is decided while the sessions go by, and at the end."""
    decider = Decider(policy(rules) if isinstance(rules, str) else rules, peers)
    decisions = [decision for session in sessions for decision in decider.feed(session)]
    return [*decisions, *(decider.conclude() if conclude else ())]


def words(decisions: Iterable[Decision]) -> list[str]:
    """`action rule level` of each."""
    return [" ".join(word for word in (one.action, one.rule, one.level) if word) for one in decisions]
