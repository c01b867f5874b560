"""`mailtlsctl notice PEER`: the draft of a mail to that peer's postmaster, on standard output; nothing is sent."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default

from mailtls.config import Places
from mailtls.core.controlprotocol import AskExplain, ExplainedKnownPeer
from mailtls.core.letter import Deadline, Letter, is_meant, wanted
from mailtls.core.messagerule import PhaseOut
from mailtls.core.printable import printable
from mailtls.ctl import output
from mailtls.ctl.inquiry import ask_daemon, places_of
from mailtls.ctl.whom import read_whom
from mailtls.edge.policyfile import read_will
from mailtls.edge.postconf import Postconf
from mailtls.errors import ConfigError, PostfixError

NOTHING = 1
_NO_ADDRESS = frozenset(' <>(),:;"\\[]')
"""Signs that an address has only in quotes, which nobody needs here."""


def notice(peer: str, *, writer: str | None, config: str | None) -> int:
    """Print the draft; return 1 where there is nothing to write about.

    Raises ConfigError, UnreachableError, RefusedError.
    """
    places = places_of(config)
    asked = read_whom(peer).asked
    answer = ask_daemon(places, AskExplain(whom=asked))
    known = tuple(each for each in answer.explained or () if wanted(each) is not None)
    server = _server(places)
    if not known:
        seen = "is well" if answer.explained else "was never seen"
        output.complain(f"{asked} {seen}: there is nothing to write to its postmaster; see mailtlsctl explain {asked}")
        return NOTHING
    letter = Letter(known, server, _deadlines(_concerning(known, read_will(str(places.policy)).policy.phase_out)))
    message = _message(letter, _address(writer or f"postmaster@{server}"))
    if letter.domain is None:
        addresses = " ".join(each.peer.ip for each in known[:3])
        output.complain(f"warning: no one name for these addresses is known; whom to write to tells: whois {addresses}")
    output.write([message.as_string(policy=default.clone(cte_type="8bit", max_line_length=None))])
    return 0


def _message(letter: Letter, writer: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = writer
    if letter.domain is not None:
        message["To"] = f"postmaster@{letter.domain}"
    message["Subject"] = letter.subject
    message.set_content(letter.text)
    return message


def _server(places: Places) -> str:
    """Give the name that peers know: Postfix's own, else this machine's."""
    try:
        name = Postconf(places.under("/etc/postfix")).value("myhostname")
    except PostfixError:
        name = socket.gethostname()
    return printable(name, 255)


def _address(words: str) -> str:
    """SECURITY: a header is one line."""
    local, _, domain = words.rpartition("@")
    if not local or not domain or words != printable(words, 320) or set(words) & _NO_ADDRESS or "@" in local:
        shown = printable(words, 60)
        raise ConfigError(f"'{shown}' is no mail address; write for example --from postmaster@example.com")
    return words


def _concerning(known: tuple[ExplainedKnownPeer, ...], phasing: tuple[PhaseOut, ...]) -> tuple[PhaseOut, ...]:
    """Leave out what has nothing to do with any of these peers: it would be told to somebody it does not meet."""
    return tuple(
        rule for rule in phasing if any(is_meant(each, rule.below, cleartext=rule.cleartext) for each in known)
    )


def _deadlines(phasing: tuple[PhaseOut, ...]) -> tuple[Deadline, ...]:
    """Give what the policy has announced from today on, the next first."""
    today = datetime.now(UTC).date()
    begun, coming = [], []
    for rule in phasing:
        found = [Deadline(stage.on, stage.percent, rule.below) for stage in rule.stages]
        found += [Deadline(rule.refuse, None, rule.below)] if rule.refuse is not None else []
        begun += [each for each in found if each.on < today][-1:]
        coming += [each for each in found if each.on >= today]
    return (*begun, *sorted(coming, key=lambda each: each.on))
