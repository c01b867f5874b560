"""How one kind of session is spelled for people, in `report` and `explain` alike."""

from __future__ import annotations

from typing import Protocol

from mailtls.core.cause import Cause, Door, Outcome
from mailtls.core.history import FAILED


class KindOfSession(Protocol):
    """What sessions of one kind have in common: a Verdict, or a row of an explanation."""

    @property
    def outcome(self) -> str:
        """As cause.Outcome."""

    @property
    def cause(self) -> str:
        """As cause.Cause."""

    @property
    def reason(self) -> str | None:
        """OpenSSL's reason, or the words of the log."""

    @property
    def tls_version(self) -> str | None:
        """For example TLSv1.3."""

    @property
    def cipher(self) -> str | None:
        """The suite, as OpenSSL names it."""


def spell(kind: KindOfSession) -> str:
    """Spell version and cipher, or reason and cause (once, where they are the same words); strangers' text is in it."""
    if kind.outcome in FAILED:
        same = kind.reason is None or kind.reason.replace(" ", "_") == kind.cause
        return f"{kind.cause}" if same else f"{kind.reason} ({kind.cause})"
    note = "" if kind.cause == Cause.NONE else f" ({kind.cause})"
    if kind.outcome == Outcome.TLS_OK:
        return f"{kind.tls_version or '?'} {kind.cipher or '?'}{note}"
    return f"without STARTTLS{note}"


def where(service: str, door: str) -> str:
    """Spell where sessions came in: the service, and the door where it is not the strict one."""
    return service if door == Door.STRICT else f"{service} at door {door}"
