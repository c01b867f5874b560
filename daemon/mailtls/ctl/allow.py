"""`mailtlsctl allow-legacy PEER`: let a peer down, for a time, over a connection of one's own to the keeper.

The keeper sees by that connection who asks, and answers when a look-up in the tables that Postfix reads has proved
the waiver. Without `--level` mailtlsd is asked what it knows of the peer; what that supports on this server, by what
`setup` found, is in `narrowest`. A level whose door is missing, or would give nobody anything, is refused here.

SECURITY: what the peer's evidence says was written by strangers: it never chooses `cleartext`, and is printed beside
the level that it chose.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from mailtls.config import Places
from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import AskExplain
from mailtls.core.duration import parse_duration
from mailtls.core.keeperprotocol import Grant, Reply
from mailtls.core.level import Level
from mailtls.core.offer import in_vain
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.printable import printable
from mailtls.core.waivedterms import lowest_of
from mailtls.core.waiver import UNLIMITED, WaiverLimits
from mailtls.core.waiverlimit import limit_fault, limited, parse_size, said
from mailtls.ctl import REFUSED, output
from mailtls.ctl.candidates import tell_candidates
from mailtls.ctl.cost import COSTS
from mailtls.ctl.deed import do, live_after, spell
from mailtls.ctl.inquiry import ask_daemon, places_of
from mailtls.ctl.known import local
from mailtls.ctl.narrowest import Choice, choose, without_use
from mailtls.ctl.screen import Screen
from mailtls.ctl.whom import Whom, read_whom
from mailtls.edge.nss import capability
from mailtls.errors import ConfigError, RefusedError, UnreachableError

REVOKE = "mailtlsctl revoke"
NO_REASON = "no reason given"
LONGEST_REASON = 500  # characters, as keeperprotocol.Text
NOT_HELD = (
    "nobody holds mail to these limits yet: neither the policy service nor the milter is set up; "
    "mailtlsctl setup --policy-service"
)
NOT_TRUSTED = (
    "The certificate of its door is not publicly trusted: a sender that checks certificates (DANE, MTA-STS) gets in no "
    "more than before, and leaves with alert 42, 46 or 48."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for, as it was typed."""

    peer: str
    level: Level | None
    length: str
    reason: str | None
    dry_run: bool
    as_json: bool
    config: str | None
    limits: WaiverLimits = UNLIMITED


def allow(wish: Wish) -> int:
    """Grant the wish; 4 where it is refused. Raises ConfigError, UnreachableError, ProtocolError."""
    whom, length, reason = read_whom(wish.peer), read_length(wish.length), read_reason(wish.reason)
    places = places_of(wish.config)
    if whom.network is None:
        return tell_candidates(whom, places, _command(wish), as_json=wish.as_json, waived=False)
    view = places.config.postfix
    choice = Choice(wish.level, "") if wish.level is not None else _chosen(whom, places)
    if choice.level is None:
        return _refuse(whom, f"{choice.why}; {_instead(whom, choice)}", as_json=wish.as_json)
    if (why_not := without_use(choice.level, view, capability)) is not None:
        return _refuse(whom, why_not, as_json=wish.as_json)
    if (fault := limit_fault(wish.limits, choice.level)) is not None:
        return _refuse(whom, fault, as_json=wish.as_json)
    if wish.limits and not view.limits_are_held:
        output.complain(NOT_HELD)
    grant = Grant(
        id=uuid4().hex, network=whom.network, level=choice.level, until=datetime.now(UTC) + length, reason=reason,
        owner=_owner(), limits=limited(wish.limits), dry_run=wish.dry_run,
        cause=_cause(whom, places) if choice.level is Level.SSLV3 else None,
    )  # fmt: skip
    return do(places, grant, lambda reply: _told(grant, reply, choice.why, view), as_json=wish.as_json)


def _refuse(whom: Whom, why: str, *, as_json: bool) -> int:
    sentence = f"{whom.spelled} was not let in, because {why}"
    if as_json:
        output.write_json(Reply(ok=False, refused=sentence).model_dump_json(indent=1))
    output.complain(sentence)
    return REFUSED


def read_length(given: str) -> timedelta:
    """Read `--for`. Raises ConfigError."""
    try:
        length = parse_duration(given)
    except ValueError as error:
        raise ConfigError(f"--for: {printable(str(error))}") from error
    if not length:
        raise ConfigError("--for: a waiver has to last; write for example 7d, and end it before with revoke")
    return length


def read_limits(senders: Sequence[str], recipients: Sequence[str], size: str | None) -> WaiverLimits:
    """Read `--only-from`, `--only-to` and `--max-size`. Raises ConfigError."""
    try:
        return WaiverLimits(tuple(senders), tuple(recipients), parse_size(size) if size is not None else None)
    except ValueError as error:
        raise ConfigError(f"--max-size: {printable(str(error))}") from error


def read_reason(given: str | None) -> str:
    """Read `--reason`: printable, and short enough for the keeper's list. Raises ConfigError."""
    words = " ".join((given or NO_REASON).split()) or NO_REASON
    if len(words) > LONGEST_REASON:
        raise ConfigError(f"--reason: {len(words):,} characters are too many; write at most {LONGEST_REASON}")
    return printable(words, longest=LONGEST_REASON)


def _owner() -> str | None:
    """Name the person behind sudo; the keeper itself only sees root. None: the keeper knows the login."""
    person = printable(os.environ.get("SUDO_USER", ""), longest=100)
    return person if person and os.geteuid() == 0 else None


def _chosen(whom: Whom, places: Places) -> Choice:
    try:
        answer = ask_daemon(places, AskExplain(whom=whom.asked))
    except (UnreachableError, RefusedError) as error:
        why = "Level legacy was taken, because mailtlsd could not be asked what this peer needs."
        output.complain(f"{error}; what it knows of {whom.spelled} was not considered")
        vain = in_vain(Level.LEGACY, places.config.postfix)
        return Choice(Level.LEGACY, why) if vain is None else Choice(None, vain, known=False)
    found = answer.explained or ()
    return choose(
        (known.peer for known in found), places.config.postfix, {known.peer.ip: known.hello for known in found}
    )


def _cause(whom: Whom, places: Places) -> Cause | None:
    """Ask why the peers fail, where that is the same for all: the gateway gives no more than it takes."""
    try:
        answer = ask_daemon(places, AskExplain(whom=whom.asked))
    except (UnreachableError, RefusedError):
        return None
    causes = {known.peer.cause for known in answer.explained or () if known.peer.failures}
    return causes.pop() if len(causes) == 1 else None


def _instead(whom: Whom, choice: Choice) -> str:
    if not choice.known:
        return f"what is known of it says mailtlsctl explain {whom.asked}"
    return f"if you want it all the same, name the level: mailtlsctl allow-legacy {whom.network} --level cleartext"


def _command(wish: Wish) -> list[str]:
    """Repeat the command with PEER in place of the name."""
    words = ["mailtlsctl", "allow-legacy", "PEER"]
    words += ["--level", str(wish.level)] if wish.level is not None else []
    words += ["--for", wish.length]
    words += ["--reason", wish.reason] if wish.reason is not None else []
    words += [word for sender in wish.limits.senders for word in ("--only-from", sender)]
    words += [word for recipient in wish.limits.recipients for word in ("--only-to", recipient)]
    words += ["--max-size", str(wish.limits.size)] if wish.limits.size is not None else []
    return words + (["--config", str(Path(wish.config).absolute())] if wish.config is not None else [])


def _told(grant: Grant, reply: Reply, why: str, postfix: PostfixSettings) -> Iterator[str]:
    door = postfix.door(grant.level)
    view, waiver = Screen(), reply.waiver or grant
    end = f"let in at level {waiver.level} until {local(waiver.until)}"
    if grant.dry_run:
        yield view.prose(f"{waiver.network} would be {end}.")
    else:
        yield spell(f"{waiver.network} is {end} {live_after(reply)}.", view)
    if waiver.limits is not None:
        yield view.prose(f"It is good for {said(waiver.limits.limits())}.")
    yield view.prose(COSTS[waiver.level])
    if waiver.level is Level.SSLV3 and (lowest := lowest_of(waiver.cause, postfix.strict)) != "SSLv3":
        held = f"the gateway holds it to {lowest} or later"
        yield view.prose(f"It fails over the cipher and not over the version: {held}.")
    if why:
        yield view.prose(why)
    if door is not None and not door.trusted:
        yield view.prose(NOT_TRUSTED)
    yield view.prose("Nothing was changed." if grant.dry_run else f"To end it before: {REVOKE} {waiver.network}")
