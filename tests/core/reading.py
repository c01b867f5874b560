"""What the tests of the assembler share: lines of smtpd as Postfix prints them, and what a reader makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from mailtls.core.assembler import Assembler
from mailtls.core.session import Session
from mailtls.core.stamp import Calendar

NOW = datetime(2024, 11, 30, tzinfo=UTC)
BSD = "Nov 21 00:42:35"

Facts = tuple[str | None, str, str, str, str | None]


def smtpd(
    *messages: str, tag: str = "postfix/smtpd", pid: int = 100, host: str = "mail", stamp: str = BSD
) -> list[str]:
    """Lines of one process, in order."""
    return [f"{stamp} {host} {tag}[{pid}]: {message}" for message in messages]


def tlsproxy(*messages: str, pid: int = 300) -> list[str]:
    """Lines of one tlsproxy, which serves many clients at once."""
    return smtpd(*messages, tag="postfix/tlsproxy", pid=pid)


def dovecot(*messages: str, program: str = "imap-login") -> list[str]:
    """Lines of a login process, as they come by way of syslog."""
    return [f"{BSD} mail dovecot: {program}: {message}" for message in messages]


def assemble(lines: Iterable[str | bytes]) -> tuple[list[Session], Assembler]:
    """Feed lines to a new assembler; return all sessions, also those that the end of the log decides."""
    assembler = Assembler(Calendar(NOW))
    sessions: list[Session] = []
    for line in lines:
        sessions += assembler.feed(line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape"))
    return sessions + assembler.finish(), assembler


def read(lines: Iterable[str | bytes]) -> list[Session]:
    """All sessions that these lines prove."""
    return assemble(lines)[0]


def one(lines: Iterable[str | bytes]) -> Session:
    """The one session that these lines prove."""
    sessions = read(lines)
    assert len(sessions) == 1, [facts(session) for session in sessions]
    return sessions[0]


def facts(session: Session) -> Facts:
    """What a report counts: address (None: charged to nobody), service, outcome, cause, reason."""
    ip = session.peer.ip if session.peer is not None else None
    return ip, session.service.value, session.outcome.value, session.cause.value, session.reason
