"""Histories for tests, built from short words: `failing("192.0.2.7", "no shared cipher", ...)`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.history import History
from mailtls.core.peer import Peer
from mailtls.core.session import Session

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)

# Reason texts as OpenSSL prints them, with the cause that the reader gives them.
CAUSES = {
    "no shared cipher": Cause.NO_SHARED_CIPHER,
    "unsupported protocol": Cause.PEER_TOO_OLD,
    "version too low": Cause.PEER_TOO_OLD,
    "unknown protocol": Cause.PEER_TOO_OLD,
    "unknown protocol of OpenSSL 1.0": Cause.NOT_TLS_OR_TOO_OLD,
    "no suitable key share": Cause.NO_SHARED_GROUP_OR_SIGALG,
    "tlsv1 alert unknown ca": Cause.PEER_REJECTS_OUR_CERT,
    "tlsv1 alert protocol version": Cause.PEER_REJECTS_OUR_VERSION,
    "sslv3 alert handshake failure": Cause.PEER_ALERT_OTHER,
    "http request": Cause.NOT_TLS,
    "wrong version number": Cause.NOT_TLS,
    "bad key share": Cause.BUGGY_OR_SCANNER_PEER,
    "inappropriate fallback": Cause.FALLBACK_SCSV,
    "lost connection": Cause.NETWORK_CUT,
    "unexpected eof while reading": Cause.NETWORK_CUT,
    "Connection timed out": Cause.TIMEOUT,
    "TLS bytes on port 25": Cause.TLS_ON_PLAIN_PORT,
    "no protocols available": Cause.SERVER_MISCONFIGURED,
    "dh key too small": Cause.DH_TOO_SMALL,
    "": Cause.UNKNOWN,
}


def at(minutes: float) -> datetime:
    """The moment so many minutes after the log's beginning."""
    return START + timedelta(minutes=minutes)


def failure(
    ip: str,
    reason: str,
    minutes: float | None = 0,
    *,
    name: str | None = "mx.example.net",
    service: Service = Service.SMTPD,
    door: Door = Door.STRICT,
    outcome: Outcome = Outcome.TLS_FAILED,
) -> Session:
    """One failed handshake; `minutes` None: a log without stamps."""
    moment = None if minutes is None else at(minutes)
    line = f"postfix/smtpd[1]: warning: TLS library problem: error:0A0000C1:SSL routines::{reason}: of {ip}"
    return Session(moment, Peer(ip, name), service, door, outcome, CAUSES[reason], reason or None, lines=(line,))


def success(
    ip: str,
    minutes: float | None = 0,
    *,
    name: str | None = "mx.example.net",
    service: Service = Service.SMTPD,
    door: Door = Door.STRICT,
    version: str | None = "TLSv1.3",
    cipher: str | None = "TLS_AES_256_GCM_SHA384",
    mail: bool = True,
    cause: Cause = Cause.NONE,
) -> Session:
    """One completed handshake, with mail unless `mail` is false."""
    moment = None if minutes is None else at(minutes)
    return Session(
        moment, Peer(ip, name), service, door, Outcome.TLS_OK, cause, tls_version=version, cipher=cipher, delivered=mail
    )


def dropped(ip: str, minutes: float | None = 0, *, name: str | None = "mx.example.net") -> Session:
    """One completed handshake after which the peer is gone."""
    return success(ip, minutes, name=name, mail=False, cause=Cause.DROPPED_AFTER_TLS)


def in_clear(
    ip: str,
    minutes: float | None = 0,
    *,
    name: str | None = "mx.example.net",
    mail: bool = True,
    hidden: bool = False,
) -> Session:
    """One session without TLS: with mail, or `ehlo=1 quit=1`."""
    moment = None if minutes is None else at(minutes)
    commands = "ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5" if mail else "ehlo=1 quit=1 commands=2"
    return Session(
        moment, Peer(ip, name), Service.SMTPD, Door.STRICT, Outcome.NO_STARTTLS, Cause.NONE,
        delivered=mail, hidden=hidden, commands=commands,
    )  # fmt: skip


def statement_of_server(
    *lines: str, service: Service = Service.SMTPD, reason: str | None = None, minutes: float = 0
) -> Session:
    """What the server said of itself, charged to no peer."""
    return Session(
        at(minutes), None, service, Door.STRICT, Outcome.SERVER_TLS_BROKEN, Cause.SERVER_MISCONFIGURED, reason,
        lines=lines,
    )  # fmt: skip


def history_of(sessions: Iterable[Session]) -> History:
    """Fold sessions into a history, as the reader of logs does."""
    history = History()
    for session in sessions:
        history.record(session)
    return history
