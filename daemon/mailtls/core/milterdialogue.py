"""What the milter hears of one connection, and what it answers: Postfix's events in, verdicts out.

Postfix is asked for as little as will do, since everything costs a round trip or a wake-up: its macros are evaluated
when they are sent (smtpd/smtpd_milter.c), so that one list of them, sent with DATA, holds all that is known of the
session by then; only HELO and sender are heard beside it, and neither is answered. Recipients, headers and the body
are asked for where the snapshot has a use for them (`Wishes`), which is settled for each connection as it begins.

Facts are those of the policy protocol, but for what no macro says: protocol, instance, the fingerprints of a
certificate, and, unless recipients are asked for, whom the message is for.

SECURITY: HELO, sender, recipients and header names are strangers' bytes, of which a bounded piece is kept. The header
that is stamped and what the client is told are printable ASCII. A header of that name that comes from outside is
counted, to be removed; nothing else of the message is looked at.
BUGS: a client that says no EHLO after STARTTLS is known by the one before it; the policy protocol says none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mailtls.core.delegation import one_line
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import DUNNO, HEADER, Answer, Snapshot, Verdict, judge

DOOR_MACRO = "{mailtls_door}"
"""What a door's entry in master.cf says by milter_macro_defaults (Postfix 3.1): as policy_context."""

FIELDS: Mapping[str, str] = {
    "{client_addr}": "client_address",
    "{client_name}": "client_name",
    "{client_port}": "client_port",
    "{client_ptr}": "reverse_client_name",
    "{daemon_addr}": "server_address",
    "{daemon_port}": "server_port",
    "{tls_version}": "encryption_protocol",
    "{cipher}": "encryption_cipher",
    "{cert_subject}": "ccert_subject",
    "{cert_issuer}": "ccert_issuer",
    "{tls_sni}": "tls_sni",
    "{auth_type}": "sasl_method",
    "{auth_authen}": "sasl_username",
    "{auth_author}": "sasl_sender",
    DOOR_MACRO: "policy_context",
    "i": "queue_id",
}
"""Macros, and the attributes of the policy protocol that say the same (smtpd_milter_eval, Postfix 3.2 to 3.12)."""

BITS = "{cipher_bits}"
MACROS = (*FIELDS, BITS)
LONGEST = 1024
"""Characters of a stranger's word, more or less; addresses have at most 320, names 255."""

_ADDRESSES = ("client_address", "server_address")
_IPV6 = "IPv6:"  # RFC 5321 4.1.3, as Postfix writes {client_addr}
_STAMP_NAME = HEADER.lower()
_LARGEST = 10**19  # of SIZE=, RFC 1870: at most 20 digits

Macro = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a connection is asked for beside HELO, sender and DATA.

    `recipients`: RCPT, since a waiver is for certain ones. `headers`: their names, since a stamp from outside has to
    go. `size`: headers and body, to be counted, since a waiver has a largest message.
    """

    recipients: bool = False
    headers: bool = False
    size: bool = False


def wishes_of(snapshot: Snapshot) -> Wishes:
    """Say what has to be asked for with this snapshot."""
    limits = [terms.limits for _, terms in snapshot.waivers.items()]
    return Wishes(
        recipients=any(each.recipients for each in limits),
        headers=snapshot.guard.answer is Answer.STAMP,
        size=any(each.size is not None for each in limits),
    )


class Judged(NamedTuple):
    """What was asked, and the answer."""

    facts: SmtpFacts
    verdict: Verdict = DUNNO


@dataclass(frozen=True, slots=True)
class Ending:
    """What is done with a message: `remove` so many headers of the stamp's name, put `stamp` (name, value) in front."""

    judged: Judged | None = None
    remove: int = 0
    stamp: tuple[str, str] | None = None


NOTHING_TO_DO = Ending()


class MilterDialogue:
    """One connection of Postfix, for all its messages. Every method is one event; `macro` looks one up."""

    __slots__ = ("_facts", "_helo", "_octets", "_recipients", "_sender", "_size", "_stamp", "_stamps", "wishes")

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self._helo = ""
        self._begin("", 0)

    def _begin(self, sender: str, size: int) -> None:
        self._sender, self._size = sender, size
        self._recipients: list[str] = []
        self._facts: SmtpFacts | None = None
        self._stamp: tuple[str, str] | None = None
        self._stamps = self._octets = 0

    def hello(self, name: str) -> None:
        """Hear HELO or EHLO."""
        self._helo = name[:LONGEST]

    def sender(self, words: Sequence[bytes]) -> None:
        """Hear MAIL: the path as the client wrote it, and its parameters. A message begins."""
        self._begin(_address(words[0]) if words else "", _announced(words[1:]))

    def recipient(self, words: Sequence[bytes], macro: Macro, snapshot: Snapshot) -> Judged:
        """Hear one RCPT, and judge it."""
        recipient = _address(words[0]) if words else ""
        facts = self._read(Stage.RCPT, macro, recipient)
        judged = Judged(facts, judge(facts, snapshot))
        if judged.verdict.answer not in (Answer.DEFER, Answer.REJECT):
            self._recipients = [*self._recipients[:1], recipient]  # one, or several
        return judged

    def data(self, macro: Macro, snapshot: Snapshot) -> Judged:
        """Hear DATA, and judge the message."""
        only = self._recipients[0] if len(self._recipients) == 1 else ""
        facts = self._facts = self._read(Stage.DATA, macro, only)
        verdict = judge(facts, snapshot)
        if verdict.answer is Answer.STAMP and self.wishes.headers:
            name, _, value = one_line(verdict.text).partition(": ")
            self._stamp = name, value
        return Judged(facts, verdict)

    def header(self, name: str, octets: int) -> None:
        """Hear of one header: its name, and how long its value is."""
        self._octets += len(name) + octets + 4  # ": ", CR LF
        if name.lower() == _STAMP_NAME:
            self._stamps += 1

    def body(self, octets: int) -> None:
        """Hear of one piece of the body."""
        self._octets += octets

    def end(self, snapshot: Callable[[], Snapshot]) -> Ending:
        """Hear that the message is whole, and judge it by its size where that was counted."""
        if not self.wishes.headers and not self.wishes.size:
            return NOTHING_TO_DO
        facts, remove, stamp = self._facts, self._stamps, self._stamp
        judged = None
        if self.wishes.size and facts is not None:
            size = self._octets + 2  # the empty line between headers and body
            whole = replace(facts, protocol_state=Stage.END_OF_MESSAGE, size=size)
            judged = Judged(whole, judge(whole, snapshot()))
        self._begin("", 0)
        return Ending(judged, remove if self.wishes.headers else 0, stamp)

    def _read(self, stage: Stage, macro: Macro, recipient: str) -> SmtpFacts:
        found: dict[str, Any] = {field: macro(name) or "" for name, field in FIELDS.items()}
        if sum(map(len, found.values())) > LONGEST:
            found = {field: word[:LONGEST] for field, word in found.items()}
        if found["client_address"].startswith(_IPV6):
            for field in _ADDRESSES:
                found[field] = found[field].removeprefix(_IPV6)
        return SmtpFacts(
            **found,
            protocol_state=stage,
            helo_name=self._helo,
            sender=self._sender,
            recipient=recipient,
            size=self._size,
            encryption_keysize=_number(macro(BITS) or ""),
        )


def _address(path: bytes) -> str:
    """Give the address in a path, `<@relay.example:user@example.net>` at its longest (RFC 5321 4.1.2)."""
    text = path[:LONGEST].decode("utf-8", "backslashreplace").strip()
    if text.startswith("<"):
        text = text[1:].removesuffix(">")
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    return text[:LONGEST]


def _announced(parameters: Sequence[bytes]) -> int:
    """Give what SIZE= announces (RFC 1870), in bytes; 0: nothing."""
    for parameter in parameters:
        name, _, value = parameter[:LONGEST].partition(b"=")
        if name.upper() == b"SIZE":
            return _number(value.decode("ascii", "replace"))
    return 0


def _number(text: str) -> int:
    return min(int(text), _LARGEST) if text.isascii() and text.isdigit() and len(text) <= 20 else 0


# --- what the client is told --------------------------------------------------------------------------------------

_REPLIES = {Answer.DEFER: ("450", "4.7.1"), Answer.REJECT: ("554", "5.7.1")}


def reply_to(verdict: Verdict) -> tuple[str, str, str] | None:
    """Give code, enhanced code and text of the reply to the client; None: the message goes on."""
    codes = _REPLIES.get(verdict.answer)
    return None if codes is None else (*codes, one_line(verdict.text))
