"""What the milter tells mailtlsd of one message: the facts and the verdict, in one datagram of JSON.

Sans-IO. What does not fit, or is no such datagram, is a `Misshapen`: counted, and nothing else.

SECURITY: the milter reads strangers' words all day and is not trusted further than that: every field is checked, the
whole is bounded, and mailtlsd believes of it what it believes of a log line. `lost` is the milter's own count.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.verdict import DUNNO, Verdict

LARGEST = 32 * 1024
"""Bytes of a datagram. The longest honest one has a few names and addresses, and two sentences."""

VERSION = 1

_SHORTENED = 100
"""Characters that are left of a word where the whole would be too long."""


class Misshapen(StrEnum):
    """What is wrong with a datagram; a closed list, fit for a metric's label."""

    OVERSIZED = "oversized"
    """More than `LARGEST` bytes."""
    BROKEN = "broken"
    """No version, or no JSON of this shape behind it."""
    OTHER_VERSION = "other_version"
    """Of a milter that is older or newer than mailtlsd, until both have been started anew."""


@dataclass(frozen=True, slots=True)
class FactsParcel:
    """One message. `lost`: how many parcels this milter could not get rid of since it started."""

    facts: SmtpFacts
    verdict: Verdict = DUNNO
    lost: int = 0


_PARCEL = TypeAdapter(FactsParcel)


def pack_facts(parcel: FactsParcel) -> bytes:
    """Write a datagram; where it would be too long its words are shortened."""
    data = _written(parcel)
    return data if len(data) <= LARGEST else _written(_shortened(parcel))


def unpack_facts(data: bytes) -> FactsParcel | Misshapen:
    """Read a datagram."""
    if len(data) > LARGEST:
        return Misshapen.OVERSIZED
    version, _, body = data.partition(b" ")
    if version != b"%d" % VERSION:
        return Misshapen.OTHER_VERSION if version.isdigit() else Misshapen.BROKEN
    try:
        return _PARCEL.validate_json(body, strict=True)
    except ValidationError:
        return Misshapen.BROKEN


def _written(parcel: FactsParcel) -> bytes:
    return b"%d %s" % (VERSION, _PARCEL.dump_json(parcel, exclude_defaults=True))


def _shortened(parcel: FactsParcel) -> FactsParcel:
    words = {each.name: getattr(parcel.facts, each.name) for each in fields(SmtpFacts) if each.type == "str"}
    facts = replace(parcel.facts, **{name: word[:_SHORTENED] for name, word in words.items()})
    verdict = replace(parcel.verdict, text=parcel.verdict.text[:300], reason=parcel.verdict.reason[:1000])
    return replace(parcel, facts=facts, verdict=verdict)
