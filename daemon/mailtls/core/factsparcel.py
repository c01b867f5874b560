"""What the milter tells mailtlsd of one message: the facts and the verdict, in one datagram.

Texts in a settled order, each ended by NUL, which no text of the Milter protocol can hold: JSON would take as long as
all the rest that is done for a message. Sans-IO. What is no such datagram is a `Misshapen`: counted, and nothing else.

SECURITY: the milter reads strangers' words all day and is not trusted further than that: every field is checked, the
whole is bounded, and mailtlsd believes of it what it believes of a log line. `lost` is the milter's own count.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import DUNNO, Answer, Ground, Verdict

LARGEST = 32 * 1024
"""Bytes of a datagram. The longest honest one has a few names and addresses, and two sentences."""

VERSION = 1
_BEGIN = str(VERSION)

_HEAD = ("lost", "answer", "ground", "text", "reason", "protocol_state")
_SHORTENED = 100
"""Characters that are left of a word where the whole would be too long."""


class Misshapen(StrEnum):
    """What is wrong with a datagram; a closed list, fit for a metric's label."""

    OVERSIZED = "oversized"
    """More than `LARGEST` bytes."""
    BROKEN = "broken"
    """No version, or not the texts behind it that this version has."""
    OTHER_VERSION = "other_version"
    """Of a milter that is older or newer than mailtlsd, until both have been started anew."""


class FactsParcel(NamedTuple):
    """One message. `lost`: how many parcels this milter could not get rid of since it started."""

    facts: SmtpFacts
    verdict: Verdict = DUNNO
    lost: int = 0


_TEXTS = tuple(each.name for each in fields(SmtpFacts) if each.type == "str")
_NUMBERS = tuple(each.name for each in fields(SmtpFacts) if each.type == "int")
_NAMES = (*_TEXTS, *_NUMBERS)
_texts, _numbers = attrgetter(*_TEXTS), attrgetter(*_NUMBERS)
_PLACES = len(_HEAD) + len(_NAMES)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)


def pack_facts(parcel: FactsParcel) -> bytes:
    """Write a datagram; where it would be too long its words are shortened."""
    data = _written(parcel)
    return data if len(data) <= LARGEST else _written(_shortened(parcel))


def unpack_facts(data: bytes) -> FactsParcel | Misshapen:
    """Read a datagram."""
    if len(data) > LARGEST:
        return Misshapen.OVERSIZED
    try:
        version, *words = data.decode("utf-8").split("\0")
    except UnicodeDecodeError:
        return Misshapen.BROKEN
    if version != _BEGIN:
        return Misshapen.OTHER_VERSION if _NUMBER.fullmatch(version) else Misshapen.BROKEN
    if len(words) != _PLACES:
        return Misshapen.BROKEN
    lost, answer, ground, text, reason, stage = words[: len(_HEAD)]
    found: dict[str, Any] = dict(zip(_NAMES, words[len(_HEAD) :], strict=True))
    numbers = {name: found[name] for name in _NUMBERS}
    if not all(map(_NUMBER.fullmatch, (lost, *numbers.values()))):
        return Misshapen.BROKEN
    try:
        found["protocol_state"] = Stage(stage)
        verdict = Verdict(Answer(answer), Ground(ground), text, reason)
    except ValueError:
        return Misshapen.BROKEN
    found |= {name: int(number) for name, number in numbers.items()}
    return FactsParcel(SmtpFacts(**found), DUNNO if verdict == DUNNO else verdict, int(lost))


def _written(parcel: FactsParcel) -> bytes:
    facts, verdict, lost = parcel
    head = (_BEGIN, str(lost), verdict.answer, verdict.ground, verdict.text, verdict.reason, facts.protocol_state)
    words = (*head, *_texts(facts), *map(str, _numbers(facts)))
    text = "\0".join(words)
    if text.count("\0") != _PLACES:  # none comes over a protocol whose texts end at it
        text = "\0".join(word.replace("\0", "?") for word in words)
    return text.encode("utf-8", "backslashreplace")


def _shortened(parcel: FactsParcel) -> FactsParcel:
    words = zip(_TEXTS, _texts(parcel.facts), strict=True)
    facts = replace(parcel.facts, **{name: word[:_SHORTENED] for name, word in words})
    verdict = replace(parcel.verdict, text=parcel.verdict.text[:300], reason=parcel.verdict.reason[:1000])
    return FactsParcel(facts, verdict, parcel.lost)
