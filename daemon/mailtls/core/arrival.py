"""An arrival: one message at DATA, as Postfix itself tells of it, by the policy protocol or the milter.

It is evidence beside that of the log: version, cipher, certificate, HELO and sender's domain of every message, also
where no line tells of handshakes that succeed.

SECURITY: HELO, sender and the names in certificates are strangers' texts: printable and of bounded length here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from mailtls.core.cause import Door
from mailtls.core.daybook import DAY, LONGEST_NAME, LONGEST_WORD, short
from mailtls.core.peer import Peer
from mailtls.core.peerkey import key_of
from mailtls.core.proof import BLANK, Standing
from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.tlsversion import name_of
from mailtls.core.verdict import Answer, Verdict, domain_of

LONGEST_SUBJECT = 255
LONGEST_FINGERPRINT = 200  # SHA-512 with colons has 191
LONGEST_ALARM = 500
MOST_KEYSIZE = 1024  # bits; no cipher has more than 256


class Certificate(StrEnum):
    """What the client showed of itself."""

    NONE = "none"
    SHOWN = "shown"
    """A certificate that Postfix does not trust."""
    TRUSTED = "trusted"


class MessageKind(NamedTuple):
    """What a day's count of messages is a count of. `tls_version` None: cleartext, as far as Postfix sees."""

    door: str
    tls_version: str | None
    cipher: str | None
    keysize: int
    certificate: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message, or, where `counted` is False, only the alarm of one. `at`: aware.

    `version`: the number of the TLS version, None for cleartext and for one that nobody knows. `port`: the client's,
    None where it is not known. `subject`: empty unless Postfix trusts the certificate. `alarm`: the verdict that was
    not DUNNO, a sentence. `standing`: what is proven of the peer with this message.
    """

    at: datetime
    peer: Peer
    kind: MessageKind
    version: int | None = None
    port: int | None = None
    helo: str | None = None
    sender_domain: str | None = None
    subject: str | None = None
    fingerprint: str | None = None
    alarm: str | None = None
    counted: bool = True
    standing: Standing = BLANK


def arrival_of(
    facts: SmtpFacts, verdict: Verdict, door: Door, at: datetime, standing: Standing = BLANK, *, counted: bool = True
) -> Arrival:
    """Take down what Postfix told; `standing`: what is proven of the peer with it."""
    certificate = Certificate.NONE
    if facts.ccert_fingerprint or facts.ccert_subject:
        certificate = Certificate.TRUSTED if facts.ccert_subject else Certificate.SHOWN
    version = facts.version
    named = name_of(version) if version is not None else facts.encryption_protocol
    return Arrival(
        at=at,
        peer=Peer(facts.ip, short(facts.client_name, LONGEST_NAME) or None),
        kind=MessageKind(
            door.value,
            short(named, LONGEST_WORD) if facts.encrypted else None,
            short(facts.encryption_cipher, LONGEST_WORD) or None,
            min(facts.encryption_keysize, MOST_KEYSIZE),
            certificate.value,
        ),
        version=version,
        port=port_of(facts),
        helo=short(facts.helo_name, LONGEST_NAME) or None,
        sender_domain=short(domain_of(facts.sender), LONGEST_NAME) or None,
        subject=short(facts.ccert_subject, LONGEST_SUBJECT) or None,
        fingerprint=short(facts.ccert_fingerprint, LONGEST_FINGERPRINT) or None,
        alarm=short(verdict.reason, LONGEST_ALARM) if verdict.answer is not Answer.DUNNO else None,
        counted=counted,
        standing=standing,
    )


def port_of(facts: SmtpFacts) -> int | None:
    """Give the client's port; None where Postfix does not say it."""
    text = facts.client_port
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 5 else None


@dataclass(slots=True)
class ArrivalBook:
    """A batch of arrivals added up: how many messages by peer, day and kind, and the last of each peer, by its key."""

    messages: dict[tuple[bytes, int, MessageKind], int] = field(default_factory=dict)
    last: dict[bytes, Arrival] = field(default_factory=dict)
    alarms: dict[bytes, Arrival] = field(default_factory=dict)


def write_arrivals(arrivals: Iterable[Arrival]) -> ArrivalBook:
    """Add up arrivals; those from what is no address are left out."""
    book = ArrivalBook()
    for arrival in arrivals:
        key = key_of(arrival.peer.ip)
        if key is None:
            continue
        if arrival.alarm is not None:
            book.alarms[key] = arrival
        book.last[key] = arrival
        if arrival.counted:
            count = (key, int(arrival.at.timestamp()) // DAY, arrival.kind)
            book.messages[count] = book.messages.get(count, 0) + 1
    return book
