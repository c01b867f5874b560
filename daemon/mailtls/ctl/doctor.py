"""`mailtlsctl doctor`: is it us? What is wrong with this server's own TLS, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Consultation:
    """What was asked for: logs to read as well, the form of the answer, and which configuration."""

    logs: tuple[str, ...] = ()
    as_json: bool = False
    nagios: bool = False
    config: str | None = None
    directory: str | None = None


def doctor(asked: Consultation) -> int:
    """Examine, and tell; return the exit status."""
    return 0
