"""An open session, and what its lines prove when it ends.

`conclude` is the one place where evidence becomes an outcome. Its order matters: what the line with the address says
(`SSL_accept error`) outweighs everything; then an alert that the peer sent after the handshake; then success; then the
statistics of the disconnect line. What is left undecided yields nothing.
"""

from __future__ import annotations

import re

from mailtls.core.cause import Cause, Outcome, Service
from mailtls.core.evidence import Evidence, Kind
from mailtls.core.openssl import LibraryError, cause_of, cause_of_plain, parse_error
from mailtls.core.peer import Peer, canonical_ip
from mailtls.core.postfixlog import Program
from mailtls.core.printable import printable
from mailtls.core.session import Session
from mailtls.core.stamp import Calendar

LINES_KEPT = 8
_WORD_CUT = re.compile(rb'(?: "|:? /| from: | file )')
_ESTABLISHED = re.compile(rb"((?:TLS|SSL)v[\d.]{1,4}|[A-Za-z0-9.]{1,16})\s+with cipher\s+(\S{1,80})")
_STARTTLS = re.compile(rb"(?:^| )starttls=(\d{1,9})(?:/(\d{1,9}))?(?= |$)")
_DELIVERED = re.compile(rb"(?:^| )(?:data|bdat)=(\d{1,9})(?:/\d{1,9})?(?= |$)")
_NOT_A_REASON = (b"-1", b"0", b"1", b"")

_FIELDS = {
    Kind.ACCEPT_ERROR: "accept_error",
    Kind.ESTABLISHED: "established",
    Kind.LOST: "lost",
    Kind.DISCONNECT: "commands",
    Kind.PROXY_DISCONNECT: "commands",
    Kind.REFUSED: "refused",
    Kind.SERVER_FAULT: "fault",
}
# Behind errno's words OpenSSL's queue was empty; a fault of the server gives its reason behind itself (tls_server.c).
_REASON_COMES_AFTER = frozenset({Kind.ACCEPT_ERROR, Kind.SERVER_FAULT})
_DECIDING = frozenset({Kind.ACCEPT_ERROR, Kind.ESTABLISHED, Kind.PROXY_FAILED})


class OpenSession:
    """The lines of one session so far. `who` empty: no line with an address was seen yet."""

    __slots__ = (
        "accept_error", "after", "begun", "client", "commands", "early", "established", "failed", "fault", "first",
        "foreign_reason", "hidden", "is_first", "library", "lines", "lost", "prelude", "refused", "stamp", "who",
    )  # fmt: skip

    def __init__(self, who: bytes, stamp: bytes, *, begun: bool = False) -> None:
        self.who = who
        self.stamp = stamp
        self.first = stamp
        self.begun = begun
        self.is_first = False
        self.foreign_reason = False
        self.early = False
        self.accept_error: bytes | None = None
        self.library: LibraryError | None = None
        self.after: LibraryError | None = None
        self.established: bytes | None = None
        self.failed = False
        self.fault: bytes | None = None
        self.prelude: bytes | None = None
        self.refused: bytes | None = None
        self.lost: bytes | None = None
        self.client = False
        self.hidden = False
        self.commands: bytes | None = None
        self.lines: list[bytes] = []

    @property
    def has_evidence(self) -> bool:
        """Tell whether any line said something about the TLS of this session."""
        return bool(
            self.accept_error is not None
            or self.library
            or self.after
            or self.established
            or self.refused
            or self.fault
        )

    def add_line(self, raw: bytes) -> None:
        """Keep a line as proof; the last place is kept for the line that ends the session."""
        if len(self.lines) < LINES_KEPT:
            self.lines.append(raw[:1200])
        else:
            self.lines[-1] = raw[:1200]

    def add_library(self, text: bytes, stamp: bytes) -> None:
        """Take OpenSSL's error: the first one counts, before and after the handshake apart."""
        error = parse_error(text[:1000].decode("utf-8", "replace"))
        if error is None:
            return
        if self.established is not None:
            self.after = self.after or error
        elif self.library is None or self.early:
            self.library = error
            self.early = False
        self.stamp = stamp

    @property
    def has_no_reason_to_come(self) -> bool:
        """Tell whether a line of OpenSSL must be another session's.

        tls/tls_server.c prints OpenSSL's queue right behind `SSL_accept error ...: -1`; behind words of errno the
        queue was empty, and `lost connection` comes last of all (smtpd/smtpd.c).
        """
        if self.lost is not None or self.refused is not None:
            return True
        if self.fault is not None and not self.fault.startswith(b"error setting"):
            return True
        return self.accept_error is not None and self.accept_error not in _NOT_A_REASON

    @property
    def awaits_reason(self) -> bool:
        """Tell whether OpenSSL's reason should still follow."""
        return self.accept_error in _NOT_A_REASON and self.library is None

    @property
    def failed_without_saying(self) -> bool:
        """Tell whether tlsproxy up to 3.3, which has no line for it, saw a handshake fail: a reason, no success."""
        return self.established is None and self.library is not None and cause_of(self.library) is not Cause.NETWORK_CUT

    def begins_late(self, who: bytes, stamp: bytes) -> bool:
        """Tell whether this `connect` is this session's, late by a line within the same second."""
        return not self.begun and self.lost is None and self.first == stamp and self.who == who

    def doubt_library(self) -> None:
        """Another session's end follows: nobody knows any more whose reason it was."""
        self.library = None
        self.after = None

    def is_of(self, who: bytes) -> bool:
        """Tell whether the peer spelled `who` is this session's: by address (names change their case)."""
        return self.who == who or _address(self.who) == _address(who)

    def is_over_before(self, kind: Kind) -> bool:
        """Tell whether evidence of this kind must be another session's: TLS is started once in a session."""
        decided = self.accept_error is not None or self.established is not None
        return decided and kind in (Kind.ACCEPT_ERROR, Kind.ESTABLISHED)

    def note(self, evidence: Evidence, stamp: bytes) -> None:
        """Take evidence that names this session's client."""
        kind = evidence.kind
        field = _FIELDS.get(kind)
        if field is not None:
            setattr(self, field, evidence.text)
            self.early = kind is Kind.ACCEPT_ERROR and self.library is not None
            if kind in _REASON_COMES_AFTER and evidence.text not in _NOT_A_REASON:
                self.library, self.early = None, False  # what came before this line is another session's reason
        elif kind is Kind.CLIENT:
            self.client = True
        elif kind is Kind.HIDDEN:
            self.hidden = True
        elif kind is Kind.PROXY_FAILED:
            self.failed = True
        if kind in _DECIDING or (kind is Kind.DISCONNECT and not self.has_evidence):
            self.stamp = stamp

    def peer(self, *, named: bool) -> Peer:
        """The client as a value; postscreen and tlsproxy print no names."""
        ip = canonical_ip(printable(_address(self.who), 64))
        name = printable(self.who[: self.who.find(b"[")], 255) if named else None
        return Peer(ip, name or None)

    @staticmethod
    def reason_of(error: LibraryError) -> tuple[str, int | None, Cause]:
        """Reason text, number and cause of an OpenSSL error."""
        return printable(error.text, 120), error.number, cause_of(error)


def _address(who: bytes) -> bytes:
    return who[who.find(b"[") + 1 : who.find(b"]")]


def _port(who: bytes) -> int | None:
    """Give the port behind `name[address]:port`; `unknown` is none."""
    digits = who[who.find(b"]") + 2 :]
    return int(digits) if digits.isdigit() else None


def conclude(
    session: OpenSession, program: Program, calendar: Calendar, *, broken: bool, whole: bool
) -> Session | None:
    """Say what the lines of a session prove; None where they prove nothing.

    `broken`: this process said before that its TLS cannot work. `whole`: the disconnect line was seen.
    """
    if not session.who:
        return None
    outcome, reason, number, cause = _outcome(session, broken=broken, whole=whole)
    if outcome is Outcome.NO_STARTTLS and program.service is Service.SMTPS:
        outcome = Outcome.TLS_OK  # wrapper mode: no command comes before the handshake is done
    if outcome is None:
        return None
    version = cipher = None
    if outcome is Outcome.TLS_OK and session.established is not None:
        match = _ESTABLISHED.match(session.established)
        if match is not None:
            version, cipher = printable(match[1], 16), printable(match[2], 80)
    commands = session.commands
    return Session(
        calendar.read(session.stamp) if session.stamp else None,
        session.peer(named=program.name in (b"smtpd", b"")),
        program.service,
        program.door,
        outcome,
        cause,
        reason,
        number,
        version,
        cipher,
        delivered=session.client or _counted(_DELIVERED, commands) > 0,
        hidden=session.hidden,
        commands=printable(commands, 200) if commands else None,
        lines=tuple(printable(line) for line in session.lines),
        port=_port(session.who),
    )


_Result = tuple[Outcome | None, str | None, int | None, Cause]


def _outcome(session: OpenSession, *, broken: bool, whole: bool) -> _Result:
    if session.accept_error is not None:
        failed = _accept_failed(session)
        if broken:  # this process has no certificate: whatever the reason sounds like, it is not the peer's
            return Outcome.SERVER_TLS_BROKEN, failed[1], failed[2], Cause.SERVER_MISCONFIGURED
        return failed
    if session.fault is not None:
        return _server_fault(session, session.fault)
    if session.failed:
        return (Outcome.TLS_FAILED, *_reason(session.library))
    if session.after is not None or session.library is not None:
        return _library_only(session, whole=whole)
    if session.established is not None:
        return Outcome.TLS_OK, None, None, _after_success(session)
    return _statistics(session, broken=broken)


def _reason(error: LibraryError | None) -> tuple[str | None, int | None, Cause]:
    return OpenSession.reason_of(error) if error is not None else (None, None, Cause.UNKNOWN)


def _accept_failed(session: OpenSession) -> _Result:
    if session.library is not None:
        return (Outcome.TLS_FAILED, *_reason(session.library))
    text = session.accept_error or b""
    if text in _NOT_A_REASON:
        return Outcome.TLS_FAILED, None, None, Cause.UNKNOWN
    reason = printable(text, 120)
    return Outcome.TLS_FAILED, reason, None, cause_of_plain(reason)


def _server_fault(session: OpenSession, fault: bytes) -> _Result:
    if session.library is not None:
        return (
            Outcome.SERVER_TLS_BROKEN,
            printable(session.library.text, 120),
            None,
            Cause.SERVER_MISCONFIGURED,
        )
    return Outcome.SERVER_TLS_BROKEN, printable(fault, 120), None, Cause.SERVER_MISCONFIGURED


def _library_only(session: OpenSession, *, whole: bool) -> _Result:
    """OpenSSL's reason without an `SSL_accept error` line: after the handshake, or the line is not in the log."""
    error = session.after or session.library
    if error is None:
        return None, None, None, Cause.UNKNOWN
    reason, number, cause = OpenSession.reason_of(error)
    done = session.established is not None or _succeeded(session.commands)
    refused = _counted(_STARTTLS, session.commands, tried=True) > 0 and not done
    if session.begun and not done and (refused or not error.is_alert):
        # its own reason would stand behind `SSL_accept error`; without it only an alert behind the handshake can
        return (Outcome.TLS_FAILED if refused else None), None, None, Cause.UNKNOWN
    if error.is_alert and (whole or session.lost is not None):
        return Outcome.TLS_FAILED, reason, number, cause
    if error.is_alert:  # its end is not in the log: whose alert it was is not certain
        return (Outcome.TLS_OK, None, None, Cause.NONE) if done else (None, None, None, Cause.UNKNOWN)
    if done:  # rubbish or an end behind a finished handshake
        return Outcome.TLS_OK, reason, number, Cause.DROPPED_AFTER_TLS
    if session.lost == b"STARTTLS" or refused:
        return Outcome.TLS_FAILED, reason, number, cause
    if session.lost == b"CONNECT" and whole:
        return Outcome.TLS_FAILED, reason, number, cause  # wrapper mode
    return None, None, None, Cause.UNKNOWN


def _after_success(session: OpenSession) -> Cause:
    return Cause.DROPPED_AFTER_TLS if session.lost is not None and not session.client else Cause.NONE


def _statistics(session: OpenSession, *, broken: bool) -> _Result:
    """Only the statistics of the disconnect line tell (3.0 on; smtpd/smtpd.c:smtpd_format_cmd_stats)."""
    commands = session.commands or b""
    lost_in_starttls = session.lost == b"STARTTLS"
    if _succeeded(commands):
        return Outcome.TLS_OK, None, None, _after_success(session)
    if _counted(_STARTTLS, commands, tried=True) > 0:
        if broken:
            reason = "lost connection after STARTTLS" if lost_in_starttls else None
            return Outcome.SERVER_TLS_BROKEN, reason, None, Cause.SERVER_MISCONFIGURED
        reason = printable(session.refused, 120) if session.refused else None
        return Outcome.TLS_FAILED, reason, None, Cause.UNKNOWN
    if broken and lost_in_starttls:
        return Outcome.SERVER_TLS_BROKEN, "lost connection after STARTTLS", None, Cause.SERVER_MISCONFIGURED
    if commands and not commands.startswith(b"commands=0/0") and not lost_in_starttls:
        return Outcome.NO_STARTTLS, None, None, Cause.NONE
    return None, None, None, Cause.UNKNOWN


def _succeeded(commands: bytes | None) -> bool:
    return _counted(_STARTTLS, commands) > 0


def _counted(pattern: re.Pattern[bytes], commands: bytes | None, *, tried: bool = False) -> int:
    match = pattern.search(commands) if commands else None
    if match is None:
        return 0
    return int(match[2] or match[1]) if tried and pattern.groups > 1 else int(match[1])


def server_statement(statement: OpenSession, program: Program, calendar: Calendar) -> Session:
    """A statement of the server about its own TLS, charged to nobody.

    The reason is OpenSSL's first one, else the warning that stood before it, else the statement's own first words.
    """
    text = statement.fault or b""
    if statement.library is not None:
        reason = printable(statement.library.text, 200)
    elif statement.prelude is not None:
        tail = statement.prelude.rsplit(b": ", 1)
        reason = printable(tail[-1] if statement.prelude.startswith(b"error ") else statement.prelude, 200)
    elif text.startswith(b"No server certs"):
        reason = printable(text, 200)
    else:
        reason = printable(_WORD_CUT.split(text.removesuffix(b": disabling TLS support"), maxsplit=1)[0], 200)
        if text.startswith(b"cannot get"):
            reason = printable(text[: text.find(b" file") + 5], 200)
    return Session(
        calendar.read(statement.stamp) if statement.stamp else None,
        None,
        program.service,
        program.door,
        Outcome.SERVER_TLS_BROKEN,
        Cause.SERVER_MISCONFIGURED,
        reason,
        lines=tuple(printable(line) for line in statement.lines),
    )
